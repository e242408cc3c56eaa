//! A recording of the local relay: it is replayed without the relay, and contains no secrets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use proptest::prelude::*;
use twentyfirst_client::protocol::Redactor;

use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_client::protocol::vaults::{CredentialAuth, CredentialSettings};
use twentyfirst_client::transport::{Body, HttpTransport, Transport, from_fn};
use twentyfirst_client::{AgentClient, Error, cassette};
use twentyfirst_local_relay::LocalRelay;

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn client(relay_url: &str, transport: impl Transport) -> AgentClient {
    AgentClient::builder()
        .api_key("21st_sk_local")
        .base_url(relay_url)
        .transport(transport)
        .build()
        .unwrap()
}

/// A test as a user would write it.
async fn story(client: &AgentClient) -> Result<(String, String), Error> {
    let create = CreateSandbox::new("shell").env("PASSWORD", "env-hunter2");
    let sandbox = client.execute(&create).await?;
    let exec = Exec::new(&sandbox.id, "echo hello").env("PASSWORD", "exec-hunter2");
    let output = client.execute(&exec).await?;
    let start = StartRun::new("shell", "echo from the agent").sandbox_id(&sandbox.id);
    let text = client.threads().start(start).await?.text().await?;
    client.tokens().create().await?;
    let vault = client.vaults().create("Main").await?;
    let settings = CredentialSettings::new(
        "https://mcp.example.com",
        CredentialAuth::bearer("vault-hunter2"),
    );
    client
        .vaults()
        .create_credential(&vault.id, settings)
        .await?;
    client.sandboxes().delete(&sandbox.id).await?;
    Ok((output.stdout, text))
}

#[tokio::test]
async fn a_recording_is_played_without_the_relay_and_holds_no_secret() {
    let file = File::default();
    let recorded = {
        let relay = LocalRelay::start().unwrap();
        let recorder = cassette::recorder(HttpTransport::new().unwrap(), file.clone());
        story(&client(relay.url(), recorder)).await.unwrap()
    };
    let recording = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    assert_eq!(recorded.0, "hello\n");

    for secret in ["hunter2", "21st_sk_local", "an_t_"] {
        assert!(!recording.contains(secret), "{secret} in {recording}");
    }

    let player = cassette::player(&recording).unwrap();
    let played = story(&client("http://127.0.0.1:1", player)).await.unwrap();
    assert_eq!(played, recorded);

    let player = cassette::player(&recording).unwrap();
    let error = client("http://127.0.0.1:1", player)
        .sandboxes()
        .create("echo")
        .await
        .unwrap_err();
    let mut shown = format!("{error}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown += &format!("\n{error}");
        source = error.source();
    }
    assert!(
        shown.contains("shell") && shown.contains("echo"),
        "the difference is shown: {shown}"
    );
}

const KEY: &str = "21st_sk_ü/key+of&mine\"";

/// A request and its response.
type Exchange = (Request<Vec<u8>>, Response<Vec<u8>>);

/// Records these exchanges. Returns the recording, and the requests.
async fn record(exchanges: Vec<Exchange>) -> (String, Vec<Request<Body>>) {
    let file = File::default();
    let (mut requests, mut responses, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for (request, response) in exchanges {
        asked.push(request.clone().map(Body::from));
        requests.push(request.map(Body::from));
        responses.push(response);
    }
    responses.reverse();
    let responses = Mutex::new(responses);
    let server = from_fn(move |_| {
        let response = responses.lock().unwrap().pop().unwrap();
        async { Ok(response.map(Body::from)) }
    });
    let recorder = cassette::recorder(server, file.clone());
    for request in requests {
        let response = recorder.send(request).await.unwrap();
        response.into_body().collect_up_to(100_000).await.unwrap();
    }
    let recording = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    (recording, asked)
}

fn post(path: &str, body: &str) -> Request<Vec<u8>> {
    Request::post(path).body(body.as_bytes().to_vec()).unwrap()
}

fn found(body: &str) -> Response<Vec<u8>> {
    Response::new(body.as_bytes().to_vec())
}

#[tokio::test]
async fn credentials_are_not_recorded_wherever_and_however_they_are_repeated() {
    let with = |name: &'static str, value: &str, request: Request<Vec<u8>>| {
        let (mut head, body) = request.into_parts();
        head.headers.insert(
            name,
            http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
        Request::from_parts(head, body)
    };
    let plain = "21st_sk_plain+key/of=mine";
    let mut echo = found(&format!(
        r#"{{"error":{{"message":"the key 21st_sk_plain\u002bkey\/of=mine of {}, or 21st_sk_plain%2Bkey%2fof%3Dmine, or {plain}"}}}}"#,
        "nobody",
    ));
    let headers = echo.headers_mut();
    headers.insert(
        "location",
        "/login?from=21st_sk_plain%2bkey/of=mine".parse().unwrap(),
    );
    headers.insert(
        "set-cookie",
        "sid=cookie-of-theirs; Path=/v1/chat; Secure"
            .parse()
            .unwrap(),
    );
    let exchanges = vec![
        (
            with(
                "authorization",
                &format!("Bearer {plain}"),
                post("/v1/a", "{}"),
            ),
            echo,
        ),
        // A key with odd characters, in a header of the user's own.
        (
            with(
                "x-api-key",
                KEY,
                post(
                    "/v1/b?token=query-token-1&x=query-token-1",
                    &format!("{KEY} in a request"),
                ),
            ),
            found(&format!(
                "data: {{\"type\":\"text-delta\",\"delta\":{}}}\n\ndata: {{\"d\":\"{KEY_HTML} {KEY_URL} query-token-1\"}}\n\n",
                serde_json::to_string(KEY).unwrap()
            )),
        ),
        (
            with(
                "authorization",
                "Basic dXNlcm5hbWU6cGFzc3dvcmQtOQ==",
                post("/v1/c", ""),
            ),
            found("username may not use password-9, dXNlcm5hbWU6cGFzc3dvcmQtOQ=="),
        ),
        (
            with(
                "cookie",
                "a=cookie-of-ours-1; b=cookie-of-ours-2",
                post("/v1/d", ""),
            ),
            found("<p>cookie-of-ours-2, cookie-of-ours-1, cookie-of-theirs at /v1/chat</p>"),
        ),
        // A token in a response, nested and after a byte order mark, and later requests with it and without.
        (
            post("/v1/tokens", "{}"),
            found(
                "\u{feff}{\"data\":{\"token\":\"an_t_\\u0062rought-by-them\"},\"echo\":[\"an_t_brought-by-them\"]}",
            ),
        ),
        (
            with(
                "authorization",
                "Bearer an_t_brought-by-them",
                post("/v1/e", "{}"),
            ),
            found("an_t_brought-by-them and 21st_sk_plain+key/of=mine"),
        ),
        (
            post(
                "/v1/f/an_t_brought-by-them",
                r#"{"text":"an_t_brought-by-them"}"#,
            ),
            found("an_t_brought-by-them%20"),
        ),
        // A request that was built without an operation also has its secrets masked.
        (
            post(
                "/v1/g",
                r#"{"auth":{"type":"oauth","accessToken":"access-of-mine"},"envs":{"A":"env of mine"},"x":"env of mine"}"#,
            ),
            found(r#"{"token":"","echo":"access-of-mine, env of mine"}"#),
        ),
    ];
    let (recording, asked) = record(exchanges).await;
    for secret in [
        "plain",
        "ü",
        "key+of",
        "of&mine",
        "key%2Bof",
        "mine",
        "query-token",
        "password-9",
        "dXNl",
        "cookie-of",
        "an_t_",
        "rought",
    ] {
        assert!(!recording.contains(secret), "{secret} in {recording}");
    }
    assert!(
        recording.contains("/v1/chat</p>") && recording.contains(r#"\"type\":\"oauth\""#),
        "{recording}"
    );

    let player = cassette::player(&recording).unwrap();
    for request in asked {
        player.send(request).await.unwrap();
    }
    assert_eq!(player.remaining(), 0);
}

const KEY_HTML: &str = "21st_sk_&#252;/key+of&amp;mine&quot;";
const KEY_URL: &str = "21st_sk_%C3%BC%2Fkey%2Bof%26mine%22";

#[tokio::test]
async fn masking_common_values_keeps_a_recording_playable() {
    let file = File::default();
    let values = [
        "1", "0", "true", "null", " ", "\"", "hello\"", "text", "user", "error", "id", "json",
        "data", "200", "status", "active", "{}", "[]", ":", "\\n", "***", "*", "\\", "\n", "%",
        "&", "+", "hell", "stdout",
    ];
    let with_envs = |mut exec: Exec| {
        for (at, value) in values.iter().enumerate() {
            exec = exec.env(format!("V{at}"), *value);
        }
        exec
    };
    let story = async |client: &AgentClient| {
        let mut create = CreateSandbox::new("shell");
        for (at, value) in values.iter().enumerate() {
            create = create.env(format!("V{at}"), *value);
        }
        let sandbox = client.execute(&create).await.unwrap();
        let exec = with_envs(Exec::new(&sandbox.id, "echo bye; exit 1"));
        let output = client.execute(&exec).await.unwrap();
        let start = StartRun::new("shell", "echo from the agent").sandbox_id(&sandbox.id);
        let mut run = client.threads().start(start).await.unwrap();
        let message = run.message().await.unwrap();
        (output.exit_code, output.stdout, message.text())
    };
    let recorded = {
        let relay = LocalRelay::start().unwrap();
        let recorder = cassette::recorder(HttpTransport::new().unwrap(), file.clone());
        story(&client(relay.url(), recorder)).await
    };
    let recording = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    let player = cassette::player(&recording).unwrap();
    let played = story(&client("http://127.0.0.1:1", player)).await;
    assert_eq!(played, recorded);
    assert_eq!(recorded.0, 1);
}

/// Any text, with the syntax of JSON, URLs, HTML and event streams among it.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ab1\"\\\\/%&+ ;:,{}\\[\\]*]{0,4}",
        "\\\\n|\\\\u0062|%2|%62|&amp;|&#98;|true|data: |\n\n|ä|\u{1f600}|\u{feff}",
        "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Bodies that may contain the secret: JSON, event streams, forms, text, and any bytes.
fn body(form: u8, text: &str, secret: &str) -> Vec<u8> {
    let held = format!("{text}{secret}{text}");
    match form {
        0 => serde_json::json!({"a": held, "b": [1, true, secret], "c": {"token": text}})
            .to_string()
            .into_bytes(),
        1 => format!(
            "data: {}\n\ndata: [DONE]\n\n",
            serde_json::json!({"type": "x", "delta": held})
        )
        .into_bytes(),
        2 => format!("a={held}&b=1").into_bytes(),
        3 => [b"\xff\0", held.as_bytes(), b"\xc3"].concat(),
        _ => held.into_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    /// For any secret, request and response: the recording can be replayed, the response differs only where it is masked, JSON stays
    /// JSON, and the secret is not in the recording, unless it is too common a text to be recognized as one.
    #[test]
    fn a_recording_can_be_replayed(
        secret in texts(),
        text in texts(),
        (asked_form, told_form) in (0..5_u8, 0..5_u8),
    ) {
        let asked = body(asked_form, &text, &secret);
        let told = body(told_form, &text, &secret);
        let request = || {
            let mut request = Request::post("/v1/x").body(asked.clone()).unwrap();
            let secrets = [secret.as_str()].into_iter().collect::<twentyfirst_client::protocol::Secrets>();
            request.extensions_mut().insert(secrets);
            request
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (recording, played) = runtime.block_on(async {
            let (recording, _) = record(vec![(request(), Response::new(told.clone()))]).await;
            let player = cassette::player(&recording).unwrap();
            let response = player.send(request().map(Body::from)).await.unwrap();
            (recording, response.into_body().collect_up_to(100_000).await.unwrap())
        });
        if told_form == 0 {
            let json: serde_json::Value = serde_json::from_slice(&played).unwrap();
            prop_assert_eq!(&json["b"][1], &serde_json::json!(true));
        }
        if Redactor::new([&secret, &text]).places(&told).is_empty() {
            prop_assert_eq!(&*played, &*told);
        }
        // A byte order mark at the beginning of a body does not belong to its text.
        let secret = secret.trim_start_matches('\u{feff}');
        let plain = secret.len() >= 3 && secret != "true" && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte > 0x7f) && secret.trim() == secret;
        if plain && !["a", "data", "delta", "type", "token"].iter().any(|word| word.contains(secret)) && asked_form != 3 && told_form != 3 {
            let rest = recording.replace("***", "\n");
            prop_assert!(!rest.lines().skip(1).any(|line| line.contains(secret)), "{:?} in {}", secret, recording);
        }
    }
}
