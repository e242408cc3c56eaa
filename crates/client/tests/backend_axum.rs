//! A user's own routes in axum: they read requests of browsers as the handlers do, and errors become responses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use twentyfirst_client::backend::{
    ChatRequest, Refusal, RequestLimits, ThreadHandler, ThreadRequest, TokenRequest,
};
use twentyfirst_client::protocol::threads::{Thread, ThreadStatus};
use twentyfirst_client::protocol::tokens::{CreateToken, Token};
use twentyfirst_client::{AgentClient, Error, RunRef, Sandbox, Session};
use twentyfirst_local_relay::{Fault, LocalRelay};

/// A route that returns errors of the client.
async fn sandbox(
    State(client): State<AgentClient>,
    Path(id): Path<String>,
) -> Result<Json<Sandbox>, Error> {
    client.sandboxes().get(id).await.map(Json)
}

/// A route that also refuses some requests.
async fn thread(
    State(client): State<AgentClient>,
    Path((sandbox, thread)): Path<(String, String)>,
) -> Result<Json<Thread>, Refusal> {
    if sandbox == "theirs" {
        return Err(Refusal::forbidden("it is not yours").retry_after(Duration::from_millis(1500)));
    }
    Ok(Json(client.threads().get(sandbox, thread).await?))
}

async fn ask(
    State(client): State<AgentClient>,
    request: ChatRequest,
) -> Result<Json<RunRef>, Refusal> {
    let turn = request.read().await?;
    let session = Session::new("echo");
    let started = client
        .threads()
        .start(session.run(turn.messages))
        .in_background();
    Ok(Json(started.await?.run))
}

async fn token(
    State(client): State<AgentClient>,
    request: TokenRequest,
) -> Result<Json<Token>, Refusal> {
    let agent = request.read().await?.agent;
    let agent = agent.ok_or_else(|| Refusal::bad_request("for which agent?"))?;
    Ok(Json(
        client.execute(&CreateToken::new().agent(agent)).await?,
    ))
}

async fn named(request: ThreadRequest) -> Result<String, Refusal> {
    let asked = request.read().await?;
    Ok(format!("{:?} {:?}", asked.sandbox_id, asked.name))
}

fn start() -> (LocalRelay, AgentClient, Router) {
    let relay = LocalRelay::start().unwrap();
    let client = AgentClient::of(&relay).unwrap();
    let threads = ThreadHandler::new(client.clone(), async |request: ThreadRequest| {
        let asked = request.read().await?.sandbox_id;
        asked.ok_or_else(|| Refusal::bad_request("of which sandbox?"))
    });
    let routes = Router::new()
        .route("/sandboxes/{id}", get(sandbox))
        .route("/sandboxes/{sandbox}/threads/{thread}", get(thread))
        .route("/ask", post(ask))
        .route("/token", post(token))
        .route("/named", any(named))
        .route_service("/threads", threads)
        .with_state(client.clone());
    (relay, client, routes)
}

async fn call(
    routes: &Router,
    method: &str,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let response = routes
        .clone()
        .oneshot(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test]
async fn an_error_of_the_client_converts_into_the_response_of_the_handlers() {
    let (relay, client, routes) = start();
    let id = client.sandboxes().create("echo").await.unwrap().id;
    let (status, found) = call(&routes, "GET", &format!("/sandboxes/{id}"), "").await;
    assert_eq!((status, &found["id"]), (StatusCode::OK, &json!(id)));

    let (status, refusal) = call(&routes, "GET", "/sandboxes/none", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let error = client.sandboxes().get("none").await.unwrap_err();
    assert_eq!(refusal, json!({ "error": Refusal::from(error).message() }));

    // The relay refuses the key. The browser can do nothing about that, so it is not a 401 for the browser.
    relay.inject(Fault::refuse(StatusCode::UNAUTHORIZED).always());
    let (status, refusal) = call(&routes, "GET", &format!("/sandboxes/{id}/threads/t"), "").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        refusal,
        json!({ "error": "the relay does not accept this server" })
    );
}

#[tokio::test]
async fn a_refusal_is_a_response() {
    let (_relay, _, routes) = start();
    let request = Request::get("/sandboxes/theirs/threads/t")
        .body(Body::empty())
        .unwrap();
    let response = routes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"error":"it is not yours"}"#);

    let never = Refusal::conflict("it is theirs").retry_after(Duration::MAX);
    let response = http::Response::from(never);
    assert_eq!(response.headers()["retry-after"], u64::MAX.to_string());
}

#[tokio::test]
async fn a_message_from_use_chat_starts_a_run() {
    let (_relay, client, routes) = start();
    let parts = json!([{ "type": "text", "text": "Hello there" }]);
    let body = json!({ "id": "c1", "messages": [{ "id": "m1", "role": "user", "parts": parts }] });
    let (status, run) = call(&routes, "POST", "/ask", body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{run}");
    let run: RunRef = serde_json::from_value(run).unwrap();
    let mut run = client.threads().follow(&run).unwrap();
    run.outcome().await;
    let thread = client
        .threads()
        .get(run.sandbox_id(), run.thread_id())
        .await
        .unwrap();
    assert_eq!(thread.status, ThreadStatus::Completed);
    let answer = thread.into_ui_messages().pop().unwrap();
    assert!(answer.text().contains("Hello there"));

    for body in ["", "{}", "no JSON"] {
        let (status, refusal) = call(&routes, "POST", "/ask", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {refusal}");
        assert!(refusal["error"].is_string(), "{refusal}");
    }
}

#[tokio::test]
async fn token_and_thread_requests_are_read_as_in_their_handlers() {
    let (_relay, client, routes) = start();
    let (status, token) = call(&routes, "POST", "/token", r#"{"agent":"echo"}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert!(token["token"].is_string(), "{token}");
    for body in ["", r#"{"agent":1}"#, "[]"] {
        let (status, refusal) = call(&routes, "POST", "/token", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {refusal}");
    }

    let id = client.sandboxes().create("echo").await.unwrap().id;
    let body = json!({ "sandboxId": id, "name": "First" }).to_string();
    let (_, asked) = call(&routes, "POST", "/named", body.clone()).await;
    assert_eq!(asked, format!("{:?} {:?}", Some(&id), Some("First")));
    let query = format!("sandboxId={id}");
    let (_, asked) = call(&routes, "GET", &format!("/named?{query}"), "").await;
    assert_eq!(asked, format!("{:?} None", Some(&id)));
    // axum answers `HEAD` with the route of `GET`.
    let (status, _) = call(&routes, "HEAD", &format!("/named?{query}"), "").await;
    assert_eq!(status, StatusCode::OK);

    // The handler beside these routes serves all its methods.
    let (status, thread) = call(&routes, "POST", "/threads", body).await;
    assert_eq!((status, &thread["name"]), (StatusCode::OK, &json!("First")));
    let (_, threads) = call(&routes, "GET", &format!("/threads?{query}"), "").await;
    assert_eq!(threads["threads"][0]["id"], thread["id"]);
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn limits_are_the_defaults_of_the_handlers_or_set_by_a_layer() {
    let (_relay, _, routes) = start();
    let (a_mebibyte, longer) = (1 << 20, RequestLimits::new().body + 1);
    let spaces = |length| Full::from(vec![b' '; length]);
    let long = |length| Body::new(spaces(length));
    for path in ["/ask", "/token", "/named"] {
        // Longer than axum's own extractors accept. It is refused only because it has nothing but spaces.
        let (status, _) = call(&routes, "POST", path, long(3 * a_mebibyte)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        let (status, refusal) = call(&routes, "POST", path, long(longer)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(refusal["error"], "the body is longer than 10485760 bytes");
    }

    let limits = RequestLimits::new()
        .body(1000)
        .idle(Duration::from_millis(100));
    let routes = routes.layer(Extension(limits));
    for path in ["/ask", "/token", "/named"] {
        let (status, refusal) = call(&routes, "POST", path, long(1001)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(refusal["error"], "the body is longer than 1000 bytes");
        let (status, _) = call(&routes, "POST", path, Body::new(Never)).await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{path}");
    }
}
