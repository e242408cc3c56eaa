//! A session: the value that is stored between two requests of a conversation.

use std::collections::HashSet;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use twentyfirst_protocol::flow::{Event, Flow, Now, Slot, Step};
use twentyfirst_protocol::runs::{Messages, RunRef, Started};
use twentyfirst_protocol::ui::{Text, UiMessage};
use twentyfirst_protocol::{CallOptions, Operation, SandboxId, Session, ThreadId};

use crate::support::recording;

/// Runs it with a relay that grants everything. Returns the requests and the result.
fn run(session: &Session, messages: impl Into<Messages>) -> (Vec<String>, Started) {
    let now = Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    };
    let mut flow = session
        .run(messages)
        .flow(None, &CallOptions::new(), 0)
        .unwrap();
    let mut sent = Vec::new();
    loop {
        match flow.poll(now) {
            Step::Item(_) => {}
            Step::Send(send) => {
                let (method, path) = (send.request.method().clone(), send.request.uri().path());
                sent.push(format!("{method} {path}"));
                let (status, content_type, body) = match (method.as_str(), path) {
                    ("GET", _) => (200, "application/json", r#"{"id":"sb_new"}"#),
                    ("POST", "/v1/sandboxes") => (201, "application/json", r#"{"id":"sb_new"}"#),
                    ("POST", path) if path.ends_with("/threads") => {
                        (201, "application/json", r#"{"id":"th_new"}"#)
                    }
                    _ => (200, "text/event-stream", ""),
                };
                let response = http::Response::builder()
                    .status(status)
                    .header("content-type", content_type);
                let (head, ()) = response.body(()).unwrap().into_parts();
                flow.handle(Event::Response {
                    slot: send.slot,
                    head,
                    body: Bytes::from_static(body.as_bytes()),
                });
            }
            Step::Close(slot) => assert_eq!(slot, Slot::Stream),
            Step::Done(result) => return (sent, result.unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_begins_continues_and_restarts_with_the_same_files() {
    let session = Session::new("my-agent");
    assert_eq!(
        serde_json::to_string(&session).unwrap(),
        r#"{"agent":"my-agent"}"#
    );
    let (sent, started) = run(&session, "Hello");
    assert_eq!(
        sent,
        [
            "POST /v1/sandboxes",
            "POST /v1/sandboxes/sb_new/threads",
            "POST /v1/chat/my-agent"
        ]
    );

    let row = serde_json::to_string(&started.run.session()).unwrap();
    assert_eq!(
        row,
        r#"{"agent":"my-agent","sandboxId":"sb_new","threadId":"th_new"}"#
    );
    let stored: Session = serde_json::from_str(&row).unwrap();
    let (sent, started) = run(
        &stored,
        [UiMessage::user("Hello"), UiMessage::user("And then?")],
    );
    assert_eq!(
        sent,
        ["GET /v1/sandboxes/sb_new", "POST /v1/chat/my-agent"],
        "it looks first"
    );
    assert_eq!(started.run.session(), stored);

    let (sent, started) = run(&stored.new_thread(), "From the beginning");
    assert_eq!(
        sent,
        [
            "GET /v1/sandboxes/sb_new",
            "POST /v1/sandboxes/sb_new/threads",
            "POST /v1/chat/my-agent"
        ]
    );
    assert_eq!(started.run.session().sandbox_id, stored.sandbox_id);

    let distinct = HashSet::from([session, stored.new_thread(), stored, started.run.session()]);
    assert_eq!(distinct.len(), 3);
}

#[test]
fn a_session_hydrates_the_stored_messages() {
    let session = Session::new("my-agent").sandbox_id(SandboxId::new("sb_1").unwrap());
    let missing = |session: &Session| session.hydrate().unwrap_err().to_string();
    assert_eq!(
        missing(&Session::new("my-agent")),
        "`sandbox_id` is not set: the session has no sandbox yet; its first run creates one"
    );
    assert_eq!(
        missing(&session),
        "`thread_id` is not set: the session has no thread yet; its first run creates one"
    );
    assert_eq!(session.current_run().unwrap_err().field(), "thread_id");

    let hydrate = session
        .thread_id(ThreadId::new("th_1").unwrap())
        .hydrate()
        .unwrap();
    let read = |name| {
        let response = recording(name).response;
        hydrate.decode(&response.head(), &response.body()).unwrap()
    };
    let thread = read("threads.get: after two turns");
    assert!(!thread.is_streaming());
    let texts: Vec<_> = thread
        .into_ui_messages()
        .iter()
        .map(UiMessage::text)
        .collect();
    assert_eq!(
        texts,
        ["Hello", "Hello, world!", "Second question", "Done."]
    );

    let thread = read("two threads: older thread after first DELETE");
    assert!(thread.is_streaming() && thread.into_ui_messages().is_empty());
}

#[test]
fn a_stored_run_is_followed_and_cancelled_from_elsewhere() {
    let turn = UiMessage::user("Hello").with_id("turn-1");
    let (_, started) = run(&Session::new("my-agent"), turn);
    let row = serde_json::to_string(&started.run).unwrap();
    assert_eq!(
        row,
        r#"{"agent":"my-agent","sandboxId":"sb_new","threadId":"th_new","userMessageId":"turn-1"}"#
    );
    assert_eq!(serde_json::from_str::<RunRef>(&row).unwrap(), started.run);
    assert_eq!(
        started.created.sandbox_id,
        Some(started.run.sandbox_id.clone())
    );
    assert_eq!(
        started.created.thread_id,
        Some(started.run.thread_id.clone())
    );

    // In an existing sandbox and thread, with the id that the turn was given.
    let (_, started) = run(&started.run.session(), "And then?");
    let id = started.run.user_message_id.as_ref().unwrap();
    assert!(started.created.is_empty());
    assert_eq!(
        serde_json::to_string(&started.run).unwrap(),
        format!(
            r#"{{"agent":"my-agent","sandboxId":"sb_new","threadId":"th_new","userMessageId":"{id}"}}"#
        )
    );

    let refused = |row| serde_json::from_str::<RunRef>(row).unwrap_err().to_string();
    let incomplete = refused(r#"{"agent":"my-agent","sandboxId":"sb_1"}"#);
    assert!(incomplete.contains("`threadId`"), "{incomplete}");
    let other = refused(
        r#"{"agent":"my-agent","sandboxId":"sb_1","threadId":"th_1","userMessageId":[104,105]}"#,
    );
    assert!(other.contains("expected a string"), "{other}");
}

/// A table of an application that stores a run in some of its columns.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    job: u32,
    #[serde(flatten)]
    run: RunRef,
}

proptest! {
    #[test]
    fn a_run_is_read_back_unchanged(
        agent in ".*",
        turn in option::of(prop_oneof![
            any::<String>().prop_map(Text::from),
            vec(prop_oneof![0xd7f0u16..0xe010, 0u16..0x80], 0..8).prop_map(|units| Text::from_code_units(&units)),
        ]),
    ) {
        let (sandbox_id, thread_id) = (SandboxId::new("sb_1").unwrap(), ThreadId::new("th_1").unwrap());
        let mut run = RunRef::new(agent, &sandbox_id, &thread_id);
        run.user_message_id = turn;
        let json = serde_json::to_string(&run).unwrap();
        prop_assert_eq!(&serde_json::from_str::<RunRef>(&json).unwrap(), &run);
        prop_assert_eq!(&serde_json::from_slice::<RunRef>(json.as_bytes()).unwrap(), &run);

        if run.user_message_id.as_ref().is_none_or(Text::is_well_formed) {
            let row = serde_json::to_value(Job { job: 7, run: run.clone() }).unwrap();
            prop_assert_eq!(serde_json::from_value::<Job>(row).unwrap(), Job { job: 7, run });
        }
    }

    #[test]
    fn a_session_is_read_back_unchanged(
        agent in ".*",
        sandbox in option::of("[^\\p{Cc}]{3,20}"),
        thread in option::of("[^\\p{Cc}]{3,20}"),
    ) {
        let mut session = Session::new(agent);
        session.sandbox_id = sandbox.map(|id| SandboxId::new(id).unwrap());
        session.thread_id = thread.map(|id| ThreadId::new(id).unwrap());
        let json = serde_json::to_string(&session).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Session>(&json).unwrap(), &session);
        // An empty column of a table comes as null, and a table may have more columns.
        let row = serde_json::json!({
            "agent": session.agent, "sandboxId": session.sandbox_id, "threadId": session.thread_id, "createdAt": 1
        });
        prop_assert_eq!(serde_json::from_value::<Session>(row).unwrap(), session);
    }
}
