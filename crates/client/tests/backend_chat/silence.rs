//! Connections on which nothing comes are kept alive.

use std::sync::Mutex;
use std::time::Duration;

use http_body_util::BodyExt;
use twentyfirst_client::AgentClient;
use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::transport::{Body, from_fn};

use crate::support::{channel, chats, events, json_response, post, read, relay, stream};

const ALIVE: &str = ": keep-alive\n\n";

/// The next piece of a body.
async fn next(body: &mut Body) -> String {
    let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_between_events_and_never_within_one() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let mut body = chats(&client).handle(post("Hi")).await.into_body();
    assert_eq!(next(&mut body).await, ALIVE);
    pieces.send(Ok("data: {\"type\":\"sta")).unwrap();
    assert_eq!(next(&mut body).await, "data: {\"type\":\"sta");
    let silence = tokio::time::timeout(Duration::from_secs(300), next(&mut body));
    assert!(silence.await.is_err());
    pieces.send(Ok("rt\"}\n\n")).unwrap();
    assert_eq!(next(&mut body).await, "rt\"}\n\n");
    let began = tokio::time::Instant::now();
    assert_eq!(next(&mut body).await, ALIVE);
    assert_eq!(next(&mut body).await, ALIVE);
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_interval_can_be_set() {
    let two = Some(Duration::from_secs(2));
    for (every, within) in [(two, 3), (None, 40), (Some(Duration::ZERO), 40)] {
        let (_pieces, body) = channel();
        let body = Mutex::new(Some(body));
        let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
        let chats = chats(&client).keep_alive(every);
        let mut body = chats.handle(post("Hi")).await.into_body();
        let comment = tokio::time::timeout(Duration::from_secs(within), next(&mut body)).await;
        assert_eq!(comment.is_ok(), every == two);
    }
}

/// A relay that takes 40 s to begin with this.
fn slow(begin: fn() -> http::Response<Body>) -> AgentClient {
    let transport = from_fn(move |_| async move {
        tokio::time::sleep(Duration::from_secs(40)).await;
        Ok(begin())
    });
    let client = AgentClient::builder().api_key("an_sk_secret");
    client.transport(transport).build().unwrap()
}

fn handlers(client: &AgentClient) -> [ChatHandler; 2] {
    let recorded = ChatHandler::new(client.clone(), crate::support::run);
    [chats(client), recorded].map(ChatHandler::respond_at_once)
}

#[tokio::test(start_paused = true)]
async fn a_response_that_begins_at_once_is_kept_alive_while_the_run_starts() {
    let client = slow(|| stream("data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n"));
    for chats in handlers(&client) {
        let began = tokio::time::Instant::now();
        let response = chats.handle(post("Hi")).await;
        assert_eq!(began.elapsed().as_secs(), 0);
        let (status, headers, body) = read(response).await;
        assert_eq!(
            (status.as_u16(), &headers["x-accel-buffering"]),
            (200, &"no".parse().unwrap())
        );
        // `WorkflowChatTransport` resumes by it.
        let names_run = headers.contains_key("x-workflow-run-id");
        assert_eq!(names_run, body.contains("\nid: "), "{headers:?}");
        let begin = format!(": stream-open\n\n{ALIVE}{ALIVE}");
        let rest = body
            .strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{body}"));
        assert!(
            rest.ends_with("data: [DONE]\n\n") && !rest.contains(ALIVE),
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_response_that_has_begun_is_an_error_chunk() {
    let client = slow(|| {
        json_response(
            402,
            &serde_json::json!({ "error": "budget\u{202e} exceeded" }),
        )
    });
    for chats in handlers(&client) {
        let (status, _, body) = read(chats.handle(post("Hi")).await).await;
        assert_eq!(status.as_u16(), 200);
        let at = body.find("data: ").unwrap();
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(events(&body[at..]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unauthorized_request_still_gets_its_status() {
    use twentyfirst_client::StartRun;
    use twentyfirst_client::backend::{ChatRequest, Refusal};

    let (client, _) = relay(|target| panic!("{target} was sent"));
    let chats = ChatHandler::new(client, async |_: ChatRequest| {
        Err::<StartRun, _>(Refusal::unauthorized("please sign in"))
    });
    let (status, _, _) = read(chats.respond_at_once().handle(post("Hi")).await).await;
    assert_eq!(status.as_u16(), 401);
}
