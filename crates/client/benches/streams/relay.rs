use std::io::{Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use twentyfirst_client::protocol::ui::chunk::{TextDelta, TextEnd, TextStart};
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay, Run};

use crate::Result;
use crate::load::{AGENT, Http, Load, delta};

/// The time for which all streams are open before the first delta.
const SILENCE: Duration = Duration::from_secs(1);

/// Says where a relay is that speaks HTTP/1.1, where one that speaks HTTP/2, and which key both take, and keeps them until
/// standard input ends.
pub(crate) fn serve(load: Load) -> Result<()> {
    let (relay, http2) = (start(load, Http::One)?, start(load, Http::Two)?);
    println!("{} {} {}", relay.url(), http2.url(), relay.api_key());
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A relay whose agent waits until as many runs as the load has are there. Then each writes its deltas, at moments that
/// are spread over the interval.
pub(crate) fn start(load: Load, http: Http) -> Result<LocalRelay> {
    let begun = Arc::new(AtomicUsize::new(0));
    // For how many runs all have come, and when.
    let complete = Arc::new(watch::Sender::new((0, Instant::now())));
    let agent = Agent::new(move |run| {
        let place = begun.fetch_add(1, Ordering::Relaxed);
        tick(run, load, place, Arc::clone(&complete))
    });
    let mut relay = LocalRelay::builder()
        .agent(AGENT, agent)
        // No command is run.
        .isolation(Isolation::Unconfined);
    if let Http::Two = http {
        relay = relay.http2();
    }
    Ok(relay.start()?)
}

async fn tick(
    run: Run,
    load: Load,
    place: usize,
    complete: Arc<watch::Sender<(usize, Instant)>>,
) -> twentyfirst_local_relay::RunResult {
    // One client after the other comes with all of its runs.
    let all = (place / load.streams + 1) * load.streams;
    if place + 1 == all {
        complete.send_replace((all, Instant::now()));
    }
    let (_, since) = *complete
        .subscribe()
        .wait_for(|(runs, _)| *runs >= all)
        .await?;
    run.send(TextStart::new("text")).await;
    let share = (place % load.streams) as f64 / load.streams as f64;
    let first = since + SILENCE + load.interval.mul_f64(share);
    for number in 0..load.deltas {
        sleep_until(first + load.interval * number).await;
        run.send(TextDelta::new("text", delta(number))).await;
    }
    run.send(TextEnd::new("text")).await;
    Ok(())
}
