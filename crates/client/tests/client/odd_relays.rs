//! Outcomes of runs if the relay, or a proxy in front of it, behaves unexpectedly.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::time::Instant;
use twentyfirst_client::protocol::runs::{LostReason, MessageState};
use twentyfirst_client::transport::{
    Body, Error as TransportError, Runtime, TokioRuntime, from_fn,
};
use twentyfirst_client::{
    AgentClient, FollowPolicy, Run, RunEnd, RunRef, SandboxId, StartRun, ThreadId,
};

use crate::support::{client, event_stream, json};

const BEGINNING: &str = concat!(
    "data: {\"type\":\"start\",\"messageId\":\"msg_1\"}\n\n",
    "data: {\"type\":\"text-start\",\"id\":\"t\"}\n\n",
    "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"Hello\"}\n\n",
);

const FINISH: &str = concat!(
    "data: {\"type\":\"text-end\",\"id\":\"t\"}\n\n",
    "data: {\"type\":\"finish\"}\n\n",
);

/// The response for the thread in this state.
fn thread(status: &str) -> Response<Body> {
    let messages = match status {
        "completed" => {
            r#"[{"id":"u1","role":"user","parts":[{"type":"text","text":"Hi"}]},
                {"id":"msg_1","role":"assistant","parts":[{"type":"text","text":"Hello there"}]}]"#
        }
        _ => "null",
    };
    let thread = format!(r#"{{"id":"th_1","status":"{status}","messages":{messages}}}"#);
    json(200, thread)
}

/// The response for the list of threads, with the thread in this state.
fn threads(status: &str) -> Response<Body> {
    json(200, format!(r#"[{{"id":"th_1","status":"{status}"}}]"#))
}

/// Returns a client whose chat gets this stream, and whose nth other request, from 0, gets the response `respond(n, is_list)`.
fn relay(
    chat: impl Fn() -> Body + Send + Sync + 'static,
    respond: impl Fn(usize, bool) -> Response<Body> + Send + Sync + 'static,
) -> AgentClient {
    let requests = AtomicUsize::new(0);
    let (client, _) = client("https://relay.test/", move |request| {
        match request.method.as_str() {
            "POST" => event_stream(chat()),
            _ => {
                let is_list = request.target.ends_with("/threads");
                respond(requests.fetch_add(1, Ordering::Relaxed), is_list)
            }
        }
    });
    client
}

fn ids() -> (SandboxId, ThreadId) {
    (
        SandboxId::new("sb_1").unwrap(),
        ThreadId::new("th_1").unwrap(),
    )
}

async fn run(client: &AgentClient, follow: FollowPolicy) -> Run {
    let (sandbox_id, thread_id) = ids();
    let start = StartRun::new("my-agent", "Hi");
    let start = start.sandbox_id(sandbox_id).thread_id(thread_id);
    let client = client.with_options(client.options().follow(follow));
    client.threads().start(start).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_does_not_end_a_run() {
    let client = relay(
        || BEGINNING.into(),
        |number, is_list| match (number, is_list) {
            (0..3, _) => Response::builder()
                .status(404)
                .header("content-type", "text/html")
                .body(Body::from("<html>no such app</html>"))
                .unwrap(),
            (_, true) => threads("completed"),
            _ => thread("completed"),
        },
    );
    let mut run = run(&client, FollowPolicy::wait()).await;
    assert_eq!(run.text().await.unwrap(), "Hello there");
    assert!(run.outcome().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_status_does_not_end_a_run() {
    let client = relay(
        || BEGINNING.into(),
        |number, is_list| {
            let status = if number < 6 { "pausing" } else { "completed" };
            match is_list {
                true => threads(status),
                false => thread(status),
            }
        },
    );
    let mut run = run(&client, FollowPolicy::wait()).await;
    assert_eq!(run.text().await.unwrap(), "Hello there");
    assert!(run.outcome().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_after_finish_keeps_the_message() {
    let client = relay(
        || Body::wrap(Open::saying(&[BEGINNING, FINISH].concat())),
        |_, _| threads("streaming"),
    );
    let follow = FollowPolicy::wait().deadline(Duration::from_secs(5));
    let mut run = run(&client, follow).await;
    assert_eq!(run.text().await.unwrap(), "Hello");
    let outcome = run.outcome().await;
    let RunEnd::Lost(lost) = &outcome.end else {
        panic!("{outcome:?}");
    };
    assert_eq!(lost.reason, LostReason::Deadline);
    assert_eq!(outcome.message_state, MessageState::Whole);
    assert_eq!(run.text().await.unwrap(), "Hello");
}

#[tokio::test]
async fn a_finish_after_abort_does_not_complete_the_message() {
    let abort = "data: {\"type\":\"abort\"}\n\n";
    let client = relay(
        move || {
            [BEGINNING, abort, FINISH, "data: [DONE]\n\n"]
                .concat()
                .into()
        },
        |_, _| threads("cancelled"),
    );
    let mut run = run(&client, FollowPolicy::wait()).await;
    assert!(run.message().await.unwrap_err().is_run_cancelled());
    assert!(matches!(run.outcome().await.end, RunEnd::Cancelled));
}

#[tokio::test]
async fn a_limit_may_be_the_longest_duration() {
    let client = relay(
        || [BEGINNING, FINISH, "data: [DONE]\n\n"].concat().into(),
        |_, _| threads("completed"),
    );
    let longest = Duration::MAX;
    let follow = FollowPolicy::live().lost_after(longest).deadline(longest);
    let mut run = run(&client, follow.ask_after(longest)).await;
    assert_eq!(run.text().await.unwrap(), "Hello");
}

#[tokio::test(start_paused = true)]
async fn a_background_run_is_not_silent_while_the_relay_responds() {
    let began = Instant::now();
    let client = relay(Body::empty, move |_, is_list| {
        let is_over = began.elapsed() > Duration::from_secs(20);
        let status = if is_over { "completed" } else { "streaming" };
        match is_list {
            true => threads(status),
            false => thread(status),
        }
    });
    let follow = FollowPolicy::wait().lost_after(Duration::from_secs(2));
    let client = client.with_options(client.options().follow(follow));
    let (sandbox_id, thread_id) = ids();
    let run = RunRef::new("my-agent", sandbox_id, thread_id).user_message_id("u1");
    let mut run = client.threads().follow(run).unwrap();
    assert_eq!(run.text().await.unwrap(), "Hello there");
}

/// A runtime that drops its first task, as one does that is shut down.
#[derive(Default)]
struct DropsFirstTask(AtomicBool);

impl Runtime for DropsFirstTask {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        TokioRuntime.sleep(duration)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if self.0.swap(true, Ordering::Relaxed) {
            TokioRuntime.spawn(task);
        }
    }

    fn now(&self) -> std::time::Instant {
        TokioRuntime.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_list_whose_task_is_gone_is_planned_anew() {
    let began = Instant::now();
    let lists = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lists);
    let transport = from_fn(move |request: Request<Body>| {
        let is_over = began.elapsed() > Duration::from_secs(20);
        let status = if is_over { "completed" } else { "streaming" };
        let response = if request.uri().path().ends_with("/threads") {
            count.fetch_add(1, Ordering::Relaxed);
            threads(status)
        } else {
            thread(status)
        };
        std::future::ready(Ok::<_, TransportError>(response))
    });
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .base_url("https://relay.test/")
        .transport(transport)
        .runtime(DropsFirstTask::default());
    let client = client.build().unwrap();
    let (sandbox_id, thread_id) = ids();
    let run = RunRef::new("my-agent", sandbox_id, thread_id).user_message_id("u1");
    let mut one = client.threads().follow(&run).unwrap();
    let mut other = client.threads().follow(&run).unwrap();
    let (one, other) = tokio::join!(one.text(), other.text());
    assert!(lists.load(Ordering::Relaxed) > 1);
    assert_eq!(
        (&*one.unwrap(), &*other.unwrap()),
        ("Hello there", "Hello there")
    );
}

/// A body with one piece that never ends.
struct Open(Option<Bytes>);

impl Open {
    fn saying(text: &str) -> Self {
        Self(Some(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}
