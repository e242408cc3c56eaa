use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, mpsc, watch};
use tokio::task::JoinSet;
use twentyfirst_client::AgentClient;
use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::protocol::ui::chunk::{TextDelta, TextEnd, TextStart};
use twentyfirst_client::run_log::RedisLog;
use twentyfirst_client::transport::Body;
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay};

use crate::browser::{self, Events};
use crate::{Result, at};

const INSTANCES: usize = 3;

/// The instance that dies.
const DYING: usize = 0;

/// The number of runs that share a sandbox. The relay's work for a sandbox is not to be measured.
const RUNS_IN_A_SANDBOX: usize = 50;

/// The time that a browser waits until it connects again.
const PAUSE: Duration = Duration::from_millis(100);

/// Three servers behind something that sends browsers to those that live.
struct Servers {
    servers: Mutex<Vec<Option<(Runtime, ChatHandler)>>>,
    next: AtomicUsize,
}

/// The events that a browser has seen.
#[derive(Default)]
struct Seen {
    events: HashMap<u64, String>,
    /// The id of the last one.
    last: Option<String>,
    text: String,
    /// The time at which its connection was cut, and that of the first event after it.
    cut: Option<Instant>,
    resumed: Option<Instant>,
}

/// The report of a browser.
struct Fate {
    /// Whether the instance died that recorded its run.
    is_orphan: bool,
    /// Whether its own connection was cut.
    was_cut: bool,
    /// From the cut to the next event.
    resumed: Option<Duration>,
    ended: Instant,
}

/// Has two browsers read each of these chats, on different instances of three, and kills one in the middle.
pub(crate) fn measure(redis: &str, chats: usize, pace: Duration, deltas: u32) -> Result<()> {
    println!(
        "\n{} browsers, two a chat, on {INSTANCES} instances; a delta every {} ms in each chat, {deltas} deltas; instance {DYING} is killed in the middle",
        2 * chats,
        pace.as_millis()
    );
    let runs = Arc::new(AtomicUsize::new(0));
    // The runs begin when all browsers are there.
    let go = watch::Sender::new(false);
    let relay = start_relay(&runs, &go, pace, deltas)?;
    let servers = Arc::new(Servers::start(redis, &relay)?);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let browsing = browse(&relay, &servers, &go, chats, pace, deltas);
    let (killed, fates) = runtime.block_on(browsing)?;
    let runs = runs.load(Ordering::Relaxed);
    if runs != chats {
        return Err(format!("{runs} runs were started for {chats} chats").into());
    }
    report(&fates, killed);
    for server in 0..INSTANCES {
        servers.kill(server);
    }
    Ok(())
}

/// Gives when the instance was killed, and how each browser fared.
async fn browse(
    relay: &LocalRelay,
    servers: &Arc<Servers>,
    go: &watch::Sender<bool>,
    chats: usize,
    pace: Duration,
    deltas: u32,
) -> Result<(Instant, Vec<Fate>)> {
    let ready = Arc::new(Barrier::new(chats + 1));
    let mut browsers = JoinSet::new();
    for (number, chat) in conversations(&connect(relay)?, chats)
        .await?
        .into_iter()
        .enumerate()
    {
        let (servers, ready) = (Arc::clone(servers), Arc::clone(&ready));
        browsers.spawn(two_browsers(servers, ready, chat, number, deltas));
    }
    tokio::select! {
        _ = ready.wait() => {}
        Some(left) = browsers.join_next() => {
            left??;
            return Err("a browser left at once".into());
        }
    }
    go.send_replace(true);
    tokio::time::sleep(pace * deltas / 2).await;
    let killed = Instant::now();
    servers.kill(DYING);
    let mut fates = Vec::new();
    while let Some(both) = browsers.join_next().await {
        fates.extend(both??);
    }
    Ok((killed, fates))
}

fn report(fates: &[Fate], killed: Instant) {
    let seconds = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        match times.is_empty() {
            true => "-".to_owned(),
            false => format!(
                "{:.2} s median, {:.2} s most",
                at(times, 0.5).as_secs_f64(),
                at(times, 1.0).as_secs_f64()
            ),
        }
    };
    println!(
        "all {} browsers have the whole answer, once; one run a chat",
        fates.len()
    );
    let of = |wanted: fn(&&Fate) -> bool| fates.iter().filter(wanted);
    let ended = |it: &Fate| it.ended.saturating_duration_since(killed);
    let resumed = of(|it| it.was_cut && !it.is_orphan).filter_map(|it| it.resumed);
    let mut resumed: Vec<_> = resumed.collect();
    println!(
        "  {:4} were cut off, their run recorded elsewhere: the next event after {}",
        of(|it| it.was_cut && !it.is_orphan).count(),
        seconds(&mut resumed)
    );
    let mut orphans: Vec<_> = of(|it| it.is_orphan).map(ended).collect();
    println!(
        "  {:4} had their run recorded on the instance that died: whole after {}",
        orphans.len(),
        seconds(&mut orphans)
    );
    let mut others: Vec<_> = of(|it| !it.is_orphan).map(ended).collect();
    println!(
        "  {:4} had it recorded on one that lives: whole after {}",
        others.len(),
        seconds(&mut others)
    );
}

/// A relay whose agent says numbers.
fn start_relay(
    runs: &Arc<AtomicUsize>,
    go: &watch::Sender<bool>,
    pace: Duration,
    deltas: u32,
) -> Result<LocalRelay> {
    let (runs, go) = (Arc::clone(runs), go.subscribe());
    let agent = Agent::new(move |run| {
        let place = runs.fetch_add(1, Ordering::Relaxed);
        let mut go = go.clone();
        async move {
            // The start of the message comes before.
            run.send(TextStart::new("t")).await;
            go.wait_for(|go| *go).await?;
            let first = tokio::time::Instant::now() + pace.mul_f64(place as f64 / 1e3 % 1.0);
            for number in 0..deltas {
                tokio::time::sleep_until(first + pace * number).await;
                run.send(TextDelta::new("t", format!("{number} "))).await;
            }
            run.send(TextEnd::new("t")).await;
            Ok(())
        }
    });
    let relay = LocalRelay::builder().agent("ticker", agent);
    // No command is run.
    Ok(relay.isolation(Isolation::Unconfined).start()?)
}

fn connect(relay: &LocalRelay) -> Result<AgentClient> {
    let builder = AgentClient::builder().api_key(relay.api_key());
    Ok(builder.base_url(relay.url()).build()?)
}

async fn conversations(client: &AgentClient, chats: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    while ids.len() < chats {
        let sandbox = client.sandboxes().create("ticker").await?.id;
        for _ in 0..RUNS_IN_A_SANDBOX.min(chats - ids.len()) {
            let thread = client.threads().create(&sandbox).await?.id;
            ids.push(browser::chat(sandbox.as_str(), thread.as_str()));
        }
    }
    Ok(ids)
}

impl Servers {
    fn start(redis: &str, relay: &LocalRelay) -> Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..INSTANCES {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let log = runtime.block_on(RedisLog::connect(redis))?;
            let chats = browser::chats(&connect(relay)?).run_log(log);
            servers.push(Some((runtime, chats)));
        }
        Ok(Self {
            servers: Mutex::new(servers),
            next: AtomicUsize::new(0),
        })
    }

    /// Ends a server with all that it does, in the middle of whatever it is.
    fn kill(&self, number: usize) {
        let server = self.servers.lock().expect("servers")[number].take();
        if let Some((runtime, _)) = server {
            runtime.shutdown_background();
        }
    }

    /// Yields the body of a server, of the one with this number or of the next one that lives, until it ends or dies.
    fn send(&self, request: Request<Body>, to: Option<usize>) -> mpsc::Receiver<Result<Bytes>> {
        let servers = self.servers.lock().expect("servers");
        let next = || self.next.fetch_add(1, Ordering::Relaxed) % INSTANCES;
        let mut number = to.unwrap_or_else(next);
        while servers[number].is_none() {
            number = next();
        }
        let (sender, receiver) = mpsc::channel(1);
        if let Some((runtime, chats)) = &servers[number] {
            let chats = chats.clone();
            runtime.spawn(async move {
                let mut body = match browser::body(chats.handle(request).await) {
                    Ok(body) => body,
                    Err(error) => {
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                };
                while let Some(piece) = browser::piece(&mut body).await.transpose() {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            });
        }
        receiver
    }
}

/// One browser sends the message, and another opens the chat on the next instance.
async fn two_browsers(
    servers: Arc<Servers>,
    ready: Arc<Barrier>,
    chat: String,
    number: usize,
    deltas: u32,
) -> Result<[Fate; 2]> {
    let (one, other) = (number % INSTANCES, (number + 1) % INSTANCES);
    let mut seen = [Seen::default(), Seen::default()];
    let [first, second] = &mut seen;
    let mut body = servers.send(browser::post(&chat), Some(one));
    let piece = body.recv().await.ok_or("nothing came")??;
    let mut events = Events::default();
    first.take(events.push(&piece)?, false)?;
    let opened = servers.send(browser::resume(&chat, None), Some(other));
    ready.wait().await;
    let (first, second) = tokio::join!(
        first.read(&servers, &chat, body, events, number.is_multiple_of(2)),
        second.read(&servers, &chat, opened, Events::default(), number % 2 == 1)
    );
    let ended = [first?, second?];
    let whole: String = (0..deltas).map(|number| format!("{number} ")).collect();
    let mut fates = seen.iter().zip(ended).map(|(seen, ended)| {
        if seen.text != whole {
            return Err(format!("a browser has {:?}", seen.text));
        }
        let resumed = seen.resumed.zip(seen.cut);
        Ok(Fate {
            is_orphan: one == DYING,
            was_cut: seen.cut.is_some(),
            resumed: resumed.map(|(resumed, cut)| resumed - cut),
            ended,
        })
    });
    match (fates.next(), fates.next()) {
        (Some(first), Some(second)) => Ok([first?, second?]),
        _ => Err("there are two browsers".into()),
    }
}

impl Seen {
    /// Takes events; those of a replay from the start have to be the same again. Gives whether the answer is over.
    fn take(&mut self, events: Vec<browser::Event>, is_replay: bool) -> Result<bool> {
        for event in events {
            if event.is_done() {
                return Ok(true);
            }
            let index = event.index().ok_or("an event has no number")?;
            if let Some(before) = self.events.get(&index) {
                if *before != event.data || !is_replay {
                    return Err(format!("event {index} comes again as {}", event.data).into());
                }
                continue;
            }
            if index != self.events.len() as u64 {
                return Err(format!("event {index} comes for {}", self.events.len()).into());
            }
            if self.cut.is_some() {
                self.resumed.get_or_insert_with(Instant::now);
            }
            self.text += event.delta()?.unwrap_or_default();
            self.events.insert(index, event.data);
            self.last = event.id;
        }
        Ok(false)
    }

    /// Reads to the end, and connects again when it is cut off: behind the last event, or from the start as `useChat` does.
    async fn read(
        &mut self,
        servers: &Servers,
        chat: &str,
        mut body: mpsc::Receiver<Result<Bytes>>,
        mut events: Events,
        from_start: bool,
    ) -> Result<Instant> {
        let mut is_replay = false;
        loop {
            while let Some(piece) = body.recv().await {
                if self.take(events.push(&piece?)?, is_replay)? {
                    return Ok(Instant::now());
                }
            }
            self.cut.get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
            is_replay = from_start;
            let last = self.last.as_deref().filter(|_| !from_start);
            body = servers.send(browser::resume(chat, last), None);
            events = Events::default();
        }
    }
}
