//! Runs that are read, followed through cuts, cancelled, and started in the background.

use std::thread;
use std::time::Duration;

use twentyfirst_client::blocking::{Iterate, Wait};
use twentyfirst_client::stream::SseEvents;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{
    CallOptions, Chunk, FollowPolicy, Run, RunEnd, RunEvent, SandboxId, ThreadId,
};
use twentyfirst_local_relay::{After, Fault};

use crate::server::Server;
use crate::{STORY, client, relay, with_options};

/// Returns the text of the chunks.
fn told(run: &mut Run) -> String {
    let mut text = String::new();
    for chunk in run.iter() {
        if let Chunk::TextDelta(delta) = chunk.unwrap() {
            text += &delta.delta.to_string_lossy();
        }
    }
    text
}

#[test]
fn the_text_and_the_chunks_of_a_run() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let mut run = client.run("narrator", "Tell me a story").wait().unwrap();
    assert_eq!(run.text().wait().unwrap(), STORY);
    assert!(run.outcome().wait().is_success());

    let again = client.run("narrator", "Again").sandbox_id(run.sandbox_id());
    let mut run = again.wait().unwrap();
    let first = run.iter().next().unwrap().unwrap();
    assert!(matches!(first, Chunk::Start(_)), "{first:?}");
    assert_eq!(told(&mut run), STORY, "an iterator leaves the rest");
    assert!(run.iter().next().is_none());

    let events = client
        .run("narrator", "Again")
        .wait()
        .unwrap()
        .into_events();
    let mut events: SseEvents<Body> = events;
    let last = events.iter().map(Result::unwrap).last().unwrap();
    assert_eq!(last.data, "[DONE]");
}

#[test]
fn a_run_is_followed_through_cuts() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        for bytes in [0, 70, 350, 1234] {
            let relay = relay().start().unwrap();
            let cut = Fault::cut_after(bytes);
            relay.inject(cut.clone());
            let client = with_options(&relay, CallOptions::new().follow(follow));
            let mut run = client.run("narrator", "Tell me a story").wait().unwrap();
            let mut cuts = 0;
            while let Some(moment) = run.next_event().wait() {
                cuts += u32::from(matches!(moment, RunEvent::Cut(_)));
            }
            assert_eq!((cut.struck(), cuts), (1, 1));
            assert_eq!(run.text().wait().unwrap(), STORY, "{follow:?}, {bytes}");
            assert!(run.outcome().wait().is_success());
        }
    }
}

#[test]
fn a_run_is_cancelled_from_another_thread() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let mut run = client.run("endless", "Tell me a story").wait().unwrap();
    let cancel = run.cancel();
    let cancelling = thread::spawn(move || {
        // Most likely, this thread waits for the run by now.
        thread::sleep(Duration::from_millis(100));
        cancel.wait().unwrap();
    });
    let error = run.text().wait().unwrap_err();
    assert!(error.is_run_cancelled(), "{error:?}");
    cancelling.join().unwrap();
    assert!(matches!(run.outcome().wait().end, RunEnd::Cancelled));
}

#[test]
fn a_run_in_the_background_is_followed_later() {
    let relay = relay().start().unwrap();
    let started = client(&relay)
        .run("narrator", "Tell me a story")
        .in_background();
    let started = started.wait().unwrap();
    let client = client(&relay);
    let mut run = client.threads().follow(started.run).unwrap();
    assert_eq!(run.text().wait().unwrap(), STORY);
}

#[test]
fn several_runs_of_a_sandbox_are_followed_at_once() {
    let relay = relay().start().unwrap();
    relay.inject(Fault::cut_after(After::Events(3)).always());
    let client = client(&relay);
    let sandbox = client.sandboxes().create("narrator").wait().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let run = client
                .run("narrator", "Tell me a story")
                .sandbox_id(&sandbox);
            thread::spawn(move || run.wait().unwrap().text().wait().unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), STORY);
    }
}

#[test]
fn a_run_that_is_dropped_while_it_is_silent_is_closed() {
    let server = Server::start(|stream, request| {
        use std::io::Write as _;
        assert!(request.starts_with("POST /v1/chat/"), "{request}");
        let event = "data: {\"type\":\"start\",\"messageId\":\"m1\"}\n\n";
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
        let length = event.len();
        write!(stream, "{head}\r\n\r\n{length:x}\r\n{event}\r\n").unwrap();
    });
    let builder = twentyfirst_client::AgentClient::builder().api_key("an_sk_test");
    let client = builder.base_url(&server.url).blocking().build().unwrap();
    let run = client
        .run("my-agent", "Hello")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap());
    let mut run = run.wait().unwrap();
    assert!(matches!(run.iter().next(), Some(Ok(Chunk::Start(_)))));
    drop(run);
    server.closed();
}
