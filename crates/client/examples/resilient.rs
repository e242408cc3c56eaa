//! A run over a relay that cuts every stream after a second, and how the client follows it.
//!
//! ```text
//! cargo run --example resilient             # wait for the stored answer
//! cargo run --example resilient -- live     # open the stream again, at a relay that continues it in the middle
//! cargo run --example resilient -- replay   # open the stream again, at a relay that replays it from the start
//! cargo run --example resilient -- off      # do not follow
//! ```
//!
//! With `replay`, the answer continues live after each cut. With `live` it does not: nobody knows how many words were missed in between. So
//! the client holds back what it reads until the stored answer shows its place. Browsers need not wait for that: a run log replays answers
//! to them from the start.
//!
//! It needs no key: it uses a local relay with faults, as your own tests can.

use std::error::Error;
use std::time::{Duration, Instant};

use twentyfirst_client::{AgentClient, CallOptions, Chunk, FollowPolicy, RunEvent};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay, Run};

const STORY: &str = "Once upon a time an agent worked in a sandbox far away. Every second the connection to it broke off, \
    and every time somebody asked what had become of the answer. It had gone on all the while, word for word, and in the end \
    nothing was missing and nothing came twice.";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let way = std::env::args().nth(1).unwrap_or_default();
    let follow = match way.as_str() {
        "" | "wait" => FollowPolicy::wait(),
        "live" | "replay" => FollowPolicy::live(),
        "off" => FollowPolicy::off(),
        other => return Err(format!("there is no {other}: use wait, live, replay or off").into()),
    };

    let agent = Agent::new(async |run: Run| {
        run.say(STORY).await;
        Ok(())
    });
    let mut relay = LocalRelay::builder()
        .agent("narrator", agent.pace(Duration::from_millis(80)))
        .fault(Fault::cut_after(Duration::from_secs(1)).always());
    if way == "replay" {
        relay = relay.fault(Fault::replay_on_resume().always());
    }
    let relay = relay.start()?;
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .options(CallOptions::new().follow(follow))
        .build()?;

    let begin = Instant::now();
    let mut run = client.threads().run("narrator", "Tell me a story").await?;
    let mut text = String::new();
    while let Some(event) = run.next_event().await {
        let what = match event {
            RunEvent::Chunk(Chunk::TextDelta(delta)) => {
                text += &delta.delta.to_string_lossy();
                continue;
            }
            RunEvent::Chunk(chunk) => chunk.kind().to_string_lossy().into_owned(),
            RunEvent::Cut(Some(failure)) => format!("CUT: {}", cause(&*failure)),
            RunEvent::Cut(None) => "CUT".to_owned(),
            RunEvent::Asked(status) => format!("asked: the thread is {status}"),
            RunEvent::Resumed if way == "live" => {
                "RESUMED in the middle: held back until its place is known".to_owned()
            }
            RunEvent::Resumed => "RESUMED".to_owned(),
            RunEvent::Gap => "GAP: something may be missing here".to_owned(),
            RunEvent::NotAChunk(error) => format!("not a chunk: {error}"),
            _ => continue,
        };
        if !text.is_empty() {
            println!("         {}", std::mem::take(&mut text));
        }
        println!("{:6.2} s {what}", begin.elapsed().as_secs_f64());
    }

    let outcome = run.outcome().await;
    println!(
        "\n{}; the message is {:?}:",
        outcome.end, outcome.message_state
    );
    println!("{}", run.message_so_far().text());
    if outcome.is_success() && run.message_so_far().text() != STORY {
        return Err("the message is not the story".into());
    }
    client.sandboxes().delete(run.sandbox_id()).await?;
    Ok(())
}

/// Returns the innermost cause.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
