//! The other routes of the documents: sandboxes, threads and tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use twentyfirst_client::backend::{
    NewSandbox, Refusal, SandboxHandler, SandboxRequest, ThreadBody, ThreadHandler, ThreadRequest,
    TokenHandler,
};
use twentyfirst_client::protocol::sandboxes::CreateSandbox;
use twentyfirst_client::transport::from_fn;
use twentyfirst_client::{AgentClient, Error, SandboxId};
use twentyfirst_local_relay::LocalRelay;

use crate::support::{connect, json_response, read, relay, request};

#[tokio::test]
async fn a_page_gets_a_sandbox_and_threads_in_it() {
    let relay = LocalRelay::start().unwrap();
    let client = connect(&relay);
    let sandboxes = SandboxHandler::new(client.clone(), async |_: SandboxRequest| {
        Ok(CreateSandbox::new("echo"))
    });
    let threads = ThreadHandler::new(client.clone(), async |request: ThreadRequest| {
        let refusal = || Refusal::bad_request("which sandbox?");
        request.read().await?.sandbox_id.ok_or_else(refusal)
    });

    let (status, headers, body) =
        read(sandboxes.handle(request("POST", "/api/sandbox", "")).await).await;
    assert_eq!(status.as_u16(), 200);
    assert_eq!(headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&body).unwrap();
    let sandbox_id = body["sandboxId"].as_str().unwrap();
    assert_eq!(body, json!({ "sandboxId": sandbox_id }));

    let create = json!({ "sandboxId": sandbox_id, "name": "Review & more" }).to_string();
    let (status, _, body) = read(
        threads
            .handle(request("POST", "/api/threads", create))
            .await,
    )
    .await;
    assert_eq!(status.as_u16(), 200);
    let thread: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&thread["name"], &thread["status"]),
        (&json!("Review & more"), &json!("idle"))
    );

    let list = format!("/api/threads?other=1&sandboxId={sandbox_id}");
    let (_, _, body) = read(threads.handle(request("GET", &list, "")).await).await;
    let listed: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(listed["threads"][0]["id"], thread["id"]);
    assert_eq!(listed["threads"].as_array().unwrap().len(), 1);
}

/// A handler that remembers what was created.
fn remembering(client: AgentClient) -> (SandboxHandler, Arc<Mutex<Vec<SandboxId>>>) {
    let created = Arc::new(Mutex::new(Vec::new()));
    let table = Arc::clone(&created);
    let sandboxes = SandboxHandler::new(client, move |_: SandboxRequest| {
        let table = Arc::clone(&table);
        async move {
            let sandbox = NewSandbox::new(CreateSandbox::new("echo"));
            Ok(sandbox.on_created(async move |sandbox_id| {
                table.lock().unwrap().push(sandbox_id);
                Ok(())
            }))
        }
    });
    (sandboxes, created)
}

#[tokio::test]
async fn the_server_knows_a_sandbox_before_the_page_does() {
    let relay = LocalRelay::start().unwrap();
    let (sandboxes, created) = remembering(connect(&relay));
    let (status, _, body) = read(sandboxes.handle(request("POST", "/api/sandbox", "")).await).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let created = created.lock().unwrap();
    assert_eq!(status.as_u16(), 200);
    assert_eq!(body, json!({ "sandboxId": created[0] }));
    assert_eq!(created.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_server_knows_a_sandbox_even_if_the_browser_has_left() {
    let transport = from_fn(async |_| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(json_response(201, &json!({ "id": "sb_9" })))
    });
    let client = AgentClient::builder()
        .api_key("an_sk_secret")
        .transport(transport)
        .build();
    let (sandboxes, created) = remembering(client.unwrap());
    let waiting = sandboxes.handle(request("POST", "/api/sandbox", ""));
    let waited = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    assert!(waited.is_err(), "it is still being created");
    assert!(created.lock().unwrap().is_empty());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let sandbox = SandboxId::new("sb_9").unwrap();
    assert_eq!(*created.lock().unwrap(), [sandbox]);
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_stored_is_not_named() {
    let (client, _) = relay(|_| json_response(201, &json!({ "id": "sb_9" })));
    let sandboxes = SandboxHandler::new(client, async |_: SandboxRequest| {
        let sandbox = NewSandbox::new(CreateSandbox::new("echo"));
        Ok(sandbox.on_created(async |_| Err(Refusal::internal("the database is full"))))
    });
    let (status, _, body) = read(sandboxes.handle(request("POST", "/api/sandbox", "")).await).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (500, r#"{"error":"the database is full"}"#)
    );
}

#[tokio::test]
async fn the_server_sees_why_the_relay_refused() {
    let (client, _) = relay(|target| json_response(500, &json!({ "error": target })));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let see = move |error: &Error| seen.lock().unwrap().push(error.to_string());
    let sandboxes = SandboxHandler::new(client.clone(), async |_: SandboxRequest| {
        Ok(CreateSandbox::new("echo"))
    });
    let threads = ThreadHandler::new(client.clone(), async |_: ThreadRequest| {
        Ok(SandboxId::new("sb_1").unwrap())
    });
    let tokens = TokenHandler::for_anyone(client, "1h".parse().unwrap());
    let (sandboxes, threads) = (
        sandboxes.on_error(see.clone()),
        threads.on_error(see.clone()),
    );
    let tokens = tokens.on_error(see);
    let post = || request("POST", "/api", "{}");
    for response in [
        sandboxes.handle(post()).await,
        threads.handle(post()).await,
        threads.handle(request("GET", "/api", "")).await,
        tokens.handle(post()).await,
    ] {
        let (_, _, body) = read(response).await;
        assert_eq!(body, r#"{"error":"the relay failed"}"#);
    }
    insta::assert_debug_snapshot!(errors.lock().unwrap());
}

#[tokio::test]
async fn the_servers_function_decides() {
    let (client, log) = relay(|target| panic!("{target} was sent"));
    let sandboxes = SandboxHandler::new(client.clone(), async |request: SandboxRequest| {
        let who = format!("{:?}", request.head.headers.get("content-type"));
        Err::<NewSandbox, _>(Refusal::unauthorized(who))
    });
    let threads = ThreadHandler::new(client, async |request: ThreadRequest| {
        let ThreadBody {
            sandbox_id, name, ..
        } = request.read().await?;
        Err(Refusal::forbidden(format!("{sandbox_id:?} {name:?}")))
    });
    let mut responses = Vec::new();
    for method in ["POST", "GET"] {
        let response = sandboxes.handle(request(method, "/api/sandbox", "")).await;
        let (status, _, body) = read(response).await;
        responses.push(format!("{} {body}", status.as_u16()));
    }
    for (method, path, body) in [
        ("GET", "/api/threads", ""),
        ("GET", "/api/threads?sandboxId=a%20b+c", ""),
        ("GET", "/api/threads?sandboxId=..", ""),
        ("POST", "/api/threads", "{}"),
        (
            "POST",
            "/api/threads",
            r#"{"sandboxId":"sb_1","name":"x","userId":"root"}"#,
        ),
        ("POST", "/api/threads", r#"{"sandboxId":""}"#),
        ("POST", "/api/threads", "threads"),
        ("PUT", "/api/threads", "{}"),
    ] {
        let (status, _, body) = read(threads.handle(request(method, path, body)).await).await;
        responses.push(format!("{} {body}", status.as_u16()));
    }
    insta::assert_debug_snapshot!(responses);
    assert!(log.take().is_empty());
}
