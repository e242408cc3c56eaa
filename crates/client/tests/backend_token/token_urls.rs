//! Tokens from a URL, as a browser gets them.

use http::HeaderValue;
use http::Response;
use http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
use twentyfirst_client::protocol::retry::GiveUp;
use twentyfirst_client::transport::Body;
use twentyfirst_client::transport::Error as TransportError;
use twentyfirst_client::{
    AgentClient, AgentClientBuilder, CallOptions, RetryPolicy, SandboxId, TokenUrl,
};

use crate::support::{Log, Sent, chain, json, relay};

const URL: &str = "https://app.example/api/agent/token?tenant=7";

fn found() -> Response<Body> {
    json(200, r#"{"id":"sb_1","status":"active"}"#)
}

/// A builder whose transport responds at the token URL by `respond`, and everywhere else like a relay.
fn builder(
    respond: impl Fn(&Sent) -> Result<Response<Body>, TransportError> + Send + Sync + 'static,
) -> (AgentClientBuilder, Log) {
    let (transport, log) = relay(move |sent| {
        if sent.line.contains("relay.an.dev") {
            Ok(found())
        } else {
            respond(sent)
        }
    });
    let builder = AgentClient::builder()
        .transport(transport)
        .user_agent("desktop/1.0")
        .options(CallOptions::new().retry(RetryPolicy::never()));
    (builder, log)
}

async fn get(client: &AgentClient) -> Result<(), twentyfirst_client::Error> {
    let id = SandboxId::new("sb_1").unwrap();
    client.sandboxes().get(&id).await.map(drop)
}

/// Returns the error of a call for this response of the token URL.
async fn failure(
    respond: impl Fn(&Sent) -> Result<Response<Body>, TransportError> + Send + Sync + 'static,
) -> twentyfirst_client::Error {
    let (builder, log) = builder(respond);
    let session = HeaderValue::from_static("session=s3cr3t-session");
    let url = TokenUrl::new(URL).header(COOKIE, session);
    let client = builder.token_url(url).build().unwrap();
    let error = get(&client).await.unwrap_err();
    assert_eq!(log.take().len(), 1, "the relay is not asked");
    error
}

#[tokio::test(start_paused = true)]
async fn the_url_gets_the_same_request_as_from_a_browser() {
    let (builder, log) = builder(|_| {
        Ok(json(
            200,
            r#"{"token":"an_t_1","expiresAt":"2099-01-01T00:00:00.000Z"}"#,
        ))
    });
    let url = TokenUrl::new(URL)
        .agent("my-agent")
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer my-session"));
    let client = builder.token_url(url).build().unwrap();
    get(&client).await.unwrap();
    get(&client).await.unwrap();

    let sent = log.take();
    let lines: Vec<_> = sent.iter().map(|sent| sent.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            r#"POST https://app.example/api/agent/token?tenant=7 {"agent":"my-agent"}"#,
            "GET https://relay.an.dev/v1/sandboxes/sb_1",
            "GET https://relay.an.dev/v1/sandboxes/sb_1",
        ]
    );
    let bearers: Vec<_> = sent.iter().map(Sent::bearer).collect();
    assert_eq!(bearers, ["my-session", "an_t_1", "an_t_1"]);
    assert_eq!(sent[0].headers["content-type"], "application/json");
    assert_eq!(sent[0].headers[USER_AGENT], sent[1].headers[USER_AGENT]);
}

#[tokio::test(start_paused = true)]
async fn without_an_agent_the_route_decides() {
    let (builder, log) = builder(|_| {
        Ok(json(
            200,
            r#"{"token":"an_t_1","expiresAt":"2099-01-01T00:00:00.000Z"}"#,
        ))
    });
    let client = builder.token_url(URL).build().unwrap();
    get(&client).await.unwrap();
    assert_eq!(
        log.take()[0].line,
        "POST https://app.example/api/agent/token?tenant=7 {}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_can_be_recognized() {
    let error = failure(|sent| {
        let session = sent.headers[COOKIE].to_str().unwrap();
        Ok(json(401, format!(r#"{{"error":"{session} is over"}}"#)))
    })
    .await;
    assert_eq!(error.token_error().unwrap().status().unwrap(), 401);
    assert_eq!(
        chain(&error),
        "no token could be obtained for the request <- the token URL responded with 401: *** is over"
    );
    assert!(!error.maybe_sent());
    assert!(!format!("{error:?}").contains("s3cr3t"));

    // The value of the cookie without its name, a secret in the URL, and a token in the response.
    let (client, _) = builder(|_| {
        let error = r#"{"error":"no s3cr3t-session for s3cr\u0065t-query, but an_t_other","token":"an_t_other"}"#;
        Ok(json(401, error))
    });
    let session = HeaderValue::from_static("session=s3cr3t-session; theme=dark");
    let url = TokenUrl::new(format!("{URL}&session=s3cret%2Dquery")).header(COOKIE, session);
    let client = client.token_url(url).build().unwrap();
    assert_eq!(
        chain(&get(&client).await.unwrap_err()),
        "no token could be obtained for the request <- the token URL responded with 401: no *** for ***, but ***"
    );

    let error = failure(|_| Ok(json(404, "<html>not here</html>"))).await;
    assert_eq!(
        chain(&error),
        "no token could be obtained for the request <- the token URL responded with 404: Not Found"
    );
    let error = failure(|_| Ok(json(302, ""))).await;
    assert_eq!(error.token_error().unwrap().status().unwrap(), 302);
    let error = failure(|_| Err(TransportError::new("reset"))).await;
    assert!(chain(&error).starts_with(
        "no token could be obtained for the request <- the token URL did not respond"
    ));
    assert!(!error.maybe_sent());
}

#[tokio::test(start_paused = true)]
async fn a_token_url_that_refuses_is_not_retried() {
    for (status, times) in [
        (400, 1),
        (401, 1),
        (403, 1),
        (404, 1),
        (408, 3),
        (425, 3),
        (429, 3),
        (500, 3),
        (503, 3),
    ] {
        let (builder, log) = builder(move |_| Ok(json(status, r#"{"error":"no"}"#)));
        let client = builder.token_url(URL).options(CallOptions::new()).build();
        let error = get(&client.unwrap()).await.unwrap_err();
        assert_eq!(error.token_error().unwrap().status().unwrap(), status);
        assert_eq!(
            (log.take().len(), error.attempts()),
            (times, times as u32),
            "{status}"
        );
        assert_eq!(error.give_up() == Some(GiveUp::Permanent), times == 1);
        // It is not the relay that refuses.
        assert!(!error.is_unauthorized() && !error.maybe_sent());
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_token_response_is_not_shown() {
    for response in [
        r#"{"token":"an_t_s3cr3t"}"#.to_owned(),
        r#"{"token":["an_t_s3cr3t"],"expiresAt":""}"#.to_owned(),
        "an_t_s3cr3t".to_owned(),
        "<html>".to_owned(),
    ] {
        let error = failure(move |_| Ok(json(200, &response))).await;
        assert_eq!(
            chain(&error),
            "no token could be obtained for the request <- the response of the token URL is not a token"
        );
        assert!(!format!("{error:?}").contains("s3cr3t"));
    }
    let error = failure(|_| Ok(json(200, "x".repeat(100_000)))).await;
    assert!(
        chain(&error).ends_with("<- the body is longer than 65536 bytes"),
        "{}",
        chain(&error)
    );
}

#[test]
fn an_invalid_url_is_refused_before_anything_is_sent() {
    let problem = |url: &str| {
        let error = AgentClient::builder().token_url(url).build().unwrap_err();
        error.to_string()
    };
    let mut problems = String::new();
    for url in [
        "//",
        "/api/agent/token",
        "ftp://app.example/token",
        "https://me:pw@app.example/token",
        "https://app.example:99999/token",
        "http://app.example/token",
    ] {
        problems += &format!("{url}\n  {}\n", problem(url));
    }
    insta::assert_snapshot!(problems, @r"
    //
      the request is invalid: `token_url` must be an absolute http or https URL
    /api/agent/token
      the request is invalid: `token_url` must be an absolute http or https URL
    ftp://app.example/token
      the request is invalid: `token_url` must be an absolute http or https URL
    https://me:pw@app.example/token
      the request is invalid: `token_url` must be a URL without user and password
    https://app.example:99999/token
      the request is invalid: `token_url` must be a URL with a port of at most 65535
    http://app.example/token
      the request is invalid: `token_url` must be https, since tokens would travel in clear, unless `dangerous_plain_http` is set
    ");
    let builder = AgentClient::builder;
    assert!(
        builder()
            .token_url("http://127.0.0.1:3000/token")
            .build()
            .is_ok()
    );
    let clear = builder()
        .token_url("http://app.example/token")
        .dangerous_plain_http();
    assert!(clear.build().is_ok());
}

#[test]
fn the_debug_output_of_a_url_has_no_secret() {
    let url = TokenUrl::new("https://app.example/token?session=s3cr3t")
        .agent("my-agent")
        .header(COOKIE, HeaderValue::from_static("session=s3cr3t"));
    assert_eq!(
        format!("{url:?}"),
        r#"TokenUrl { url: "https://app.example/token", agent: Some("my-agent"), .. }"#
    );

    // Such URLs are refused when the client is built. Until then they are not shown.
    let secret = "https://user:s3cr3t@app.example/?key=s3cr3t";
    let url = TokenUrl::new(secret);
    let builder = AgentClient::builder().base_url(secret);
    let shown = format!("{url:?} {builder:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let builder = AgentClient::builder().base_url("https://relay.example/");
    assert!(format!("{builder:?}").contains(r#"Some("https://relay.example")"#));
}
