//! Replays recorded requests to the relay: the local relay gives the recorded responses.
//!
//! Ids and times differ in every recording. Everything else is compared: status, headers and the whole body. The skipped exchanges are
//! listed here with the reason.

mod common;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::{Client, Produced, Reply, user};
use http_body_util::{Either, Full};
use serde_json::{Value, json};
use twentyfirst_local_relay::{Agent, Isolation, Key, LocalRelay, Run};

/// The names of the skipped exchanges. A final `*` matches any end.
const NOT_REPEATED: &[(&str, &str)] = &[
    (
        "sandboxes.create: provider*",
        "there is no provider that fails",
    ),
    (
        "provider lost the sandbox*",
        "there is no provider that loses one",
    ),
    (
        "exec: see what create did",
        "the relay's own files are not in sandboxes",
    ),
    ("files.list", "the relay's own files are not in sandboxes"),
    (
        "files.list: depth 2",
        "the relay's own files are not in sandboxes",
    ),
    ("git.create-pr*", "not a part of the documented relay"),
    ("raw: publish", "an inner route of the relay"),
    ("chat: billing not ready", "there is no billing"),
    ("chat: unsupported runtime", "agents have no runtime"),
    (
        "chat: runtime *",
        "agents have no runtime that fails to start",
    ),
    (
        "threads.get: after runtime 500",
        "agents have no runtime that fails to start",
    ),
    (
        "threads.get: after session expired",
        "sessions do not expire",
    ),
    (
        "sandboxes.get: after runtime failure",
        "sessions do not expire",
    ),
    (
        "chat: vaults on opensandbox provider",
        "there is one provider",
    ),
    (
        "chat: vault coverage strict",
        "agents declare no MCP servers",
    ),
    ("cancel: on another relay instance", "there is one relay"),
    (
        "threads.get: after cancel on another instance",
        "there is one relay",
    ),
    (
        "resume race*",
        "one reader stores the run, so there is no race",
    ),
    // These follow a run. The tests of recorded streams and of runs cover them.
    ("threads.get: after *", "needs a run"),
    ("threads.get: at the moment*", "needs a run"),
    ("threads.get: while streaming*", "needs a run"),
    ("threads.get: cancelled thread*", "needs a run"),
    ("threads.get: run finishes*", "needs a run"),
    ("threads.get: dead run*", "needs a run"),
    ("threads.list: after*", "needs a run"),
    ("sandboxes.get: after*", "needs a run"),
    ("sandboxes.get: created by chat", "needs a run"),
    ("sandboxes.delete: while streaming", "needs a run"),
    ("threads.delete: while streaming", "needs a run"),
    ("background: *", "needs a run"),
    ("cancel: dead run", "needs a run"),
    ("two threads*", "needs a run"),
    ("start-up:*", "needs a run"),
];

/// The exchanges with commands that name `/home/user`, where only isolated sandboxes are mounted.
const NEED_MOUNTS: &[&str] = &[
    "exec: defaults",
    "exec: cwd",
    "exec: make *",
    "files.info: symlink",
    "git.clone: file url",
    "git.clone: path, branch, depth",
    "git.clone: un*",
];

/// The compared headers. All others depend on the server, not on the response.
const HEADERS: &[&str] = &[
    "content-type",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "x-deprecated",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
];

fn relay() -> LocalRelay {
    let paid = |run: Run| async move {
        let mut usage = twentyfirst_protocol::threads::Usage::default();
        usage.total_cost_usd = Some(0.0123);
        run.set_usage(usage);
        Ok(())
    };
    common::with_commands(LocalRelay::builder())
        .key("21st_sk_test")
        .key("an_sk_test")
        .key("legacykey_ok")
        .key(Key::new("21st_sk_inactive").inactive())
        .key(Key::new("legacykey_inactive").inactive())
        .key(Key::new("21st_sk_expired").expired())
        .key(Key::new("legacykey_expired").expired())
        .key(Key::new("21st_sk_team2").team("team_2"))
        .key(Key::new("21st_sk_limited").vault_requests(2))
        .agent("my-agent", Agent::new(paid).name("My Agent"))
        .agent("other-agent", Agent::echo())
        .agent(
            "budget-agent",
            Agent::new(paid).max_sandbox_budget_usd(0.01),
        )
        .start()
        .unwrap()
}

#[tokio::test]
async fn the_recorded_responses_are_given_again() {
    let relay = relay();
    let mut replay = Replay {
        client: Client::new(&relay),
        names: BTreeMap::new(),
    };
    let (mut repeated, mut skipped) = (0, 0);
    let mut unused: Vec<_> = NOT_REPEATED.iter().map(|(name, _)| *name).collect();
    let mut differences = Vec::new();
    for line in include_str!("../../protocol/tests/data/recordings/relay.jsonl").lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let name = exchange["name"].as_str().unwrap();
        if let Some((pattern, _)) = NOT_REPEATED.iter().find(|(pattern, _)| fits(pattern, name)) {
            unused.retain(|other| other != pattern);
            continue;
        }
        let needs_mounts = NEED_MOUNTS.iter().any(|pattern| fits(pattern, name));
        if needs_mounts && relay.isolation() == Isolation::Unconfined {
            skipped += 1;
            continue;
        }
        replay.prepare(name, &exchange["request"]).await;
        let reply = replay.send(&exchange["request"]).await;
        replay.compare(name, &exchange, &reply, &mut differences);
        repeated += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(unused, [""; 0], "nothing has these names any more");
    assert_eq!(repeated + skipped, 252);
}

/// Sends the recorded requests with the ids of this run.
struct Replay {
    client: Client,
    /// The ids of the recording, with those of this run.
    names: BTreeMap<String, String>,
}

impl Replay {
    /// Brings the relay into the state of the recorded one, whose earlier requests are not all in the recording.
    async fn prepare(&mut self, name: &str, request: &Value) {
        let client = self.client.clone();
        let mentioned = words(&request.to_string());
        let target = request["path"].as_str().unwrap();
        for word in mentioned {
            if self.names.contains_key(&word) {
                continue;
            }
            let here = match word.split_once('_') {
                Some(("sb", number)) if number.parse::<u32>().is_ok() => {
                    client.create_sandbox("my-agent").await
                }
                Some(("th", number)) if number.parse::<u32>().is_ok() => {
                    let sandbox = self.names["sb_1"].clone();
                    let name = (word == "th_1").then_some("My thread");
                    let target = format!("/v1/sandboxes/{sandbox}/threads");
                    let thread = client.post(&target, json!({ "name": name })).await;
                    thread.expect(201)["id"].as_str().unwrap().to_owned()
                }
                _ => continue,
            };
            self.names.insert(word, here);
        }
        for (token, body) in [
            ("an_t_TOKEN_8", json!({ "agents": ["other-agent"] })),
            ("an_t_TOKEN_10", json!({ "expiresIn": "0s" })),
            ("an_t_TOKEN_11", json!({})),
        ] {
            if request.to_string().contains(token) && !self.names.contains_key(token) {
                let made = client.post("/v1/tokens", body).await.expect(201);
                let mut made = made["token"].as_str().unwrap().to_owned();
                if token == "an_t_TOKEN_11" {
                    made.replace_range(made.len() - 4.., "AAAA");
                }
                self.names.insert(token.to_owned(), made);
            }
        }
        match name {
            "files.read: text" => {
                let sandbox = &self.names["sb_1"];
                for (name, content) in [("empty.txt", &[][..]), ("blob.bin", &[0, 1, 2, 255])] {
                    let path = format!("path=/home/user/{name}&format=blob");
                    let target = format!("/v1/sandboxes/{sandbox}/files?{path}");
                    let request = client
                        .request("POST", &target)
                        .header("content-length", content.len())
                        .body(content.into());
                    client.send(request.unwrap()).await.expect(200);
                }
            }
            "threads.delete: again" => {
                let (sandbox, thread) = (&self.names["sb_1"], &self.names["th_2"]);
                let target = format!("/v1/sandboxes/{sandbox}/threads/{thread}");
                client.delete(&target).await.expect(204);
            }
            "vaults.patch: metadata replaces" => {
                let target = format!("/v1/mcp/vaults/{}", self.names["vault_1"]);
                let body = json!({ "name": "Renamed", "description": null });
                client
                    .send(client.json("PATCH", &target, body))
                    .await
                    .expect(200);
            }
            "credentials.create: duplicate url in a full vault" => {
                let target = format!("/v1/mcp/vaults/{}/credentials", self.names["vault_1"]);
                for number in 5..=20 {
                    let url = format!("https://s{number}.example.com/mcp");
                    let auth = json!({ "type": "bearer", "token": "t" });
                    let body = json!({ "serverUrl": url, "auth": auth });
                    client.post(&target, body).await.expect(201);
                }
            }
            "vaults: key request limit" => {
                let limited = client.with_key("21st_sk_limited");
                for _ in 0..2 {
                    limited.get("/v1/mcp/vaults").await.expect(200);
                }
            }
            "chat: budget exceeded" => {
                let body = json!({ "messages": [user("Hello")], "sandboxId": "budget-box" });
                client.chat_with("budget-agent", body).await.rest().await;
            }
            "chat: budget exceeded by request option" => {
                let body = json!({ "messages": [user("Hello")], "sandboxId": self.names["sb_1"] });
                client.chat_with("my-agent", body).await.rest().await;
            }
            _ => assert!(!target.is_empty()),
        }
    }

    async fn send(&self, recorded: &Value) -> Reply {
        let method = recorded["method"].as_str().unwrap();
        let target = self.here(recorded["path"].as_str().unwrap());
        let mut request = http::Request::builder().method(method).uri(&target);
        let mut is_chunked = false;
        for (name, value) in recorded["headers"].as_object().unwrap() {
            if name == "if-none-match" {
                let known = self.client.get(&target).await.headers["etag"].clone();
                request = request.header(name, known);
            } else if name == "transfer-encoding" {
                is_chunked = true;
            } else {
                request = request.header(name, self.here(value.as_str().unwrap()));
            }
        }
        let body = self.body(&recorded["body"]);
        // hyper leaves out the length of an empty body, and the recorder did not.
        if !is_chunked && !recorded["body"].is_null() {
            request = request.header("content-length", body.len());
        }
        let body = if is_chunked {
            Either::Right(Produced(Box::new([body].into_iter())))
        } else {
            Either::Left(Full::new(body))
        };
        self.client.send_with(request.body(body).unwrap()).await
    }

    fn body(&self, recorded: &Value) -> Bytes {
        match recorded {
            Value::Null => Bytes::new(),
            Value::String(text) => match length_of(text) {
                Some((length, "zero")) => vec![0; length].into(),
                Some((length, _)) => {
                    let frame = json!({ "agent": "nope", "x": "" }).to_string();
                    let filling = "x".repeat(length - frame.len());
                    json!({ "agent": "nope", "x": filling }).to_string().into()
                }
                None => text.clone().into(),
            },
            Value::Object(members) if members.contains_key("base64") => {
                let text = members["base64"].as_str().unwrap();
                STANDARD.decode(text).unwrap().into()
            }
            other => self.here(&other.to_string()).into(),
        }
    }

    fn compare(
        &mut self,
        name: &str,
        exchange: &Value,
        reply: &Reply,
        differences: &mut Vec<String>,
    ) {
        let recorded = &exchange["response"];
        let mut differ =
            |what: &str, recorded: &dyn std::fmt::Debug, here: &dyn std::fmt::Debug| {
                differences.push(format!(
                    "{name}: {what}: recorded {recorded:?}, here {here:?}"
                ));
            };
        let status = recorded["status"].as_u64().unwrap();
        if status != u64::from(reply.status.as_u16()) {
            let body = String::from_utf8_lossy(&reply.body);
            differ("status", &status, &(reply.status, body));
            return;
        }
        for header in HEADERS {
            let recorded = recorded["headers"][header].as_str();
            let here = reply
                .headers
                .get(*header)
                .map(|value| value.to_str().unwrap());
            if recorded != here {
                differ(header, &recorded, &here);
            }
        }
        let is_json = recorded["headers"]["content-type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("application/json"));
        if !is_json {
            let expected = match &recorded["body"] {
                Value::Null => Bytes::new(),
                // The file contained JSON, so it was recorded as JSON.
                body if body.get("b").is_some() => body.to_string().into(),
                Value::String(page) => self.here(page).into(),
                body => self.body(body),
            };
            if expected != reply.body {
                differ("body", &expected, &reply.body);
            }
            return;
        }
        let mut here = reply.json();
        let note = exchange["note"].as_str().unwrap_or_default();
        if note.contains("cut") {
            cut(&mut here, &recorded["body"]);
        }
        let mut found = Vec::new();
        self.compare_json("", &recorded["body"], &here, &mut found);
        for (place, recorded, here) in found {
            differ(&place, &recorded, &here);
        }
    }

    fn compare_json(
        &mut self,
        place: &str,
        recorded: &Value,
        here: &Value,
        differences: &mut Vec<(String, Value, Value)>,
    ) {
        let same = match (recorded, here) {
            (Value::Object(a), Value::Object(b)) => {
                for name in a
                    .keys()
                    .chain(b.keys().filter(|name| !a.contains_key(*name)))
                {
                    let place = format!("{place}.{name}");
                    match (a.get(name), b.get(name)) {
                        (Some(a), Some(b)) => self.compare_json(&place, a, b, differences),
                        (a, b) => {
                            let side = |value: Option<&Value>| {
                                value.map_or_else(|| "absent".into(), Value::clone)
                            };
                            differences.push((place, side(a), side(b)));
                        }
                    }
                }
                true
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (at, (a, b)) in a.iter().zip(b).enumerate() {
                    self.compare_json(&format!("{place}[{at}]"), a, b, differences);
                }
                true
            }
            // The SQL of a failed query is shortened here.
            (Value::String(a), Value::String(b)) if a.starts_with("Failed query: ") => {
                b.starts_with("Failed query: ")
            }
            (Value::String(a), Value::String(b)) if place.ends_with(".provider") => {
                (a.as_str(), b.as_str()) == ("e2b", "local")
            }
            (Value::String(a), Value::String(b)) if is_moment(a) => is_moment(b),
            (Value::String(a), Value::String(b)) if is_alias(a) => {
                let known = self.names.entry(a.clone()).or_insert_with(|| b.clone());
                // Tokens differ by the second of their creation.
                known == b || a.starts_with("an_t_")
            }
            (Value::String(a), Value::String(b)) => match length_of(a) {
                Some((length, "times a")) => *b == "a".repeat(length),
                _ => self.here(a) == *b,
            },
            // The cost is a sum of more runs than are replayed, and the size of a directory depends on the file system.
            (Value::Number(_), Value::Number(_)) if place.ends_with(".spentUsd") => true,
            (Value::Number(a), Value::Number(_))
                if place == ".size" && a.as_u64() == Some(4096) =>
            {
                true
            }
            (a, b) => a == b,
        };
        if !same {
            differences.push((place.to_owned(), recorded.clone(), here.clone()));
        }
    }

    /// Replaces the ids of the recording in a text.
    fn here(&self, text: &str) -> String {
        let mut here = String::new();
        let mut word = String::new();
        for letter in text.chars().chain(['\0']) {
            if letter.is_ascii_alphanumeric() || letter == '_' {
                word.push(letter);
                continue;
            }
            here.push_str(self.names.get(&word).unwrap_or(&word));
            word.clear();
            here.push(letter);
        }
        here.pop();
        here
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .map(str::to_owned)
        .collect()
}

fn is_alias(text: &str) -> bool {
    text.starts_with("an_t_TOKEN_")
        || text.split_once('_').is_some_and(|(kind, number)| {
            ["sb", "e2b", "th", "vault", "cred", "team", "id"].contains(&kind)
                && number.parse::<u32>().is_ok()
        })
}

/// Returns whether a text is a time such as `2026-11-21T19:47:31.628Z`.
fn is_moment(text: &str) -> bool {
    text.len() == 24 && text.as_bytes()[10] == b'T' && text.ends_with('Z')
}

/// Parses `<200000 times a>`, the short form of long texts in the recording.
fn length_of(text: &str) -> Option<(usize, &str)> {
    let inner = text.strip_prefix('<')?.strip_suffix('>')?;
    let inner = inner.strip_prefix("JSON of about ").unwrap_or(inner);
    let inner = inner.strip_prefix("JSON of ").unwrap_or(inner);
    let (number, rest) = inner.split_once(' ')?;
    let kind = if rest.starts_with("zero") {
        "zero"
    } else {
        rest
    };
    Some((number.parse().ok()?, kind))
}

/// Removes the credentials that the recording has left out.
fn cut(here: &mut Value, recorded: &Value) {
    fn vaults(response: &mut Value) -> Vec<&mut Value> {
        if response.get("vaults").is_some() {
            response["vaults"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .collect()
        } else {
            vec![&mut response["vault"]]
        }
    }
    let kept: Vec<Value> = vaults(&mut recorded.clone())
        .into_iter()
        .flat_map(|vault| vault["credentials"].as_array().unwrap().clone())
        .map(|credential| credential["serverUrl"].clone())
        .collect();
    for vault in vaults(here) {
        let credentials = vault["credentials"].as_array_mut().unwrap();
        credentials.retain(|credential| kept.contains(&credential["serverUrl"]));
    }
}
