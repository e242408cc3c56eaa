//! Tokens with the local relay: what it accepts and what it refuses.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use serde_json::Value;
use twentyfirst_client::backend::{Refusal, TokenHandler, TokenRequest};
use twentyfirst_client::protocol::tokens::{CreateToken, Token, TokenLifetime};
use twentyfirst_client::transport::{Body, HttpTransport, ResponseFuture, Transport as _, from_fn};
use twentyfirst_client::{
    AgentClient, AgentClientBuilder, CallOptions, Error, RetryPolicy, StartRun,
};
use twentyfirst_local_relay::LocalRelay;

fn builder(relay: &LocalRelay) -> AgentClientBuilder {
    AgentClient::builder()
        .base_url(relay.url())
        .options(CallOptions::new().retry(RetryPolicy::never()))
}

fn server(relay: &LocalRelay) -> AgentClient {
    builder(relay).api_key(relay.api_key()).build().unwrap()
}

fn with_token(relay: &LocalRelay, token: &str) -> AgentClient {
    builder(relay).api_key(token).build().unwrap()
}

/// Returns the claims of a token, without checking its signature.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Asks a handler as a browser does.
async fn ask(handler: &TokenHandler, body: &'static str) -> Token {
    let request = Request::post("/api/agent/token")
        .body(Body::from(body))
        .unwrap();
    let response = handler.handle(request).await;
    assert_eq!(response.status(), 200);
    let body = response
        .into_body()
        .collect_up_to(Body::DEFAULT_LIMIT)
        .await;
    serde_json::from_slice(&body.unwrap()).unwrap()
}

/// Returns the status and the message with which a token is refused.
async fn refused(relay: &LocalRelay, token: &str) -> (u16, String) {
    let error = with_token(relay, token)
        .sandboxes()
        .create("shell")
        .await
        .unwrap_err();
    (
        error.status().unwrap().as_u16(),
        error.api_error().unwrap().message().to_owned(),
    )
}

#[tokio::test]
async fn a_token_of_the_handler_says_what_the_server_decided() {
    let relay = LocalRelay::start().unwrap();
    let handler = TokenHandler::new(server(&relay), async |_: TokenRequest| {
        Ok::<_, Refusal>(CreateToken::new().agent("shell").user_id("user_7"))
    });
    let token = ask(&handler, r#"{"agent":"other","userId":"the-admin"}"#).await;
    let said = claims(token.token.expose());
    assert_eq!(said["user_id"], "user_7");
    assert_eq!(said["agents"], serde_json::json!(["shell"]));
    assert_eq!(
        said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(),
        3600
    );

    let anyone = TokenHandler::for_anyone(server(&relay), "30s".parse().unwrap());
    let token = ask(&anyone, r#"{"agent":"other","userId":"the-admin"}"#).await;
    let said = claims(token.token.expose());
    assert_eq!(said["user_id"], "the-admin");
    assert_eq!(
        said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(),
        30
    );
}

#[tokio::test]
async fn a_token_is_valid_for_its_agent_and_creates_no_other_token() {
    let relay = LocalRelay::start().unwrap();
    let handler = TokenHandler::for_anyone(server(&relay), TokenLifetime::HOUR);
    let token = ask(&handler, r#"{"agent":"shell"}"#).await;
    let browser = with_token(&relay, token.token.expose());
    let sandbox = browser.sandboxes().create("shell").await.unwrap();

    let other = StartRun::new("echo", "Hi").sandbox_id(&sandbox.id);
    let error = browser.threads().start(other).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::FORBIDDEN));
    let error = browser.tokens().create().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn forged_foreign_and_expired_tokens_are_refused() {
    let relay = LocalRelay::start().unwrap();
    let invalid = (401, "Invalid or expired token".to_owned());
    let second = "1s".parse().unwrap();
    let token = server(&relay)
        .tokens()
        .create()
        .expires_in(second)
        .await
        .unwrap();
    let token = token.token.expose();

    // With other claims under the same signature.
    let (head, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let mut said = claims(token);
    said["exp"] = Value::from(u32::MAX);
    let said = URL_SAFE_NO_PAD.encode(said.to_string());
    assert_eq!(
        refused(&relay, &format!("{head}.{said}.{signature}")).await,
        invalid
    );
    // Without a signature.
    let none = format!("an_t_{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    assert_eq!(refused(&relay, &format!("{none}.{said}.")).await, invalid);

    let neighbour = LocalRelay::start().unwrap();
    let foreign = server(&neighbour).tokens().create().await.unwrap();
    assert_eq!(refused(&relay, foreign.token.expose()).await, invalid);

    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(refused(&relay, token).await, invalid);
}

/// A desktop program, which gets its tokens from a web server and sends everything else to the relay.
fn desktop(relay: &LocalRelay, handler: TokenHandler) -> AgentClient {
    let http = HttpTransport::new().unwrap();
    let transport = from_fn(move |request: Request<Body>| {
        let (http, handler) = (http.clone(), handler.clone());
        ResponseFuture::new(async move {
            if request.uri().host() == Some("app.example") {
                Ok(handler.handle(request).await)
            } else {
                http.send(request).await
            }
        })
    });
    builder(relay)
        .transport(transport)
        .token_url("https://app.example/api/agent/token")
        .build()
        .unwrap()
}

async fn list(client: &AgentClient, command: &str) -> Result<String, Error> {
    let sandbox = client.sandboxes().create("shell").await?;
    Ok(client.sandboxes().exec(&sandbox.id, command).await?.stdout)
}

#[tokio::test]
async fn a_desktop_program_talks_to_the_relay_as_a_browser_does() {
    let relay = LocalRelay::start().unwrap();
    let handler = TokenHandler::for_anyone(server(&relay), "2s".parse().unwrap());
    let client = desktop(&relay, handler);
    assert_eq!(list(&client, "echo one").await.unwrap(), "one\n");
    // The first token has expired by now.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(list(&client, "echo two").await.unwrap(), "two\n");
}

#[tokio::test]
async fn a_relay_that_forgets_its_tokens_goes_unnoticed() {
    let (old, relay) = (LocalRelay::start().unwrap(), LocalRelay::start().unwrap());
    let (before, after) = (server(&old), server(&relay));
    let count = std::sync::atomic::AtomicUsize::new(0);
    let client = builder(&relay)
        .token_source(move || {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let server = if first { before.clone() } else { after.clone() };
            async move { server.tokens().create().await }
        })
        .build()
        .unwrap();
    assert_eq!(list(&client, "echo one").await.unwrap(), "one\n");
}
