//! Requests are authorized before a byte of the body is read, and slow or long bodies are refused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_client::backend::{
    ChatHandler, ChatRequest, Refusal, RequestLimits, ThreadHandler, ThreadRequest, TokenHandler,
    TokenRequest,
};
use twentyfirst_client::protocol::tokens::CreateToken;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, SandboxId, StartRun};

use crate::support::{channel, chats, post, read, relay, request, stream};

fn nobody() -> AgentClient {
    relay(|target| panic!("{target} was sent")).0
}

fn refuse() -> Refusal {
    Refusal::unauthorized("please sign in")
}

/// A body that counts who looks at it.
#[derive(Clone, Default)]
struct Watched(Arc<AtomicUsize>);

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"[[[[[[[[")))))
    }
}

#[tokio::test]
async fn the_body_of_an_unauthorized_request_is_not_read() {
    let body = Watched::default();
    let post = || request("POST", "/api/any", Body::wrap(body.clone()));
    let tokens = TokenHandler::new(nobody(), async |_: TokenRequest| {
        Err::<CreateToken, _>(refuse())
    });
    let threads = ThreadHandler::new(nobody(), async |_: ThreadRequest| {
        Err::<SandboxId, _>(refuse())
    });
    let chats = ChatHandler::new(
        nobody(),
        async |_: ChatRequest| Err::<StartRun, _>(refuse()),
    );
    for response in [
        tokens.handle(post()).await,
        threads.handle(post()).await,
        chats.handle(post()).await,
    ] {
        assert_eq!(response.status().as_u16(), 401);
    }
    assert_eq!(body.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_handler_reads_a_body_that_the_function_has_not_read() {
    let (client, log) = relay(|_| stream("data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n"));
    let chats = ChatHandler::new(client, async |_: ChatRequest| {
        Ok(crate::support::session()
            .run("Good morning")
            .look_first(false))
    });
    let (status, _, _) = read(chats.handle(post("Hi")).await).await;
    assert_eq!(status.as_u16(), 200);
    assert!(log.take()[0].contains("Good morning"));
    let (status, _, body) = read(chats.handle(request("POST", "/", "{}")).await).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (400, r#"{"error":"`messages` is missing"}"#)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_refused() {
    let (pieces, body) = channel();
    pieces.send(Ok("{")).unwrap();
    let began = tokio::time::Instant::now();
    let response = chats(&nobody()).handle(request("POST", "/", body)).await;
    let (status, _, body) = read(response).await;
    assert_eq!(status.as_u16(), 408);
    assert_eq!(body, r#"{"error":"the body arrived too slowly"}"#);
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_trickling_body_is_refused() {
    let (pieces, body) = channel();
    tokio::spawn(async move {
        while pieces.send(Ok(" ")).is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let chats = chats(&nobody()).limits(RequestLimits::new().time(Duration::from_secs(60)));
    let began = tokio::time::Instant::now();
    let (status, _, _) = read(chats.handle(request("POST", "/", body)).await).await;
    assert_eq!((status.as_u16(), began.elapsed().as_secs()), (408, 60));
}

#[tokio::test]
async fn limits_can_be_set() {
    let mut responses = Vec::new();
    for limits in [
        RequestLimits::new().body(20),
        RequestLimits::new().messages(0),
        RequestLimits::new().parts(0),
    ] {
        let chats = chats(&nobody()).limits(limits);
        let (status, _, body) = read(chats.handle(post("Hi")).await).await;
        responses.push(format!("{} {body}", status.as_u16()));
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn a_body_that_could_not_be_read_is_not_read_again() {
    let chats = ChatHandler::new(nobody(), async |request: ChatRequest| {
        let _ = request.read().await;
        Ok(crate::support::session().run("Hi"))
    });
    let (status, _, body) = read(chats.handle(request("POST", "/", "[")).await).await;
    assert_eq!(status.as_u16(), 400);
    assert_eq!(body, r#"{"error":"the body was not read to its end"}"#);
}
