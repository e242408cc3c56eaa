//! Starting a run: sandbox, thread, messages, and what exists when one of them fails.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::response::Parts;
use twentyfirst_protocol::flow::{
    ExchangeErrorKind, Failure, Flow, Now, SendRequest, Sent, Slot, Step,
};
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::runs::{
    Messages, Mode, RunOptions, SendMessages, StartError, StartFlow, StartRun, Started,
};
use twentyfirst_protocol::ui::{Part, UiMessage};
use twentyfirst_protocol::{
    CallOptions, Endpoint, ErrorCode, ResponseError, SandboxId, ThreadId, VaultId,
};

/// A relay that plays its part from a script.
struct Scene {
    flow: StartFlow,
    sent: Vec<String>,
}

impl Scene {
    fn new(run: StartRun, mode: Option<Mode>) -> Self {
        Self {
            flow: run
                .flow(mode, &CallOptions::new().retry(RetryPolicy::never()), 0)
                .unwrap(),
            sent: Vec::new(),
        }
    }

    fn poll(&mut self) -> Step<std::convert::Infallible, Result<Started, StartError>> {
        self.flow.poll(Now {
            mono: Instant::now(),
            wall: SystemTime::now(),
        })
    }

    /// Expects a request in `slot`, then that the flow waits.
    fn sends(&mut self, slot: Slot) {
        match self.poll() {
            Step::Send(SendRequest {
                slot: given,
                request,
                ..
            }) => {
                assert_eq!(given, slot);
                let body = String::from_utf8(request.body().as_bytes().to_vec()).unwrap();
                self.sent
                    .push(format!("{} {} {body}", request.method(), request.uri()));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(self.poll(), Step::Read { until: None }));
    }

    fn answers(&mut self, slot: Slot, status: u16, body: &'static str) {
        self.flow.handle_answer(
            slot,
            head(status, "application/json"),
            Bytes::from_static(body.as_bytes()),
        );
    }

    fn makes_sandbox(&mut self) {
        self.sends(Slot::Exchange);
        self.answers(
            Slot::Exchange,
            201,
            r#"{"id":"sb_1","sandboxId":"e2b_1","status":"active"}"#,
        );
    }

    fn makes_thread(&mut self) {
        self.sends(Slot::Exchange);
        self.answers(
            Slot::Exchange,
            201,
            r#"{"id":"th_1","name":null,"status":"idle"}"#,
        );
    }

    fn streams(&mut self) {
        self.sends(Slot::Stream);
        self.flow.handle_answer(
            Slot::Stream,
            head(200, "text/event-stream; charset=utf-8"),
            Bytes::new(),
        );
    }

    fn done(&mut self) -> Result<Started, StartError> {
        match self.poll() {
            Step::Done(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn closes_and_is_done(&mut self) -> Result<Started, StartError> {
        assert!(matches!(self.poll(), Step::Close(Slot::Stream)));
        self.done()
    }
}

fn head(status: u16, content_type: &str) -> Parts {
    let response = http::Response::builder()
        .status(status)
        .header("content-type", content_type);
    response.body(()).unwrap().into_parts().0
}

fn run() -> StartRun {
    StartRun::new("my-agent", "Hi")
}

#[test]
fn what_is_missing_is_made_first() {
    let mut scene = Scene::new(
        run()
            .name("Nightly")
            .options(RunOptions::new().max_turns(3)),
        None,
    );
    scene.makes_sandbox();
    scene.makes_thread();
    scene.streams();
    let started = scene.done().unwrap();
    assert_eq!(
        (started.sandbox_id.as_str(), started.thread_id.as_str()),
        ("sb_1", "th_1")
    );
    assert_eq!(started.created.sandbox_id, Some(started.sandbox_id));
    assert_eq!(started.created.thread_id, Some(started.thread_id));
    insta::assert_snapshot!(scene.sent.join("\n"));
}

#[test]
fn the_turn_has_an_id_and_the_caller_learns_which() {
    let start = |messages: Messages, seed| {
        let run = StartRun::new("my-agent", messages)
            .sandbox_id(SandboxId::new("sb").unwrap())
            .thread_id(ThreadId::new("t").unwrap());
        let mut scene = Scene {
            flow: run.flow(None, &CallOptions::new(), seed).unwrap(),
            sent: Vec::new(),
        };
        scene.streams();
        let started = scene.done().unwrap();
        assert_eq!(started.agent, "my-agent");
        let body = scene.sent[0].split_once(" /v1/chat/my-agent ").unwrap().1;
        let sent: serde_json::Value = serde_json::from_str(body).unwrap();
        let id = started.user_message_id.unwrap();
        (sent["messages"].clone(), id.as_str().unwrap().to_owned())
    };
    let history = || {
        vec![
            UiMessage::user("one"),
            UiMessage::assistant(vec![Part::text("two")]),
            UiMessage::user("three"),
            UiMessage::assistant(vec![Part::text("four")]),
        ]
    };

    let (sent, id) = start(history().into(), 7);
    assert_eq!((id.len(), &id[..4]), (20, "msg_"));
    assert_eq!(sent[2]["id"], id);
    for other in [0, 1, 3] {
        assert_eq!(sent[other].get("id"), None, "only the turn gets one");
    }
    assert_eq!(start(history().into(), 7).1, id, "it comes from the seed");
    assert_ne!(start(history().into(), 8).1, id);

    // The same seed again, after the turn that has got its id from it.
    let next = vec![
        UiMessage::user("one").with_id(id.clone()),
        UiMessage::user("two"),
    ];
    assert_ne!(start(next.into(), 7).1, id);

    for given in ["mine", ""] {
        let mut messages = history();
        messages[2].id = Some(given.into());
        let (sent, id) = start(messages.into(), 7);
        assert_eq!(
            (sent[2]["id"].as_str().unwrap(), id.as_str()),
            (given, given)
        );
    }
}

#[test]
fn each_vault_is_sent_once() {
    let vaults = ["b", "a", "b", "c", "a"].map(|id| VaultId::new(id).unwrap());
    let sandbox = SandboxId::new("sb_1").unwrap();
    let run = run()
        .sandbox_id(&sandbox)
        .thread_id(ThreadId::new("th_1").unwrap());
    let mut with_field = run.clone();
    with_field.vault_ids = Some(vaults.to_vec());
    for run in [with_field, run.vault_ids(vaults.clone())] {
        let mut scene = Scene::new(run, None);
        scene.streams();
        let sent = &scene.sent[0];
        assert!(sent.contains(r#""vaultIds":["b","a","c"]"#), "{sent}");
    }

    let mut send = SendMessages::new("my-agent", &sandbox, "Hi");
    send.vault_ids = Some(vaults.to_vec());
    let request = send.to_request().unwrap();
    let sent = SendMessages::from_request(&request).unwrap().vault_ids;
    assert_eq!(
        sent.unwrap(),
        [&vaults[0], &vaults[1], &vaults[3]].map(Clone::clone)
    );
}

#[test]
fn what_is_named_is_used() {
    let sandbox = SandboxId::new("mine").unwrap();
    let mut scene = Scene::new(
        run()
            .sandbox_id(&sandbox)
            .thread_id(ThreadId::new("t").unwrap()),
        None,
    );
    scene.streams();
    let started = scene.done().unwrap();
    assert!(started.created.is_empty());
    assert_eq!(scene.sent.len(), 1);

    let mut scene = Scene::new(run().sandbox_id(&sandbox), None);
    scene.makes_thread();
    scene.streams();
    let started = scene.done().unwrap();
    assert_eq!(started.created.sandbox_id, None);
    assert_eq!(started.created.thread_id.unwrap().as_str(), "th_1");
}

#[test]
fn a_failure_tells_what_exists_all_the_same() {
    let refused = r#"{"error":{"code":"billing_not_ready","message":"Billing setup is required","setup_url":"https://x"}}"#;

    let mut scene = Scene::new(run(), None);
    scene.sends(Slot::Exchange);
    scene.answers(Slot::Exchange, 402, refused);
    let error = scene.done().unwrap_err();
    assert!(error.created().is_empty());
    assert_eq!(
        error.to_string(),
        "the run did not start: creating the sandbox failed"
    );

    let mut scene = Scene::new(run(), None);
    scene.makes_sandbox();
    scene.sends(Slot::Exchange);
    scene.flow.handle_failure(
        Slot::Exchange,
        Failure::new(Sent::Maybe, "connection reset"),
    );
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run did not start: creating the thread failed"
    );
    assert_eq!(
        error.created().sandbox_id.as_ref().unwrap().as_str(),
        "sb_1"
    );
    assert_eq!(error.created().thread_id, None);
    assert!(
        matches!(error.exchange_error().kind(), ExchangeErrorKind::Failure(failure) if failure.sent() == Sent::Maybe)
    );

    let mut scene = Scene::new(run(), None);
    scene.makes_sandbox();
    scene.makes_thread();
    scene.sends(Slot::Stream);
    scene.answers(Slot::Stream, 402, "");
    let (first, second) = refused.split_at(40);
    scene.flow.handle_data(Bytes::from_static(first.as_bytes()));
    scene
        .flow
        .handle_data(Bytes::from_static(second.as_bytes()));
    scene.flow.handle_end();
    let error = scene.done().unwrap_err();
    assert_eq!(error.created().thread_id.as_ref().unwrap().as_str(), "th_1");
    let ExchangeErrorKind::Response(ResponseError::Api(error)) = error.into_parts().1.into_kind()
    else {
        panic!()
    };
    assert_eq!(error.code(), Some(&ErrorCode::BillingNotReady));
    assert_eq!(error.extra()["setup_url"], "https://x");
}

#[test]
fn an_endless_or_broken_error_body_still_has_its_status() {
    let sandbox = SandboxId::new("sb").unwrap();
    let named = || {
        run()
            .sandbox_id(&sandbox)
            .thread_id(ThreadId::new("t").unwrap())
    };
    let status = |error: StartError| match error.into_parts().1.into_kind() {
        ExchangeErrorKind::Response(error) => error.status().as_u16(),
        other => panic!("{other}"),
    };

    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.answers(Slot::Stream, 503, "");
    for _ in 0..10 {
        scene.flow.handle_data(Bytes::from(vec![b'x'; 100_000]));
        assert!(matches!(scene.poll(), Step::Read { .. }));
    }
    // That is more than 1 MiB.
    scene.flow.handle_data(Bytes::from(vec![b'x'; 100_000]));
    assert_eq!(status(scene.done().unwrap_err()), 503);

    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.answers(Slot::Stream, 502, "");
    scene
        .flow
        .handle_failure(Slot::Stream, Failure::new(Sent::Maybe, "reset"));
    assert_eq!(status(scene.done().unwrap_err()), 502);

    // A page of a proxy, with a status of success.
    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene
        .flow
        .handle_answer(Slot::Stream, head(200, "text/html"), Bytes::new());
    scene.flow.handle_data(Bytes::from_static(b"<html>"));
    scene.flow.handle_end();
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.exchange_error().to_string(),
        "the relay answered 200, which is not understood: the content is not an event stream"
    );
}

#[test]
fn a_run_in_the_background_has_no_stream() {
    let mut scene = Scene::new(run(), Some(Mode::Background));
    scene.makes_sandbox();
    scene.makes_thread();
    scene.sends(Slot::Stream);
    assert!(
        scene.sent[2].contains(r#""mode":"background""#),
        "{}",
        scene.sent[2]
    );
    scene.answers(Slot::Stream, 202, "");
    scene.flow.handle_data(Bytes::from_static(
        br#"{"threadId":"th_1","sandboxId":"sb_1","status":"running"}"#,
    ));
    scene.flow.handle_end();
    assert_eq!(
        scene.closes_and_is_done().unwrap().thread_id.as_str(),
        "th_1"
    );

    // A relay that does not know the mode streams: the run has started all the same, and its stream is dropped.
    let mut scene = Scene::new(run(), Some(Mode::Background));
    scene.makes_sandbox();
    scene.makes_thread();
    scene.streams();
    assert_eq!(
        scene.closes_and_is_done().unwrap().thread_id.as_str(),
        "th_1"
    );
}
