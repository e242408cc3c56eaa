//! Starting a run: sandbox, thread, messages, and what exists after one of them has failed.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::response::Parts;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use twentyfirst_protocol::flow::{
    Event, ExchangeError, ExchangeErrorKind, Failure, Flow, Now, SendRequest, Sent, Slot, Step,
};
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::runs::{
    Messages, Mode, RunOptions, RunRef, SendMessages, StartError, StartErrorKind, StartFlow,
    StartRun, Started,
};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::{
    CallOptions, Endpoint, ErrorCode, ResponseError, SandboxId, ThreadId, VaultId,
};

/// A flow that starts a run, with the relay's responses as the test scripts them.
struct Scene {
    flow: StartFlow,
    sent: Vec<String>,
    /// The runs that were returned, and the number of requests before each.
    placed: Vec<(usize, RunRef)>,
    now: Now,
}

impl Scene {
    fn new(run: StartRun, mode: Option<Mode>) -> Self {
        Self::with(run, mode, CallOptions::new().retry(RetryPolicy::never()), 0)
    }

    fn with(run: StartRun, mode: Option<Mode>, options: CallOptions, seed: u64) -> Self {
        Self {
            flow: run.flow(mode, &options, seed).unwrap(),
            sent: Vec::new(),
            placed: Vec::new(),
            now: Now {
                mono: Instant::now(),
                wall: SystemTime::now(),
            },
        }
    }

    fn poll(&mut self) -> Step<RunRef, Result<Started, StartError>> {
        loop {
            match self.flow.poll(self.now) {
                Step::Item(run) => self.placed.push((self.sent.len(), run)),
                step => return step,
            }
        }
    }

    fn passes(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall += time;
    }

    /// Expects a request in `slot`, and then that the flow waits.
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
        assert!(matches!(self.poll(), Step::Wait { until: None }));
    }

    fn responds(&mut self, slot: Slot, status: u16, body: &'static str) {
        self.flow.handle(Event::Response {
            slot,
            head: head(status, "application/json"),
            body: Bytes::from_static(body.as_bytes()),
        });
    }

    fn makes_sandbox(&mut self) {
        self.sends(Slot::Exchange);
        self.responds(
            Slot::Exchange,
            201,
            r#"{"id":"sb_1","sandboxId":"e2b_1","status":"active"}"#,
        );
    }

    fn makes_thread(&mut self) {
        self.sends(Slot::Exchange);
        self.responds(
            Slot::Exchange,
            201,
            r#"{"id":"th_1","name":null,"status":"idle"}"#,
        );
    }

    fn streams(&mut self) {
        self.sends(Slot::Stream);
        self.flow.handle(Event::Response {
            slot: Slot::Stream,
            head: head(200, "text/event-stream; charset=utf-8"),
            body: Bytes::new(),
        });
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

fn exchange_error(error: StartError) -> ExchangeError {
    match error.kind {
        StartErrorKind::Exchange { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

fn is_thread_streaming(error: &StartError) -> bool {
    matches!(error.kind, StartErrorKind::ThreadStreaming)
}

#[test]
fn missing_sandboxes_and_threads_are_created_first() {
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
        (
            started.run.sandbox_id.as_str(),
            started.run.thread_id.as_str()
        ),
        ("sb_1", "th_1")
    );
    assert_eq!(started.created.sandbox_id, Some(started.run.sandbox_id));
    assert_eq!(started.created.thread_id, Some(started.run.thread_id));
    insta::assert_snapshot!(scene.sent.join("\n"));
}

#[test]
fn the_run_is_returned_before_its_messages_are_sent() {
    let mut scene = Scene::new(run(), None);
    scene.makes_sandbox();
    scene.makes_thread();
    scene.streams();
    let started = scene.done().unwrap();
    // After the two requests that created its sandbox and thread.
    assert_eq!(scene.placed, [(2, started.run)]);
}

#[test]
fn the_caller_learns_the_id_of_the_turn() {
    let start = |messages: Messages, seed| {
        let run = StartRun::new("my-agent", messages)
            .sandbox_id(SandboxId::new("sb").unwrap())
            .thread_id(ThreadId::new("t").unwrap());
        let mut scene = Scene::with(run, None, CallOptions::new(), seed);
        scene.streams();
        let started = scene.done().unwrap();
        assert_eq!(started.run.agent, "my-agent");
        let body = scene.sent[0].split_once(" /v1/chat/my-agent ").unwrap().1;
        let sent: serde_json::Value = serde_json::from_str(body).unwrap();
        let id = started.run.user_message_id.unwrap();
        (sent["messages"].clone(), id.as_str().unwrap().to_owned())
    };
    let history = || {
        vec![
            UiMessage::user("one"),
            UiMessage::assistant("two"),
            UiMessage::user("three"),
            UiMessage::assistant("four"),
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
    let nameless = UiMessage::user("one").with_id("");
    let (sent, _) = start(nameless.into(), 7);
    assert_eq!(sent[0]["id"], id, "an empty one is none");

    // The same seed again, after the turn that has got its id from it.
    let next = vec![
        UiMessage::user("one").with_id(id.clone()),
        UiMessage::user("two"),
    ];
    assert_ne!(start(next.into(), 7).1, id);

    let mut messages = history();
    messages[2].id = Some("mine".into());
    let (sent, id) = start(messages.into(), 7);
    assert_eq!((&sent[2]["id"], id.as_str()), (&"mine".into(), "mine"));
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
fn named_sandboxes_and_threads_are_used() {
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

    let mut scene = Scene::new(run().sandbox_id(&sandbox).external_user_id("usr_1"), None);
    scene.makes_thread();
    scene.streams();
    let started = scene.done().unwrap();
    let sent = scene.sent.last().unwrap();
    assert!(sent.contains(r#""externalUserId":"usr_1""#), "{sent}");
    assert!(!started.created.is_empty());
    assert_eq!(started.created.sandbox_id, None);
    assert_eq!(started.created.thread_id.unwrap().as_str(), "th_1");
}

#[test]
fn a_failure_names_what_exists() {
    let refused = r#"{"error":{"code":"billing_not_ready","message":"Billing setup is required","setup_url":"https://x"}}"#;

    let mut scene = Scene::new(run(), None);
    scene.sends(Slot::Exchange);
    scene.responds(Slot::Exchange, 402, refused);
    let error = scene.done().unwrap_err();
    assert!(error.created.is_empty());
    assert_eq!(
        error.to_string(),
        "the run did not start: creating the sandbox failed"
    );

    let mut scene = Scene::new(run(), None);
    scene.makes_sandbox();
    scene.sends(Slot::Exchange);
    scene.flow.handle(Event::Failure(
        Slot::Exchange,
        Failure::new(Sent::Maybe, "connection reset"),
    ));
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run did not start: creating the thread failed"
    );
    assert_eq!(error.created.sandbox_id.as_ref().unwrap().as_str(), "sb_1");
    assert_eq!(error.created.thread_id, None);
    assert!(
        matches!(error.exchange_error().unwrap().kind(), ExchangeErrorKind::Failure(failure) if failure.sent() == Sent::Maybe)
    );

    let mut scene = Scene::new(run(), None);
    scene.makes_sandbox();
    scene.makes_thread();
    scene.sends(Slot::Stream);
    scene.responds(Slot::Stream, 402, "");
    let (first, second) = refused.split_at(40);
    scene
        .flow
        .handle(Event::Data(Bytes::from_static(first.as_bytes())));
    scene
        .flow
        .handle(Event::Data(Bytes::from_static(second.as_bytes())));
    scene.flow.handle(Event::End);
    let error = scene.done().unwrap_err();
    assert_eq!(error.created.thread_id.as_ref().unwrap().as_str(), "th_1");
    let ExchangeErrorKind::Response(ResponseError::Api(error)) = exchange_error(error).into_kind()
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
    let status = |error: StartError| match exchange_error(error).into_kind() {
        ExchangeErrorKind::Response(error) => error.status().as_u16(),
        other => panic!("{other}"),
    };

    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.responds(Slot::Stream, 503, "");
    for _ in 0..10 {
        scene
            .flow
            .handle(Event::Data(Bytes::from(vec![b'x'; 100_000])));
        assert!(matches!(scene.poll(), Step::Wait { .. }));
    }
    // That is more than 1 MiB.
    scene
        .flow
        .handle(Event::Data(Bytes::from(vec![b'x'; 100_000])));
    assert_eq!(status(scene.done().unwrap_err()), 503);

    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.responds(Slot::Stream, 502, "");
    scene.flow.handle(Event::Failure(
        Slot::Stream,
        Failure::new(Sent::Maybe, "reset"),
    ));
    assert_eq!(status(scene.done().unwrap_err()), 502);

    // A page of a proxy, with a success status.
    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.flow.handle(Event::Response {
        slot: Slot::Stream,
        head: head(200, "text/html"),
        body: Bytes::new(),
    });
    scene
        .flow
        .handle(Event::Data(Bytes::from_static(b"<html>")));
    scene.flow.handle(Event::End);
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.exchange_error().unwrap().to_string(),
        "the relay responded with 200, but the response is invalid: the content is not an event stream"
    );
}

#[test]
fn an_error_whose_body_stalls_is_decided_by_its_status() {
    let named = || {
        run()
            .sandbox_id(SandboxId::new("sb").unwrap())
            .thread_id(ThreadId::new("t").unwrap())
    };
    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Stream);
    scene.passes(Duration::from_secs(100));
    scene.responds(Slot::Stream, 500, "");
    let head_at = scene.now.mono;
    for _ in 0..2 {
        match scene.poll() {
            Step::Wait { until } => assert_eq!(until, Some(head_at + Duration::from_secs(10))),
            other => panic!("{other:?}"),
        }
        // Bytes that trickle in do not extend the time.
        scene.passes(Duration::from_millis(4_900));
        scene.flow.handle(Event::Data(Bytes::from_static(b"no ")));
    }
    assert!(matches!(scene.poll(), Step::Wait { .. }));
    scene.passes(Duration::from_millis(200));
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.exchange_error().unwrap().to_string(),
        "the relay responded with 500: no no"
    );

    // A deadline that expires meanwhile does not hide the status either.
    let options = CallOptions::new().deadline(Duration::from_secs(5));
    let mut scene = Scene::with(named(), None, options, 0);
    assert!(matches!(scene.poll(), Step::Send(_)));
    scene.responds(Slot::Stream, 403, "");
    match scene.poll() {
        Step::Wait { until } => assert_eq!(until, Some(scene.now.mono + Duration::from_secs(5))),
        other => panic!("{other:?}"),
    }
    scene.passes(Duration::from_secs(5));
    let error = scene.done().unwrap_err();
    assert_eq!(
        error.exchange_error().unwrap().to_string(),
        "the relay responded with 403: Forbidden"
    );
}

#[test]
fn a_thread_that_is_streaming_is_left_alone() {
    let named = || {
        run()
            .sandbox_id(SandboxId::new("sb").unwrap())
            .thread_id(ThreadId::new("th_1").unwrap())
            .look_first(true)
    };
    let asked = "GET /v1/sandboxes/sb ";

    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Exchange);
    scene.responds(
        Slot::Exchange,
        200,
        r#"{"id":"sb","agent":{"slug":"my-agent"},"threads":[{"id":"th_2","status":"completed"},{"id":"th_1","status":"streaming"}]}"#,
    );
    let error = scene.done().unwrap_err();
    assert!(is_thread_streaming(&error) && error.created.is_empty());
    assert_eq!(
        error.to_string(),
        "the run did not start: its thread is already streaming: wait for the end of that run, or cancel it"
    );
    assert!(std::error::Error::source(&error).is_none() && error.exchange_error().is_none());
    assert_eq!(scene.sent, [asked], "nothing else is sent");

    // Other threads may stream, and the relay decides about a thread that is not listed.
    for sandbox in [
        r#"{"id":"sb","threads":[{"id":"th_2","status":"streaming"},{"id":"th_1","status":"completed"}]}"#,
        r#"{"id":"sb","agent":{"name":"My agent"},"threads":[{"id":"th_2","status":"streaming"}]}"#,
        r#"{"id":"sb","agent":{"slug":"my-agent"},"threads":[]}"#,
        r#"{"id":"sb","agent":null,"threads":null}"#,
        r#"{"id":"sb"}"#,
    ] {
        let mut scene = Scene::new(named(), None);
        scene.sends(Slot::Exchange);
        scene.responds(Slot::Exchange, 200, sandbox);
        scene.streams();
        assert_eq!(scene.done().unwrap().run.thread_id.as_str(), "th_1");
        assert_eq!((scene.sent.len(), &*scene.sent[0]), (2, asked));
    }

    // If the threads cannot be read, nothing is sent.
    let mut scene = Scene::new(named(), None);
    scene.sends(Slot::Exchange);
    scene.responds(
        Slot::Exchange,
        404,
        r#"{"error":{"code":"sandbox_not_found","message":"Sandbox \"sb\" not found"}}"#,
    );
    let error = scene.done().unwrap_err();
    assert!(!is_thread_streaming(&error));
    assert_eq!(
        error.to_string(),
        "the run did not start: looking at its sandbox failed"
    );
    assert_eq!(scene.sent.len(), 1);

    // A sandbox that is created for the run is not checked, nor is any other without the option.
    let mut scene = Scene::new(run().look_first(true), None);
    scene.makes_sandbox();
    scene.makes_thread();
    scene.streams();
    scene.done().unwrap();
    let mut scene = Scene::new(named().look_first(false), None);
    scene.streams();
    scene.done().unwrap();
}

#[test]
fn nothing_is_created_in_a_sandbox_of_another_agent() {
    let sandbox = SandboxId::new("sb").unwrap();
    let new_thread = run().sandbox_id(&sandbox).look_first(true);
    let in_thread = new_thread.clone().thread_id(ThreadId::new("th_1").unwrap());
    for run in [new_thread, in_thread] {
        let mut scene = Scene::new(run.delete_sandbox_on_failure(true), None);
        scene.sends(Slot::Exchange);
        scene.responds(
            Slot::Exchange,
            200,
            r#"{"id":"sb","agent":{"slug":"other-agent"},"threads":[{"id":"th_1","status":"streaming"}]}"#,
        );
        let error = scene.done().unwrap_err();
        let StartErrorKind::OtherAgent(other) = &error.kind else {
            panic!("{error:?}");
        };
        assert_eq!(
            (&other.sandbox_id, &*other.agent, &*other.owner),
            (&sandbox, "my-agent", "other-agent")
        );
        assert_eq!(
            error.to_string(),
            "the run did not start: sandbox sb belongs to agent `other-agent`, not to `my-agent`"
        );
        assert!(error.created.is_empty() && !is_thread_streaming(&error));
        assert_eq!(scene.sent, ["GET /v1/sandboxes/sb "]);
    }
}

#[test]
fn a_thread_is_named_after_the_turn_by_default() {
    let thread_of = |run: StartRun| {
        let mut scene = Scene::new(run.sandbox_id(SandboxId::new("sb").unwrap()), None);
        scene.makes_thread();
        scene.sent.remove(0)
    };
    let post = "POST /v1/sandboxes/sb/threads ";
    let history = Messages::new()
        .user("Hi")
        .assistant("Hello")
        .user("Go\n on ");
    for (run, body) in [
        (run(), r#"{"name":"Hi"}"#),
        (StartRun::new("my-agent", history), r#"{"name":"Go on"}"#),
        (run().name("Nightly"), r#"{"name":"Nightly"}"#),
        (run().name(""), r#"{"name":""}"#),
        (run().unnamed(), "{}"),
        (StartRun::new("my-agent", "\0"), "{}"),
    ] {
        assert_eq!(thread_of(run), format!("{post}{body}"));
    }
}

#[test]
fn a_new_sandbox_without_a_run_is_deleted_again() {
    let mut scene = Scene::new(run().delete_sandbox_on_failure(true), None);
    scene.makes_sandbox();
    scene.makes_thread();
    scene.sends(Slot::Stream);
    scene.responds(Slot::Stream, 402, "");
    scene.flow.handle(Event::Data(Bytes::from_static(
        br#"{"error":{"code":"budget_exceeded","message":"Sandbox budget exceeded"}}"#,
    )));
    scene.flow.handle(Event::End);
    assert!(matches!(scene.poll(), Step::Close(Slot::Stream)));
    scene.sends(Slot::Exchange);
    assert_eq!(scene.sent[3], "DELETE /v1/sandboxes/sb_1 ");
    scene.responds(Slot::Exchange, 204, "");
    let error = scene.done().unwrap_err();
    assert!(error.created.is_empty());
    assert_eq!(
        error.exchange_error().unwrap().to_string(),
        "the relay responded with 402 budget_exceeded: Sandbox budget exceeded"
    );

    // If the deletion fails too, the error names the sandbox and keeps the first cause.
    let mut scene = Scene::new(run().delete_sandbox_on_failure(true), None);
    scene.makes_sandbox();
    scene.sends(Slot::Exchange);
    scene.responds(Slot::Exchange, 500, r#"{"error":"first"}"#);
    assert!(matches!(scene.poll(), Step::Close(Slot::Stream)));
    scene.sends(Slot::Exchange);
    scene.responds(Slot::Exchange, 500, r#"{"error":"second"}"#);
    let error = scene.done().unwrap_err();
    assert_eq!(error.created.sandbox_id.as_ref().unwrap(), &"sb_1");
    assert_eq!(
        error.exchange_error().unwrap().to_string(),
        "the relay responded with 500: first"
    );

    // A repeated deletion that finds nothing has done its work.
    let retry = RetryPolicy::standard().first_delay(Duration::ZERO);
    let mut scene = Scene::with(
        run().delete_sandbox_on_failure(true),
        None,
        CallOptions::new().retry(retry),
        0,
    );
    scene.makes_sandbox();
    scene.sends(Slot::Exchange);
    let lost = || Failure::new(Sent::Maybe, "connection reset");
    scene.flow.handle(Event::Failure(Slot::Exchange, lost()));
    assert!(matches!(scene.poll(), Step::Close(Slot::Stream)));
    scene.sends(Slot::Exchange);
    scene.flow.handle(Event::Failure(Slot::Exchange, lost()));
    scene.sends(Slot::Exchange);
    scene.responds(Slot::Exchange, 404, r#"{"error":"not found"}"#);
    assert!(scene.done().unwrap_err().created.is_empty());

    // After the deadline of the call nothing is begun.
    let options = CallOptions::new().deadline(Duration::from_secs(5));
    let mut scene = Scene::with(run().delete_sandbox_on_failure(true), None, options, 0);
    assert!(matches!(scene.poll(), Step::Send(_)));
    scene.responds(Slot::Exchange, 201, r#"{"id":"sb_1"}"#);
    assert!(matches!(scene.poll(), Step::Send(_)));
    scene.passes(Duration::from_secs(5));
    assert!(matches!(scene.poll(), Step::Close(Slot::Stream)));
    let error = scene.done().unwrap_err();
    assert_eq!(error.created.sandbox_id.as_ref().unwrap(), &"sb_1");
}

/// The fate of a request to a relay.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    /// The relay responds with this status, and with a code if there is one.
    Responds(u16, &'static str),
    /// The response is lost; the flag says whether the relay has executed the request.
    Lost(bool),
    NotSent,
}

fn fate() -> impl Strategy<Value = Fate> {
    const CODES: [&str; 4] = ["", "sandbox_unavailable", "stream_active", "internal_error"];
    prop_oneof![
        3 => Just(Fate::Done),
        4 => (300_u16..600, select(CODES.as_slice()))
            .prop_map(|(status, code)| Fate::Responds(status, code)),
        1 => any::<bool>().prop_map(Fate::Lost),
        1 => Just(Fate::NotSent),
    ]
}

proptest! {
    /// In any case: no sandbox is deleted in which a run may exist, nor a named one. The error names exactly what exists, as far
    /// as the relay has reported it.
    #[test]
    fn no_run_is_deleted_and_no_sandbox_is_left_unnamed(
        fates in vec(fate(), 12),
        named in any::<bool>(),
        background in any::<bool>(),
        attempts in 1_u32..4,
    ) {
        let mut start = run().delete_sandbox_on_failure(true);
        if named {
            start = start.sandbox_id(SandboxId::new("mine").unwrap());
        }
        let retry = RetryPolicy::standard().attempts(attempts);
        let mode = background.then_some(Mode::Background);
        let mut scene = Scene::with(start, mode, CallOptions::new().retry(retry), 0);
        let mut fates = fates.into_iter();
        // The state of the relay, and the reported part of it.
        let (mut run_may_exist, mut reported, mut chats, mut deleted) = (false, false, 0, false);
        let result = loop {
            let send = match scene.poll() {
                Step::Send(send) => send,
                Step::Wait { until } => {
                    let until = until.expect("nothing is under way");
                    scene.passes(until - scene.now.mono);
                    continue;
                }
                Step::Close(_) => continue,
                Step::Done(result) => break result,
                Step::Item(_) => continue,
            };
            let (is_chat, is_deletion) = (
                send.slot == Slot::Stream,
                send.request.method() == "DELETE",
            );
            if is_deletion {
                prop_assert_eq!(send.request.uri(), "/v1/sandboxes/sb_1");
                prop_assert!(!run_may_exist && !named);
            }
            chats += u32::from(is_chat);
            let fate = match fates.next().unwrap_or(Fate::Done) {
                // There is a sandbox to delete, so the relay never says that there is none.
                Fate::Responds(404, code) if is_deletion => Fate::Responds(400, code),
                fate => fate,
            };
            // Refusals come before anything is begun; all other errors may come later.
            run_may_exist |= is_chat && match fate {
                Fate::Done | Fate::Lost(_) => true,
                Fate::NotSent | Fate::Responds(_, "sandbox_unavailable") => false,
                Fate::Responds(status, _) => !(400..500).contains(&status) || matches!(status, 408 | 409),
            };
            deleted |= is_deletion && matches!(fate, Fate::Done | Fate::Lost(true));
            match fate {
                Fate::Done if is_chat && background => {
                    scene.responds(send.slot, 202, "");
                    scene.flow.handle(Event::Data(Bytes::from_static(b"{}")));
                    scene.flow.handle(Event::End);
                }
                Fate::Done if is_chat => {
                    scene.flow.handle(Event::Response { slot: send.slot, head: head(200, "text/event-stream"), body: Bytes::new() });
                }
                Fate::Done if is_deletion => {
                    reported = false;
                    scene.responds(send.slot, 204, "");
                }
                Fate::Done if send.request.uri() == "/v1/sandboxes" => {
                    reported = true;
                    scene.responds(send.slot, 201, r#"{"id":"sb_1"}"#);
                }
                Fate::Done => scene.responds(send.slot, 201, r#"{"id":"th_1"}"#),
                // A second deletion finds nothing.
                Fate::Responds(..) if deleted => {
                    reported = false;
                    scene.responds(send.slot, 404, "");
                }
                Fate::Responds(status, code) => {
                    let body = format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#);
                    let (slot, head) = (send.slot, head(status, "application/json"));
                    if is_chat {
                        scene.flow.handle(Event::Response { slot, head, body: Bytes::new() });
                        scene.flow.handle(Event::Data(body.into()));
                        scene.flow.handle(Event::End);
                    } else {
                        scene.flow.handle(Event::Response { slot, head, body: body.into() });
                    }
                }
                Fate::Lost(_) => {
                    scene.flow.handle(Event::Failure(send.slot, Failure::new(Sent::Maybe, "lost")));
                }
                Fate::NotSent => {
                    scene.flow.handle(Event::Failure(send.slot, Failure::new(Sent::No, "refused")));
                }
            }
        };
        match result {
            Ok(_) => prop_assert!(run_may_exist && !deleted),
            Err(error) => {
                prop_assert_eq!(error.created.sandbox_id.is_some(), reported);
                prop_assert!(!is_thread_streaming(&error));
            }
        }
        prop_assert!(chats <= attempts);
    }
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
    scene.responds(Slot::Stream, 202, "");
    scene.flow.handle(Event::Data(Bytes::from_static(
        br#"{"threadId":"th_1","sandboxId":"sb_1","status":"running"}"#,
    )));
    scene.flow.handle(Event::End);
    assert_eq!(
        scene.closes_and_is_done().unwrap().run.thread_id.as_str(),
        "th_1"
    );

    // A relay that does not know the mode streams: the run has started all the same, and its stream is dropped.
    let mut scene = Scene::new(run(), Some(Mode::Background));
    scene.makes_sandbox();
    scene.makes_thread();
    scene.streams();
    assert_eq!(
        scene.closes_and_is_done().unwrap().run.thread_id.as_str(),
        "th_1"
    );
}
