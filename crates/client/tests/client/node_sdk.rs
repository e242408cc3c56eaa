//! The calls of the published Node client, made with this client: both send the same requests.
//!
//! `data/node-sdk.jsonl` has the requests that version 0.1.1 of `@21st-sdk/node` sends for each call, and its result. This client
//! differs only in these points:
//!
//! - headers: `content-type` only where there is a body, and a `user-agent` of our own;
//! - ids are percent-encoded in paths (none of the recorded ones needs it).

use serde::Deserialize;
use serde_json::{Value, json};
use twentyfirst_client::protocol::runs::{RunOptions, StartRun};
use twentyfirst_client::protocol::threads::ThreadName;
use twentyfirst_client::protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_client::protocol::ui::UiMessage;
use twentyfirst_client::protocol::{Endpoint, Operation, SandboxId, VaultId};
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, Error};

use crate::support::{SentRequest, client, event_stream, json as json_answer};

#[derive(Deserialize)]
struct Row {
    name: String,
    call: Call,
    requests: Vec<Expected>,
    result: Value,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Call {
    method: String,
    args: Vec<Value>,
}

#[derive(Deserialize)]
struct Expected {
    method: String,
    path: String,
    body: Value,
}

/// Returns the response of the server in the recording, as far as a call depends on it.
fn respond(row: &Row, request: &SentRequest) -> http::Response<Body> {
    let path = request
        .target
        .split_once("/v1/")
        .map_or("", |(_, path)| path);
    match &row.error {
        Some(error) if error["code"].is_string() => json_answer(422, json!({ "error": error })),
        Some(_) if row.name == "error without json" => json_answer(502, ""),
        Some(error) => json_answer(
            404,
            json!({"error": {"code": "sandbox_not_found", "message": error["message"]}}),
        ),
        None if row.call.method == "threads.run" => match path {
            "sandboxes" => json_answer(
                201,
                json!({"id": "sb_1", "sandboxId": "e2b_1", "status": "active"}),
            ),
            path if path.ends_with("/threads") => {
                json_answer(201, json!({"id": "th_1", "status": "active"}))
            }
            _ if row.result["status"] == "running" && !row.name.contains("old relay") => {
                json_answer(202, &row.result)
            }
            _ => event_stream("data: {\"type\":\"start\"}\n\ndata: [DONE]\n\n"),
        },
        None if row.result.is_null() && row.call.method == "sandboxes.files.write" => {
            json_answer(200, json!({"files": []}))
        }
        None => json_answer(200, &row.result),
    }
}

async fn execute<O: Operation>(client: &AgentClient, args: &[Value]) -> Result<(), Error> {
    let operation: O = serde_json::from_value(args[0].clone()).unwrap();
    client.execute(&operation).await.map(drop)
}

async fn call(client: &AgentClient, call: &Call) -> Result<(), Error> {
    use twentyfirst_client::protocol::{files::*, git::*, sandboxes::*, threads::*};

    let args = &call.args;
    let sandbox = || SandboxId::new(args[0].as_str().unwrap());
    match call.method.as_str() {
        "sandboxes.create" => execute::<CreateSandbox>(client, args).await,
        "sandboxes.get" => client.sandboxes().get(&sandbox()?).await.map(drop),
        "sandboxes.delete" => client.sandboxes().delete(&sandbox()?).await,
        "sandboxes.exec" => execute::<Exec>(client, args).await,
        "sandboxes.files.write" => execute::<WriteFiles>(client, args).await,
        "sandboxes.files.read" => execute::<ReadFile>(client, args).await,
        "sandboxes.files.list" => execute::<ListFiles>(client, args).await,
        "sandboxes.files.getInfo" => execute::<GetFileInfo>(client, args).await,
        "sandboxes.files.exists" => execute::<FileExists>(client, args).await,
        "sandboxes.files.makeDir" => execute::<MakeDir>(client, args).await,
        "sandboxes.files.rename" => execute::<RenameFile>(client, args).await,
        "sandboxes.files.remove" => execute::<RemoveFile>(client, args).await,
        "sandboxes.git.clone" => execute::<CloneRepository>(client, args).await,
        "threads.list" => execute::<ListThreads>(client, args).await,
        "threads.create" => execute::<CreateThread>(client, args).await,
        "threads.get" => execute::<GetThread>(client, args).await,
        "threads.delete" => execute::<DeleteThread>(client, args).await,
        "threads.run" => run(client, &args[0]).await,
        "tokens.create" => {
            let options = args.first().cloned().unwrap_or_default();
            let mut create = CreateToken::new();
            if let Some(agent) = options["agent"].as_str() {
                create = create.agent(agent);
            }
            create.user_id = options["userId"].as_str().map(str::to_owned);
            if let Some(lifetime) = options.get("expiresIn") {
                create.expires_in =
                    serde_json::from_value::<TokenLifetime>(lifetime.clone()).unwrap();
            }
            client.execute(&create).await.map(drop)
        }
        other => panic!("{other} has no counterpart"),
    }
}

async fn run(client: &AgentClient, args: &Value) -> Result<(), Error> {
    fn member<T: serde::de::DeserializeOwned>(args: &Value, name: &str) -> Option<T> {
        args.get(name)
            .map(|value| serde_json::from_value(value.clone()).unwrap())
    }

    let messages: Vec<UiMessage> = member(args, "messages").unwrap();
    let mut run = StartRun::new(args["agent"].as_str().unwrap(), messages);
    run.sandbox_id = member(args, "sandboxId");
    run.thread_id = member(args, "threadId");
    // The Node client leaves a thread unnamed where no name is given.
    run.name = member(args, "name").map_or(ThreadName::None, ThreadName::Given);
    run.external_user_id = member(args, "externalUserId");
    run.options = member::<RunOptions>(args, "options");
    if let Some(vaults) = member::<Vec<VaultId>>(args, "vaultIds") {
        run = run.vault_ids(vaults);
    }
    if args["mode"] == "background" {
        client.threads().start(run).in_background().await.map(drop)
    } else {
        client.threads().start(run).await.map(drop)
    }
}

/// Removes the only thing that the Node client does not send: the id of a turn that came without one.
fn without_generated_ids(sent: &mut Value, wanted: &Value) {
    let wanted = wanted["messages"].as_array().into_iter().flatten();
    let sent = sent.get_mut("messages").and_then(Value::as_array_mut);
    for (sent, wanted) in sent.into_iter().flatten().zip(wanted) {
        if wanted["role"] == "user" && wanted.get("id").is_none() {
            let id = sent.as_object_mut().unwrap().remove("id");
            assert!(id.unwrap().as_str().unwrap().starts_with("msg_"));
        }
    }
}

/// Converts numbers to doubles, since JavaScript has no others.
fn as_javascript_reads(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(as_javascript_reads).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, as_javascript_reads(value)))
            .collect(),
        other => other,
    }
}

#[tokio::test]
async fn every_call_of_the_node_client_sends_the_same() {
    let rows: Vec<Row> = include_str!("../data/node-sdk.jsonl")
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    for row in rows {
        let base_url = if row.name == "base url trailing slash" {
            "https://relay.test/"
        } else {
            "https://relay.test"
        };
        let name = row.name.clone();
        let (expected, wanted) = (row.requests.len(), row.error.clone());
        let requests: Vec<_> = row
            .requests
            .iter()
            .map(|request| {
                (
                    request.method.clone(),
                    request.path.clone(),
                    request.body.clone(),
                )
            })
            .collect();
        let method = Call {
            method: row.call.method.clone(),
            args: row.call.args.clone(),
        };
        let (client, log) = client(base_url, move |request| respond(&row, request));
        let result = call(&client, &method).await;

        let sent = log.take();
        assert_eq!(sent.len(), expected, "{name}");
        for (sent, (method, path, body)) in sent.iter().zip(requests) {
            assert_eq!(sent.method, method, "{name}");
            assert_eq!(sent.target, format!("https://relay.test{path}"), "{name}");
            assert_eq!(sent.headers["authorization"], "Bearer an_sk_test", "{name}");
            let user_agent = sent.headers["user-agent"].to_str().unwrap();
            assert!(
                user_agent.starts_with("twentyfirst-client/"),
                "{user_agent}"
            );
            let mut sent_body = if sent.body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&sent.body).unwrap()
            };
            without_generated_ids(&mut sent_body, &body);
            assert_eq!(
                as_javascript_reads(sent_body),
                as_javascript_reads(body),
                "{name}"
            );
        }
        match (result, wanted) {
            (Ok(()), None) => {}
            (Err(error), Some(wanted)) => {
                if let Some(api) = error.api_error().filter(|api| api.code().is_some()) {
                    assert_eq!(api.message(), wanted["message"].as_str().unwrap(), "{name}");
                }
            }
            (Ok(()), Some(wanted)) => panic!("{name}: expected {wanted}"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_arguments_of_both_clients_are_the_same_struct() {
    // An operation's JSON is the argument of the Node client. So the rows above can be read as operations.
    let args = json!({"sandboxId": "sb_1", "command": "ls", "timeoutMs": 30_000});
    let exec: twentyfirst_client::protocol::sandboxes::Exec = serde_json::from_value(args).unwrap();
    assert_eq!(exec.to_request().unwrap().uri(), "/v1/sandboxes/sb_1/exec");
}
