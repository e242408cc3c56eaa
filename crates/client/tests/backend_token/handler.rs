//! The token route, as browsers find it.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, COOKIE};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;
use twentyfirst_client::backend::{Refusal, TokenHandler, TokenRequest};
use twentyfirst_client::protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_client::transport::{Body, Error};
use twentyfirst_client::{AgentClient, RetryPolicy};

use crate::support::{KEY, Log, Sent, json, server};

const TOKEN: &str = r#"{"token":"an_t_x.y.z","expiresAt":"2026-02-26T12:00:00.000Z"}"#;

fn giving_tokens() -> (AgentClient, Log) {
    server(|_| Ok(json(201, TOKEN)))
}

fn for_anyone(client: AgentClient) -> TokenHandler {
    TokenHandler::for_anyone(client, TokenLifetime::HOUR)
}

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/api/agent/token").body(body.into()).unwrap()
}

async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect_up_to(Body::DEFAULT_LIMIT);
    (
        status,
        String::from_utf8(body.await.unwrap().to_vec()).unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_browser_gets_a_token_as_from_the_published_handler() {
    let (client, relay) = giving_tokens();
    let body = r#"{"agent":"my-agent","userId":"user_123"}"#;
    let response = for_anyone(client).handle(post(body)).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(text(response).await, (200, TOKEN.to_owned()));

    let sent = relay.take();
    assert_eq!(sent[0].bearer(), KEY);
    assert_eq!(
        sent[0].line,
        r#"POST https://relay.an.dev/v1/tokens {"agents":["my-agent"],"userId":"user_123","expiresIn":"1h"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn only_an_empty_body_means_an_empty_object() {
    let (client, relay) = giving_tokens();
    let lifetime = "15m".parse().unwrap();
    let handler = TokenHandler::for_anyone(client, lifetime);
    let deep = format!("{{\"n\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let bodies: [&[u8]; 7] = [
        b"",
        b"{}",
        b"\xef\xbb\xbf { } ",
        b"{\"agent\":\"\",\"userId\":\"\"}",
        b"{\"agent\":7,\"agent\":null,\"userId\":null}",
        b"{\"n\":1e400,\"\xff\":\"\\ud83d\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let response = handler.handle(post(body.to_vec())).await;
        assert_eq!(response.status(), 200, "{body:?}");
        let sent = relay.lines();
        assert_eq!(
            sent,
            [r#"POST https://relay.an.dev/v1/tokens {"expiresIn":"15m"}"#]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_decoded_as_by_browsers() {
    let (client, relay) = giving_tokens();
    let handler = for_anyone(client);
    let deep = format!(
        "{{\"agent\":\"a\",\"n\":{}{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    for body in [
        "\u{feff}{\"agent\":\"a\"}",
        r#"{"agent":"b","agent":"a"}"#,
        r#"{"agent":"a","n":1e400}"#,
        r#"{"agent":"a","n":"\ud83d"}"#,
        r#"{"\u0061gent":"a"}"#,
        &deep,
    ] {
        let response = handler.handle(post(body.to_owned())).await;
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(
            relay.lines(),
            [r#"POST https://relay.an.dev/v1/tokens {"agents":["a"],"expiresIn":"1h"}"#],
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_body_does_not_become_a_token_for_all_agents() {
    let (client, relay) = giving_tokens();
    let handler = for_anyone(client);
    for (body, message) in [
        (
            &b"agent=my-agent"[..],
            "the body is not JSON (line 1, column 1)",
        ),
        (b"{\"agent\":", "the body is not JSON (line 1, column 10)"),
        (
            b"{\"agent\":\"a\"}}",
            "the body is not JSON (line 1, column 14)",
        ),
        (b"\xff\xfe", "the body is not JSON (line 1, column 1)"),
        (b"{\0\"\0", "the body is not JSON (line 1, column 2)"),
        (b" ", "the body is not JSON (line 1, column 2)"),
        (b"\xef\xbb\xbf", "the body is not JSON (line 1, column 1)"),
        (b"null", "the body is not a JSON object"),
        (b"[1]", "the body is not a JSON object"),
        (b"\"my-agent\"", "the body is not a JSON object"),
        (
            b"{\"agent\":\"\\ud83d\"}",
            "`agent` contains half a surrogate pair",
        ),
        (
            b"{\"__proto__\":{\"agent\":\"a\"}}",
            "the body has a forbidden key: `__proto__`, or `prototype` within `constructor`",
        ),
    ] {
        let response = text(handler.handle(post(body.to_vec())).await).await;
        assert_eq!(
            response,
            (400, format!(r#"{{"error":"{message}"}}"#)),
            "{body:?}"
        );
    }
    assert!(relay.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_a_string_does_not_become_a_token_for_all_agents() {
    let (client, relay) = giving_tokens();
    let handler = for_anyone(client);
    for (body, name) in [
        (r#"{"agent":7}"#, "agent"),
        (r#"{"agent":["my-agent"]}"#, "agent"),
        (r#"{"agent":"my-agent","userId":{"id":1}}"#, "userId"),
    ] {
        let message = format!(r#"{{"error":"`{name}` is not a string"}}"#);
        let response = text(handler.handle(post(body)).await).await;
        assert_eq!(response, (400, message), "{body}");
    }
    assert!(relay.lines().is_empty());
}

#[derive(Clone)]
struct User(&'static str);

/// Issues tokens for one agent to users who are signed in.
fn for_users(client: AgentClient) -> TokenHandler {
    TokenHandler::new(client, async |request: TokenRequest| {
        let Some(User(id)) = request.head.extensions.get().cloned() else {
            return Err(Refusal::unauthorized("please sign in"));
        };
        match request.read().await?.agent.as_deref() {
            None | Some("support") => Ok(CreateToken::new().agent("support").user_id(id)),
            Some(_) => Err(Refusal::forbidden("not this one")),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_server_decides_who_the_user_is() {
    let (client, relay) = giving_tokens();
    let mut request = post(r#"{"agent":"support","userId":"the-admin"}"#);
    request.extensions_mut().insert(User("user_7"));
    let response = for_users(client).handle(request).await;
    assert_eq!(text(response).await, (200, TOKEN.to_owned()));
    assert_eq!(
        relay.lines(),
        [
            r#"POST https://relay.an.dev/v1/tokens {"agents":["support"],"userId":"user_7","expiresIn":"1h"}"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_sent_without_asking_the_relay() {
    let (client, relay) = giving_tokens();
    let handler = for_users(client);
    let response = handler.handle(post(r#"{"userId":"user_7"}"#)).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let refused = (401, r#"{"error":"please sign in"}"#.to_owned());
    assert_eq!(text(response).await, refused);

    let mut request = post(r#"{"agent":"billing"}"#);
    request.extensions_mut().insert(User("user_7"));
    let refused = (403, r#"{"error":"not this one"}"#.to_owned());
    assert_eq!(text(handler.handle(request).await).await, refused);
    assert!(relay.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_debug_output_of_a_request_has_no_session() {
    let (client, _) = giving_tokens();
    let handler = TokenHandler::new(client, async |request| {
        Err(Refusal::not_found(format!("{request:?}")))
    });
    let mut request = post(r#"{"agent":"my-agent"}"#);
    let cookie = "session=s3cr3t".parse().unwrap();
    request.headers_mut().insert(COOKIE, cookie);
    let (status, told) = text(handler.handle(request).await).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(status, 404);
    assert_eq!(told["error"], "TokenRequest { .. }");
}

#[tokio::test(start_paused = true)]
async fn the_function_may_look_up_the_session_of_a_cookie() {
    let (client, relay) = giving_tokens();
    let sessions = std::sync::Arc::new([("session=abc", "user_1")]);
    let handler = TokenHandler::new(client, move |request| {
        let sessions = std::sync::Arc::clone(&sessions);
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let cookie = request.head.headers.get(COOKIE);
            let user = sessions
                .iter()
                .find(|(session, _)| cookie.is_some_and(|cookie| cookie == session));
            let (_, user) = user.ok_or_else(|| Refusal::unauthorized("who are you?"))?;
            let lifetime = "30s"
                .parse()
                .map_err(|_| Refusal::internal("no lifetime"))?;
            Ok(CreateToken::new().user_id(*user).expires_in(lifetime))
        }
    });
    let mut request = post("{}");
    request
        .headers_mut()
        .insert(COOKIE, "session=abc".parse().unwrap());
    assert_eq!(handler.handle(request).await.status(), 200);
    assert_eq!(
        relay.lines(),
        [r#"POST https://relay.an.dev/v1/tokens {"userId":"user_1","expiresIn":"30s"}"#]
    );
    assert_eq!(handler.handle(post("{}")).await.status(), 401);
}

#[tokio::test]
async fn other_methods_get_the_allowed_ones() {
    let (client, relay) = giving_tokens();
    let handler = for_anyone(client);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let mut request = post("{}");
        *request.method_mut() = method;
        let response = handler.handle(request).await;
        assert_eq!(response.headers()[ALLOW], "OPTIONS, POST");
        let (status, body) = text(response).await;
        assert_eq!(
            (status, &*body),
            (405, r#"{"error":"this route accepts OPTIONS, POST"}"#)
        );
    }
    let mut request = post("");
    *request.method_mut() = Method::OPTIONS;
    let response = handler.handle(request).await;
    assert_eq!(response.headers()[ALLOW], "OPTIONS, POST");
    assert_eq!(text(response).await, (204, String::new()));
    assert!(relay.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_is_read_only_up_to_its_limit() {
    let (client, relay) = giving_tokens();
    let handler = for_anyone(client);
    let response = handler.handle(post(vec![b' '; 10 * 1024 * 1024 + 1])).await;
    let refused = r#"{"error":"the body is longer than 10485760 bytes"}"#;
    assert_eq!(text(response).await, (413, refused.to_owned()));

    struct Endless;
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
            let frame = http_body::Frame::data(Bytes::from_static(&[b' '; 4096]));
            std::task::Poll::Ready(Some(Ok(frame)))
        }
    }
    let response = handler.handle(post(Body::wrap(Endless))).await;
    assert_eq!(response.status(), 413);
    assert!(relay.lines().is_empty());

    let mut longest = vec![b' '; 10 * 1024 * 1024];
    longest[..2].copy_from_slice(b"{}");
    let response = handler.handle(post(longest)).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_off_is_refused() {
    let (client, relay) = giving_tokens();
    let broken = Full::new(Bytes::from("{")).map_err(|never| match never {});
    let broken = BoxBody::new(broken).with_trailers(async { Some(Err(Error::new("reset"))) });
    let request = Request::post("/").body(broken).unwrap();
    let response = for_anyone(client).handle(request).await;
    let refused = r#"{"error":"the body was cut off"}"#;
    assert_eq!(text(response).await, (400, refused.to_owned()));
    assert!(relay.lines().is_empty());
}

/// Returns the response to the browser for this response of the relay.
async fn told(
    respond: impl Fn(&Sent) -> Result<Response<Body>, Error> + Send + Sync + 'static,
) -> (u16, String) {
    let (client, _) = server(respond);
    let once = client.options().retry(RetryPolicy::never());
    let handler = for_anyone(client.with_options(once));
    text(handler.handle(post("{}")).await).await
}

#[tokio::test(start_paused = true)]
async fn failures_are_500_and_never_show_the_key() {
    let message = |text: &str| (500, format!(r#"{{"error":"{text}"}}"#));
    assert_eq!(
        told(|_| Ok(json(401, r#"{"error":"Invalid API key"}"#))).await,
        message("Invalid API key")
    );
    assert_eq!(
        told(|sent| Ok(json(
            401,
            format!(r#"{{"error":"unknown: {}"}}"#, sent.bearer())
        )))
        .await,
        message("unknown: ***")
    );
    assert_eq!(
        told(|_| Ok(json(500, r#"{"error":"SELECT * FROM keys failed"}"#))).await,
        message("the relay failed")
    );
    assert_eq!(
        told(|_| Err(Error::new("connection to 10.0.0.7 reset"))).await,
        message("the relay failed")
    );
    // What is not understood may hold a token.
    assert_eq!(
        told(|_| Ok(json(201, r#"{"token":"an_t_x.y.z"}"#))).await,
        message("the relay failed")
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_a_service_of_tower_for_any_body() {
    let (client, _) = giving_tokens();
    let handler = for_anyone(client);
    let request = Request::post("/")
        .body(Full::new(Bytes::from("{}")))
        .unwrap();
    let response = handler.clone().oneshot(request).await;
    assert_eq!(text(response.unwrap()).await, (200, TOKEN.to_owned()));
    assert_eq!(format!("{handler:?}"), "TokenHandler { .. }");

    fn takes_what_routers_want<S>(_: S)
    where
        S: tower::Service<Request<Body>, Error = std::convert::Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
    }
    takes_what_routers_want(handler);
}
