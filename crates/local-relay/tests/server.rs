//! The server: its connections, and its handle in a program.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Client, Produced, user};
use http_body_util::{BodyExt, Either};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use twentyfirst_local_relay::{Agent, LocalRelay, Run, Script};

#[tokio::test]
async fn a_connection_is_reused_and_closed_when_idle() {
    let relay = LocalRelay::start().unwrap();
    let mut socket = TcpStream::connect(relay.address()).await.unwrap();
    for _ in 0..2 {
        socket
            .write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\n\r\n")
            .await
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("keep-alive: timeout=5"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        socket.read_exact(&mut body).await.unwrap();
    }
    let idle = Instant::now();
    assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 0);
    let idle = idle.elapsed().as_secs_f64();
    assert!((4.0..20.0).contains(&idle), "closed after {idle} s");
}

#[tokio::test]
async fn a_running_stream_is_not_idle() {
    let quiet = Agent::new(async |run: Run| {
        tokio::time::sleep(Duration::from_secs(6)).await;
        run.say("late").await;
        Ok(())
    });
    let relay = LocalRelay::builder().agent("quiet", quiet).start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("quiet").await;
    let thread = client.create_thread(&sandbox).await;
    let mut stream = client.chat("quiet", &sandbox, &thread, "Hi").await;
    assert_eq!(stream.text().await, "late");
}

#[tokio::test]
async fn dropping_the_relay_cuts_its_connections() {
    let relay = LocalRelay::builder()
        .agent("dead", Agent::new(|_| std::future::pending()))
        .start()
        .unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("dead").await;
    let body = json!({ "messages": [user("Hi")], "sandboxId": sandbox });
    let request = client.json("POST", "/v1/chat/dead", body);
    let (response, _connection) = client.open(request).await;
    let address = relay.address();
    let begun = Instant::now();
    drop(relay);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let body = response.into_body().collect().await;
    assert!(body.is_err(), "the stream is cut, not ended");
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn an_occupied_port_is_an_error() {
    let relay = LocalRelay::start().unwrap();
    let error = LocalRelay::builder()
        .port(relay.address().port())
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_client_that_sends_a_too_long_body_gets_the_response() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let endless = |pieces| {
        Either::Right(Produced(Box::new(std::iter::repeat_n(
            Bytes::from(vec![b' '; 1 << 20]),
            pieces,
        ))))
    };
    let request = client
        .request("POST", "/v1/sandboxes")
        .header("content-type", "application/json")
        .body(endless(40))
        .unwrap();
    let reply = client.send_with(request).await;
    assert_eq!(reply.expect(400)["error"], "invalid_json");
}

#[tokio::test]
async fn lone_surrogates_are_passed_on() {
    // A surrogate pair cut between two deltas, and a lone surrogate in the user's message.
    let script = Script::from_json_lines(
        r#"
        data: {"type":"start","messageId":"not this one"}
        data: {"type":"text-start","id":"t"}
        {"type":"text-delta","id":"t","delta":"\ud83d"}
        {"pause": 20}
        {"type":"text-delta","id":"t","delta":"\ude00"}
        {"type":"text-end","id":"t"}
        data: [DONE]
        "#,
    )
    .unwrap();
    let relay = LocalRelay::builder().agent("cut", script).start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("cut").await;
    let body = format!(
        r#"{{"sandboxId":"{sandbox}","messages":[{{"role":"user","parts":[{{"type":"text","text":"x\ud83d"}}]}}]}}"#
    );
    let request = client
        .request("POST", "/v1/chat/cut")
        .header("content-type", "application/json; charset=utf-8")
        .body(body.into())
        .unwrap();
    let events = client.send(request).await;
    let events = String::from_utf8(events.body.to_vec()).unwrap();
    assert!(events.contains(r#""delta":"\ud83d""#), "{events}");
    assert!(!events.contains("not this one"));

    let threads = client
        .get(&format!("/v1/sandboxes/{sandbox}/threads"))
        .await;
    let thread = threads.json()[0]["id"].as_str().unwrap().to_owned();
    let target = format!("/v1/sandboxes/{sandbox}/threads/{thread}");
    // The lone surrogate is part of the turn, and the database refuses it.
    let thread = client.get(&target).await.json();
    let error = thread["error"].as_str().unwrap();
    assert!(error.contains(r#""text":"x\ud83d""#), "{error}");
    assert!(error.contains("😀"), "{error}");
}

#[test]
fn an_invalid_line_of_a_script_is_reported_with_its_number() {
    let error = Script::from_json_lines("{\"pause\": 1}\n\n{\"type\":\"text-start\"}").unwrap_err();
    assert_eq!(error.line(), 3);
    assert_eq!(error.to_string(), "line 3 is neither a chunk nor a pause");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn a_vault_holds_twenty_credentials_and_runs_need_existing_vaults() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let vault = client
        .post("/v1/mcp/vaults", json!({ "name": "Main" }))
        .await;
    let vault = vault.expect(201)["vault"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = format!("/v1/mcp/vaults/{vault}/credentials");
    let body = |number: usize| {
        json!({
            "serverUrl": format!("https://s{number}.example.com"),
            "auth": { "type": "bearer", "token": "tok_secret" },
        })
    };
    for number in 0..20 {
        let reply = client.post(&target, body(number)).await;
        assert!(!String::from_utf8_lossy(&reply.body).contains("tok_secret"));
        reply.expect(201);
    }
    let full = client.post(&target, body(20)).await.expect(422);
    assert_eq!(full["error"], "credential_cap_exceeded");

    let sandbox = client.create_sandbox("echo").await;
    let chat = json!({
        "messages": [user("Hi")],
        "sandboxId": sandbox,
        "vaultIds": [vault, vault],
    });
    let mut stream = client.chat_with("echo", chat.clone()).await;
    assert_eq!(stream.text().await, "Hi");
    client
        .delete(&format!("/v1/mcp/vaults/{vault}"))
        .await
        .expect(200);
    let (status, code, _) = client.post("/v1/chat/echo", chat).await.error();
    assert_eq!((status, code.as_str()), (403, "vault_resolution_failed"));
}

#[tokio::test]
async fn only_pages_of_this_machine_and_allowed_origins_have_access() {
    let relay = LocalRelay::builder()
        .allow_origin("https://preview.example.com")
        .start()
        .unwrap();
    let client = Client::new(&relay);
    for (origin, has_access) in [
        ("http://localhost:3000", true),
        ("http://127.0.0.1:5173", true),
        ("http://127.8.9.1", true),
        ("https://[::1]:8443", true),
        ("https://preview.example.com", true),
        ("https://example.com", false),
        ("https://localhost.example.com", false),
        ("http://127.0.0.1.example.com", false),
        ("http://user@localhost", false),
        ("http://preview.example.com", false),
        ("null", false),
    ] {
        for method in ["OPTIONS", "GET"] {
            let request = client
                .request(method, "/v1/sandboxes/none")
                .header("origin", origin)
                .header("access-control-request-headers", "authorization")
                .body(Bytes::new())
                .unwrap();
            let reply = client.send(request).await;
            let allowed = reply.headers.get("access-control-allow-origin");
            let expected = has_access.then_some(origin);
            assert_eq!(allowed.map(|value| value.to_str().unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn a_relay_with_keys_refuses_all_others() {
    let relay = LocalRelay::builder().key("21st_sk_mine").start().unwrap();
    let client = Client::new(&relay).with_key("21st_sk_local");
    assert_eq!(client.get("/v1/sandboxes/none").await.status, 401);
    let relay = LocalRelay::start().unwrap();
    assert_eq!(relay.api_key(), "21st_sk_local");
    let reply = Client::new(&relay).get("/v1/sandboxes/none").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn a_client_that_has_a_response_gets_304() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let target = format!("/v1/sandboxes/{sandbox}");
    let etag = client.get(&target).await.headers["etag"].clone();
    let etag = etag.to_str().unwrap();
    assert!(etag.starts_with("W/\""), "{etag}");
    let get = async |known: &str, cache: &str| {
        let request = client
            .request("GET", &target)
            .header("if-none-match", known)
            .header("cache-control", cache);
        client.send(request.body(Default::default()).unwrap()).await
    };
    for known in [etag, "*", &etag[2..], &format!("\"other\", {etag}")] {
        let reply = get(known, "max-age=0").await;
        assert_eq!(
            (reply.status.as_u16(), reply.body.len()),
            (304, 0),
            "{known}"
        );
        assert_eq!(reply.headers["etag"], etag);
        assert!(!reply.headers.contains_key("content-type"));
    }
    assert_eq!(get("W/\"other\"", "max-age=0").await.status, 200);
    assert_eq!(get(etag, "no-cache").await.status, 200);
    // Changed content is a new response.
    client.create_thread(&sandbox).await;
    assert_eq!(get(etag, "max-age=0").await.status, 200);
}

#[tokio::test]
async fn a_content_type_is_read_in_any_case() {
    let relay = common::with_commands(LocalRelay::builder())
        .start()
        .unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let body = json!({ "command": "echo ok" }).to_string();
    let request = client
        .request("POST", &format!("/v1/sandboxes/{sandbox}/exec"))
        .header("content-type", "Application/JSON")
        .body(body.into())
        .unwrap();
    assert_eq!(client.send(request).await.expect(200)["stdout"], "ok\n");
}

#[test]
fn debug_shows_no_key() {
    let builder = LocalRelay::builder().key("21st_sk_secret");
    assert!(!format!("{builder:?}").contains("21st_sk"));
    let relay = builder.start().unwrap();
    assert!(!format!("{relay:?}").contains("21st_sk"));
    let command = twentyfirst_local_relay::Command::new("env").env("KEY", "hidden");
    assert!(!format!("{command:?}").contains("hidden"));
}

#[test]
fn public_types_are_send_and_sync() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<LocalRelay>();
    shared::<Agent>();
    shared::<Run>();
    shared::<Script>();
    shared::<twentyfirst_local_relay::Sandbox>();
    shared::<twentyfirst_local_relay::ExecError>();
    shared::<twentyfirst_local_relay::FileError>();
}
