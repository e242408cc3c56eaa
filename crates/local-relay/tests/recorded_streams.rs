//! Replays recorded runs with scripts: the streams and the stored threads are those of the relay.

mod common;

use common::{Client, kinds, user};
use serde_json::{Value, json};
use twentyfirst_local_relay::{LocalRelay, Script};

/// The recorded runs that are skipped: disturbed ones, which the tests of runs cover, and other special cases.
const NOT_PLAIN: &[&str] = &[
    "resume ",
    "concurrent: ",
    "two threads: ",
    "cancel ",
    "background: ",
    "disconnect: ",
    "silence: ",
    "delete sandbox ",
    "raw: ",
    "start-up: client leaves",
    "chat: first batch lost",
    "chat: batches out of order",
    // Storing this thread fails at the relay, whose database refuses NUL.
    "chat: NUL character",
];

#[tokio::test]
async fn recorded_runs_are_streamed_and_stored_as_recorded() {
    let responses = include_str!("../../protocol/tests/data/recordings/relay.jsonl").lines();
    let responses: Vec<Value> = responses
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut played, mut stored) = (0, 0);
    for line in include_str!("../../protocol/tests/data/recordings/relay-streams.jsonl").lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let name = recorded["name"].as_str().unwrap();
        if NOT_PLAIN.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let seen = events(&recorded);
        let mut run = Play::of(&seen).await;
        assert_eq!(
            without_message_id(&run.seen),
            without_message_id(&seen),
            "{name}"
        );
        played += 1;

        let after = format!("threads.get: after {}", name.trim_start_matches("chat: "));
        let Some(response) = responses.iter().find(|response| response["name"] == after) else {
            continue;
        };
        let mut thread = response["response"]["body"].clone();
        expand(&mut thread);
        for (name, value) in thread.as_object_mut().unwrap() {
            match name.as_str() {
                "id" | "name" | "createdAt" | "updatedAt" | "completedAt" => {
                    assert_eq!(
                        run.thread[name].is_null(),
                        value.is_null(),
                        "{after}: {name}"
                    );
                }
                "messages" if !value.is_null() => {
                    // The stored id is that of the first reader.
                    let id = run.seen[0]["messageId"].clone();
                    let stored = run.thread["messages"].take();
                    value[1]["id"] = id;
                    let differ = || format!("{after}: {:.2000} {value:.2000}", stored.to_string());
                    assert!(stored == *value, "{}", differ());
                }
                _ => assert_eq!(run.thread[name], *value, "{after}: {name}"),
            }
        }
        stored += 1;
    }
    assert_eq!((played, stored), (37, 14));
}

/// The streams of a run, and its stored thread.
struct Play {
    seen: Vec<Value>,
    thread: Value,
}

impl Play {
    async fn of(recorded: &[Value]) -> Self {
        let relay = LocalRelay::builder()
            .agent("my-agent", script(recorded))
            .start()
            .unwrap();
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("my-agent").await;
        let thread = client.create_thread(&sandbox).await;
        let body = json!({
            "messages": [user("Hello")],
            "sandboxId": sandbox,
            "threadId": thread,
        });
        let mut stream = client.chat_with("my-agent", body).await;
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        let events = stream.rest().await;
        assert_eq!(kinds(&events).last().unwrap(), "[DONE]");
        Self {
            seen: events.iter().map(|event| parsed(event)).collect(),
            thread: client.thread(&sandbox, &thread).await,
        }
    }
}

/// Returns the agent's script: the recorded chunks up to an error, since all later ones are the relay's.
fn script(recorded: &[Value]) -> Script {
    let mut lines = String::new();
    for chunk in recorded {
        lines.push_str(&chunk.to_string());
        lines.push('\n');
        if chunk["type"] == "error" {
            break;
        }
    }
    Script::from_json_lines(&lines.replace("\"[DONE]\"\n", "")).unwrap()
}

fn events(recorded: &Value) -> Vec<Value> {
    let chunks = recorded["chunks"].as_array().unwrap();
    let text: String = chunks
        .iter()
        .map(|chunk| chunk["text"].as_str().unwrap())
        .collect();
    let mut events: Vec<Value> = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(parsed)
        .collect();
    events.iter_mut().for_each(expand);
    events
}

fn parsed(event: &str) -> Value {
    serde_json::from_str(event).unwrap_or_else(|_| event.into())
}

/// Removes the ids that differ in each run: that of the message, and that of the session in the metadata of a failed run.
fn without_message_id(events: &[Value]) -> Vec<Value> {
    let mut events = events.to_vec();
    let has_failed = events.iter().any(|event| event["type"] == "error");
    for event in &mut events {
        match event["type"].as_str() {
            Some("start") => event["messageId"] = "".into(),
            Some("message-metadata") if has_failed => event["messageMetadata"] = "".into(),
            _ => {}
        }
    }
    events
}

/// Expands long texts, which the recording shortens to `<ж x 40000>`.
fn expand(value: &mut Value) {
    match value {
        Value::String(text) => *text = long(text),
        Value::Array(values) => values.iter_mut().for_each(expand),
        Value::Object(members) => members.values_mut().for_each(expand),
        _ => {}
    }
}

fn long(text: &str) -> String {
    let expand = || {
        let (before, rest) = text.split_once('<')?;
        let (inner, after) = rest.split_once('>')?;
        let (letter, count) = inner.split_once(" x ")?;
        let count = count.parse().ok()?;
        Some(format!("{before}{}{}", letter.repeat(count), long(after)))
    };
    expand().unwrap_or_else(|| text.to_owned())
}
