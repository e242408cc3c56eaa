//! Faults over real connections: their effects, and how often they strike.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Gate, Scene, gated, kinds, stored_text, text_of, user};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use twentyfirst_local_relay::{After, Agent, Fault, LocalRelay, Run};
use twentyfirst_protocol::http::{Response, StatusCode};
use twentyfirst_protocol::runs::{ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::DeleteSandbox;
use twentyfirst_protocol::threads::{CreateThread, GetThread, ListThreads};
use twentyfirst_protocol::ui::chunk::{
    TextDelta, TextEnd, TextStart, ToolInputAvailable, ToolInputDelta, ToolInputStart,
    ToolOutputAvailable,
};

const TEXT: &str = "one two three four five six seven eight nine ten";

/// Creates an agent that says a text word by word, without pauses.
fn speaker() -> Agent {
    Agent::new(async |run: Run| {
        run.say(TEXT).await;
        Ok(())
    })
}

/// Creates an agent that says a text word by word, one every 100 ms.
fn slow_speaker() -> Agent {
    speaker().pace(Duration::from_millis(100))
}

/// A response as it came over the socket.
struct Raw {
    head: String,
    /// The received part of the body, without the framing of its chunks.
    body: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    /// The body ended properly.
    Whole,
    /// The connection was closed within the body.
    Cut,
    /// The connection is open, and nothing came for the given time.
    Silent,
}

impl Raw {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn events(&self) -> Vec<String> {
        let text = self.text();
        let events = text.split("\n\n").filter(|event| !event.is_empty());
        events
            .map(|event| event.strip_prefix("data: ").unwrap().to_owned())
            .collect()
    }
}

/// Sends a request on its own connection, and reads until the response ends or nothing comes for `patience`.
async fn raw(scene: &Scene, method: &str, target: &str, body: &str, patience: Duration) -> Raw {
    let mut socket = TcpStream::connect(scene.relay.address()).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        scene.relay.api_key(),
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let is_closed = loop {
        if parse(&received, false).is_some_and(|raw| raw.end == End::Whole) {
            break false;
        }
        match timeout(patience, socket.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(length)) => received.extend_from_slice(&buffer[..length]),
            Err(_) => break false,
        }
    };
    parse(&received, is_closed).expect("there is a head")
}

fn parse(received: &[u8], is_closed: bool) -> Option<Raw> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(received[..end].to_vec()).unwrap();
    let mut rest = &received[end..];
    let mut body = Vec::new();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map(|length| length.parse::<usize>().unwrap());
    let is_whole = match length {
        Some(length) => {
            body.extend_from_slice(rest);
            body.len() == length
        }
        None => loop {
            let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
                break false;
            };
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[line + 2..];
            if size == 0 {
                break rest == b"\r\n";
            }
            let there = size.min(rest.len());
            body.extend_from_slice(&rest[..there]);
            if rest.len() < size + 2 {
                break false;
            }
            rest = &rest[size + 2..];
        },
    };
    let end = match (is_whole, is_closed) {
        (true, _) => End::Whole,
        (false, true) => End::Cut,
        (false, false) => End::Silent,
    };
    Some(Raw { head, body, end })
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);

async fn raw_chat(scene: &Scene, patience: Duration) -> Raw {
    let body = json!({
        "messages": [user("Go")],
        "sandboxId": scene.sandbox,
        "threadId": scene.thread,
    });
    raw(scene, "POST", "/v1/chat/agent", &body.to_string(), patience).await
}

async fn raw_resume(scene: &Scene, patience: Duration) -> Raw {
    let target = format!("/v1/chat/agent/{}/stream", scene.sandbox);
    raw(scene, "GET", &target, "", patience).await
}

#[tokio::test]
async fn a_stream_is_cut_after_the_given_bytes() {
    for bytes in [0, 1, 70, 200, 333] {
        let scene = Scene::with(speaker()).await;
        let cut = Fault::cut_after(bytes);
        scene.relay.inject(cut.clone());
        let response = raw_chat(&scene, LONG).await;
        assert!(response.head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(
            (response.body.len() as u64, &response.end),
            (bytes, &End::Cut)
        );
        assert_eq!(cut.struck(), 1);

        // The run continues, and the next stream is complete.
        assert_eq!(stored_text(&scene.wait_for("completed").await), TEXT);
        let response = raw_chat(&scene, LONG).await;
        assert_eq!(response.end, End::Whole);
        assert_eq!(response.events().last().unwrap(), "[DONE]");
        assert_eq!(cut.struck(), 1);
    }
}

#[tokio::test]
async fn bytes_before_a_cut_arrive_even_at_a_late_reader() {
    let word = "x".repeat(1 << 20);
    let agent = Agent::new(move |run: Run| {
        let word = word.clone();
        async move {
            for _ in 0..6 {
                run.say(&word).await;
            }
            Ok(())
        }
    });
    let bytes = 5_000_000;
    let builder = LocalRelay::builder().fault(Fault::cut_after(bytes));
    let scene = Scene::of(builder.agent("agent", agent)).await;
    let body = json!({ "messages": [user("Go")], "sandboxId": scene.sandbox });
    let request = scene.client.json("POST", "/v1/chat/agent", body);
    let (response, _connection) = scene.client.open(request).await;
    sleep(Duration::from_millis(200)).await;
    let mut body = response.into_body();
    let mut length = 0;
    loop {
        match http_body_util::BodyExt::frame(&mut body).await {
            Some(Ok(frame)) => length += frame.into_data().unwrap().len() as u64,
            Some(Err(_)) => break,
            None => panic!("the body ends"),
        }
    }
    assert_eq!(length, bytes);
}

#[tokio::test]
async fn every_stream_can_be_cut_after_a_time() {
    let time = Duration::from_millis(400);
    let cuts = Fault::cut_after(time).always();
    let builder = LocalRelay::builder()
        .agent("agent", slow_speaker())
        .hold_back(Duration::ZERO)
        .fault(cuts.clone());
    let scene = Scene::of(builder).await;
    let begun = Instant::now();
    let first = raw_chat(&scene, LONG).await;
    assert!(begun.elapsed() >= time);
    assert_eq!(first.end, End::Cut);
    assert!(first.text().contains("two") && !first.text().contains("ten"));
    let second = raw_resume(&scene, LONG).await;
    assert_eq!(second.end, End::Cut);
    assert_eq!(cuts.struck(), 2);
    assert_eq!(stored_text(&scene.wait_for("completed").await), TEXT);
}

#[tokio::test]
async fn a_silent_stream_can_be_cut_after_a_time() {
    let quiet = Agent::new(async |_: Run| {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let scene = Scene::with(quiet).await;
    scene
        .relay
        .inject(Fault::cut_after(Duration::from_millis(100)));
    let response = raw_chat(&scene, LONG).await;
    assert_eq!(response.end, End::Cut);
    assert_eq!(kinds(&response.events()), ["start"]);
}

#[tokio::test]
async fn the_first_counted_event_is_start() {
    let scene = Scene::with(speaker()).await;
    scene.relay.inject(Fault::cut_after(After::Events(3)));
    let response = raw_chat(&scene, LONG).await;
    assert_eq!(response.end, End::Cut);
    assert_eq!(
        kinds(&response.events()),
        ["start", "text-start", "text-delta"]
    );
}

#[tokio::test]
async fn a_stream_can_end_properly_without_done() {
    let scene = Scene::with(speaker()).await;
    let end = Fault::end_after(200);
    scene.relay.inject(end.clone());
    let response = raw_chat(&scene, LONG).await;
    assert_eq!((response.body.len(), &response.end), (200, &End::Whole));
    assert!(!response.text().contains("[DONE]"));
    assert_eq!(end.struck(), 1);
    assert_eq!(stored_text(&scene.wait_for("completed").await), TEXT);
}

#[tokio::test]
async fn a_silenced_stream_stays_open_and_its_run_continues() {
    let scene = Scene::with(slow_speaker()).await;
    scene.relay.inject(Fault::silence_after(250));
    let response = raw_chat(&scene, SHORT).await;
    assert_eq!((response.body.len(), &response.end), (250, &End::Silent));
    assert_eq!(stored_text(&scene.wait_for("completed").await), TEXT);
}

#[tokio::test]
async fn an_inserted_event_comes_between_two_others() {
    let scene = Scene::with(speaker()).await;
    let cases = [
        (After::Events(3), "{", 3),
        (After::Bytes(0), "[1,", 0),
        // This point is within the first event, so the inserted one comes after it.
        (After::Bytes(10), "{}", 1),
    ];
    for (after, data, at) in cases {
        let fault = Fault::event_after(after, data);
        scene.relay.inject(fault.clone());
        let response = raw_chat(&scene, LONG).await;
        assert_eq!((&response.end, fault.struck()), (&End::Whole, 1));
        let mut events = response.events();
        assert_eq!(events.remove(at), data);
        assert_eq!(text_of(&events), TEXT);
        assert_eq!(kinds(&events).first().unwrap(), "start");
        assert_eq!(kinds(&events).last().unwrap(), "[DONE]");
        let next = raw_chat(&scene, LONG).await;
        assert!(!next.events().iter().any(|event| event == data));
    }
}

#[tokio::test]
async fn data_with_any_line_breaks_is_one_event() {
    let scene = Scene::with(speaker()).await;
    for data in ["{\n}", "{\r\n}", "{\r}"] {
        scene.relay.inject(Fault::event_after(0, data));
        let response = raw_chat(&scene, LONG).await;
        assert!(response.text().starts_with("data: {\ndata: }\n\ndata: "));
    }
}

#[tokio::test]
async fn a_dead_runtime_streams_until_it_is_cancelled() {
    for after in [
        After::Events(4),
        After::Bytes(250),
        After::Time(Duration::from_millis(300)),
        // The agent has said everything, and only the closing chunks are missing.
        After::Events(13),
    ] {
        let scene = Scene::with(speaker().pace(Duration::from_millis(50))).await;
        let death = Fault::dead_runtime_after(after);
        scene.relay.inject(death.clone());
        let response = raw_chat(&scene, SHORT).await;
        assert_eq!(response.end, End::Silent, "{after:?}");
        let events = response.events();
        assert!(!response.text().contains("finish"), "{events:?}");
        match after {
            After::Events(count) => assert_eq!(events.len() as u64, count),
            After::Bytes(bytes) => {
                let last = events.last().unwrap().len() + "data: \n\n".len();
                let length = response.body.len() as u64;
                assert!(length >= bytes && length - (last as u64) < bytes);
            }
            _ => assert!(text_of(&events).starts_with("one ") && events.len() < 12),
        }
        assert_eq!(death.struck(), 1);
        let thread = scene.thread().await;
        assert_eq!(thread["status"], "streaming");
        assert_eq!(thread["messages"], Value::Null);

        let mut joined = scene.resume().await;
        assert_eq!(joined.chunk().await["type"], "start");
        assert_eq!(scene.cancel().await["status"], "cancelled");
        assert_eq!(joined.rest().await, ["[DONE]"]);
        assert_eq!(scene.thread().await["status"], "cancelled");

        // The next run is not affected.
        assert_eq!(scene.chat("Again").await.text().await, TEXT);
    }
}

#[tokio::test]
async fn a_runtime_dies_on_time_even_if_its_agent_is_silent() {
    let quiet = Agent::new(async |run: Run| {
        run.sandbox().exec("sleep 60").await?;
        Ok(())
    });
    let scene = Scene::with_commands(quiet).await;
    let death = Fault::dead_runtime_after(SHORT);
    scene.relay.inject(death.clone());
    let begun = Instant::now();
    let mut stream = scene.chat("Go").await;
    stream.chunk().await;
    while death.struck() == 0 {
        assert!(begun.elapsed() < LONG);
        sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(scene.thread().await["status"], "streaming");
    scene.cancel().await;
    assert_eq!(stream.rest().await, ["[DONE]"]);
}

#[tokio::test]
async fn a_run_that_is_not_stored_finishes_without_done() {
    let scene = Scene::with(speaker()).await;
    scene.chat("Before").await.rest().await;
    let before = scene.thread().await["messages"].clone();
    let fault = Fault::fail_to_store();
    scene.relay.inject(fault.clone());
    let response = raw_chat(&scene, LONG).await;
    assert_eq!(response.end, End::Whole);
    let events = response.events();
    assert_eq!(kinds(&events).last().unwrap(), "finish");
    assert_eq!(text_of(&events), TEXT);
    let thread = scene.thread().await;
    assert_eq!(thread["status"], "error");
    let error = thread["error"].as_str().unwrap();
    assert!(error.starts_with("sandbox_error: Failed query"), "{error}");
    assert_eq!(thread["messages"], before);
    assert_eq!(fault.struck(), 1);
}

#[tokio::test]
async fn a_joined_reader_can_store_its_view() {
    let race = Fault::joined_reader_stores();
    let builder = LocalRelay::builder()
        .agent("agent", slow_speaker())
        .fault(race.clone());
    let scene = Scene::of(builder).await;
    // Without a joined reader, the fault does not strike.
    scene.chat("Before").await.rest().await;
    let before = scene.thread().await["messages"].clone();
    assert_eq!(before.as_array().unwrap().len(), 2);
    assert_eq!(race.struck(), 0);

    let mut first = scene.chat("Go").await;
    let original = first.chunk().await["messageId"].clone();
    first.until("four").await;
    let mut second = scene.resume().await;
    let start = second.chunk().await;
    let mut third = scene.resume().await;
    third.chunk().await;
    let seen = second.rest().await;
    let tail = text_of(&seen);
    assert!(tail.ends_with("nine ten") && !tail.contains("four"));
    assert!(first.text().await.ends_with("ten"));
    assert_eq!(race.struck(), 1);

    let thread = scene.wait_for("completed").await;
    let messages = thread["messages"].as_array().unwrap();
    assert_eq!(messages[..2], before.as_array().unwrap()[..]);
    assert_eq!(messages.len(), 3, "the user's message is lost");
    assert_eq!(messages[2]["role"], "assistant");
    assert_eq!(messages[2]["id"], start["messageId"]);
    assert_ne!(messages[2]["id"], original);
    assert_eq!(stored_text(&thread), tail);
    let metadata: Value = serde_json::from_str(&seen[seen.len() - 3]).unwrap();
    assert_eq!(messages[2]["metadata"], metadata["messageMetadata"]);
    assert!(metadata["messageMetadata"]["finalTextId"].is_string());

    // The fault is spent, and the reader that starts a run stores it again.
    let mut first = scene.chat("After").await;
    first.until("four").await;
    let mut second = scene.resume().await;
    second.rest().await;
    first.rest().await;
    assert_eq!(stored_text(&scene.thread().await), TEXT);
}

#[tokio::test]
async fn a_resume_can_replay_from_the_beginning() {
    let gate = Gate::default();
    let agent = gated(&gate, async |run: Run, gate: Gate| {
        run.send(TextStart::new("t1")).await;
        for delta in ["Hello, ", "world! ", "How are you?"] {
            run.send(TextDelta::new("t1", delta)).await;
        }
        run.send(TextEnd::new("t1")).await;
        run.send(ToolInputStart::new("call1", "Bash")).await;
        for delta in [r#"{"command""#, r#":"ls"}"#] {
            run.send(ToolInputDelta::new("call1", delta)).await;
        }
        let call = ToolInputAvailable::new("call1", "Bash");
        run.send(call.input(json!({ "command": "ls" }))).await;
        let output = ToolOutputAvailable::new("call1");
        run.send(output.output(json!("a.txt"))).await;
        run.send(TextStart::new("t2")).await;
        run.send(TextDelta::new("t2", "Some words")).await;
        gate.pass().await;
        run.send(TextDelta::new("t2", " more")).await;
        run.send(TextEnd::new("t2")).await;
        Ok(())
    });
    let hold_back = Duration::from_secs(5);
    let replay = Fault::replay_on_resume();
    let builder = LocalRelay::builder()
        .agent("agent", agent)
        .hold_back(hold_back)
        .fault(replay.clone());
    let scene = Scene::of(builder).await;
    let mut first = scene.chat("Go").await;
    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|event: &String| event.contains("Some words"))
    {
        seen.push(first.next().await.unwrap());
    }
    let joined = Instant::now();
    let mut second = scene.resume().await;
    gate.open();
    let replayed = second.rest().await;
    assert!(joined.elapsed() < hold_back, "nothing is held back");
    seen.extend(first.rest().await);
    assert_eq!(replay.struck(), 1);

    let (seen, replayed) = (Message::of(&seen), Message::of(&replayed));
    assert_eq!(seen.texts, replayed.texts);
    assert_eq!(seen.calls, replayed.calls);
    assert_ne!(seen.id, replayed.id);
    assert_eq!(seen.text_ids.len(), replayed.text_ids.len());
    assert!(
        seen.text_ids
            .iter()
            .all(|id| !replayed.text_ids.contains(id))
    );
    // In the part that was still open, only the deltas before the resume are cut at other places.
    assert_eq!(seen.cuts[0], [7, 14]);
    assert_eq!(replayed.cuts[0], [3, 10, 20]);
    assert_eq!(seen.cuts[1], [10]);
    assert_eq!(replayed.cuts[1], [5, 10]);

    // The next reader joins in the middle, as by default.
    let mut first = scene.chat("Again").await;
    first.until("Some words").await;
    let mut second = scene.resume().await;
    assert_eq!(second.chunk().await["type"], "start");
    gate.open();
    scene.wait_for("completed").await;
    assert!(timeout(SHORT, second.next()).await.is_err());
}

/// The comparable content of a stream.
#[derive(Default)]
struct Message {
    id: String,
    texts: Vec<String>,
    text_ids: Vec<String>,
    /// The offsets within each text at which deltas end.
    cuts: Vec<Vec<usize>>,
    /// The chunks of tool calls, with their deltas joined into one text.
    calls: Vec<Value>,
}

impl Message {
    fn of(events: &[String]) -> Self {
        let mut message = Self::default();
        let mut input = String::new();
        for event in events {
            let Ok(chunk) = serde_json::from_str::<Value>(event) else {
                continue;
            };
            let text = |name: &str| chunk[name].as_str().unwrap().to_owned();
            match text("type").as_str() {
                "start" => message.id = text("messageId"),
                "text-start" => {
                    message.text_ids.push(text("id"));
                    message.texts.push(String::new());
                    message.cuts.push(Vec::new());
                }
                "text-delta" => {
                    assert_eq!(message.text_ids.last(), Some(&text("id")));
                    let whole = message.texts.last_mut().unwrap();
                    if !whole.is_empty() {
                        message.cuts.last_mut().unwrap().push(whole.len());
                    }
                    whole.push_str(&text("delta"));
                }
                "tool-input-delta" => input.push_str(&text("inputTextDelta")),
                kind if kind.starts_with("tool-") => message.calls.push(chunk.clone()),
                _ => {}
            }
        }
        message.calls.push(input.into());
        message
    }
}

#[tokio::test]
async fn a_resume_can_find_nothing() {
    let scene = Scene::with(slow_speaker()).await;
    let nothing = Fault::nothing_on_resume().times(2);
    scene.relay.inject(nothing.clone());
    assert_eq!(scene.resume().await.status, 204);
    assert_eq!(nothing.struck(), 0, "there is nothing");
    let mut first = scene.chat("Go").await;
    first.until("one").await;
    for _ in 0..2 {
        assert_eq!(scene.resume().await.status, 204);
        assert_eq!(scene.thread().await["status"], "streaming");
    }
    assert_eq!(nothing.struck(), 2);
    assert_eq!(scene.resume().await.status, 200);
}

#[tokio::test]
async fn a_refused_request_has_no_effect_and_other_endpoints_work() {
    let scene = Scene::with(speaker()).await;
    let refusal = Fault::refuse(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(Duration::from_millis(1500))
        .on::<CreateThread>()
        .times(2);
    scene.relay.inject(refusal.clone());
    let threads = format!("/v1/sandboxes/{}/threads", scene.sandbox);
    scene.client.get(&threads).await.expect(200);
    for _ in 0..2 {
        let reply = scene.client.post(&threads, json!({})).await;
        assert_eq!(reply.error().0, 503);
        assert_eq!(reply.error().1, "sandbox_unavailable");
        assert_eq!(reply.headers["retry-after"], "2");
    }
    assert_eq!(refusal.struck(), 2);
    let listed = scene.client.get(&threads).await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    scene.client.post(&threads, json!({})).await.expect(201);

    let refusal = Fault::refuse(StatusCode::TOO_MANY_REQUESTS).on::<SendMessages>();
    scene.relay.inject(refusal);
    let body = json!({ "messages": [user("Go")], "sandboxId": scene.sandbox });
    let reply = scene.client.post("/v1/chat/agent", body).await;
    assert_eq!(reply.error().0, 429);
    assert_eq!(reply.error().1, "rate_limit_exceeded");
    assert!(!reply.headers.contains_key("retry-after"));
    assert_eq!(scene.thread().await["status"], "idle");
    assert_eq!(scene.chat("Go").await.text().await, TEXT);
}

#[tokio::test]
async fn a_refusal_can_have_any_retry_after() {
    let scene = Scene::with(speaker()).await;
    for (wait, seconds) in [
        (Duration::ZERO, "0"),
        (Duration::from_nanos(1), "1"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let refusal = Fault::refuse(StatusCode::TOO_MANY_REQUESTS).retry_after(wait);
        scene.relay.inject(refusal);
        let reply = scene.client.get("/v1/sandboxes/any").await;
        assert_eq!(reply.headers["retry-after"], seconds);
    }
}

#[tokio::test]
async fn refusals_without_an_endpoint_strike_the_first_request() {
    let scene = Scene::with(speaker()).await;
    let first = Fault::refuse(StatusCode::INTERNAL_SERVER_ERROR);
    let second = Fault::refuse(StatusCode::BAD_GATEWAY)
        .on::<GetThread>()
        .on::<ListThreads>();
    scene.relay.inject(first.clone());
    scene.relay.inject(second.clone());
    let threads = format!("/v1/sandboxes/{}/threads", scene.sandbox);
    // A caller without a valid key gets the same response.
    let stranger = scene.client.with_key("unknown");
    assert_eq!(stranger.get("/health").await.status, 200);
    assert_eq!(
        stranger.get(&threads).await.error().1,
        "internal_error",
        "the first that was added strikes first"
    );
    assert_eq!(stranger.post(&threads, json!({})).await.status, 401);
    assert_eq!(scene.client.get(&threads).await.error().1, "sandbox_error");
    scene.client.get(&threads).await.expect(200);
    assert_eq!((first.struck(), second.struck()), (1, 1));
}

#[tokio::test]
async fn any_response_can_be_injected() {
    let response = Response::builder()
        .status(503)
        .header("content-type", "text/html")
        .header("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")
        .body("<h1>Back soon</h1>")
        .unwrap();
    let builder = LocalRelay::builder().fault(Fault::respond_with(response).always());
    let relay = builder.start().unwrap();
    let client = Client::new(&relay);
    for _ in 0..2 {
        let reply = client.get("/v1/sandboxes/any").await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers["content-type"], "text/html");
        assert_eq!(
            reply.headers["retry-after"],
            "Fri, 31 Dec 1999 23:59:59 GMT"
        );
        assert_eq!(reply.body, "<h1>Back soon</h1>");
    }
    relay.clear_faults();
    client.get("/v1/sandboxes/any").await.expect(404);
}

#[tokio::test]
async fn responses_of_any_endpoint_can_be_cut() {
    let scene = Scene::with(speaker()).await;
    let cut = Fault::cut_after(10).on::<ListThreads>();
    let silence = Fault::silence_after(10)
        .on::<ResumeStream>()
        .on::<GetThread>();
    scene.relay.inject(cut.clone());
    scene.relay.inject(silence);
    // Another endpoint than that of the fault.
    assert_eq!(raw_chat(&scene, LONG).await.end, End::Whole);
    let threads = format!("/v1/sandboxes/{}/threads", scene.sandbox);
    let response = raw(&scene, "GET", &threads, "", LONG).await;
    assert_eq!((response.body.len(), &response.end), (10, &End::Cut));
    assert_eq!(raw(&scene, "GET", &threads, "", LONG).await.end, End::Whole);
    let thread = format!("{threads}/{}", scene.thread);
    let response = raw(&scene, "GET", &thread, "", SHORT).await;
    assert_eq!((response.body.len(), &response.end), (10, &End::Silent));
    assert_eq!(cut.struck(), 1);
}

#[tokio::test]
async fn a_body_that_ends_before_its_length_is_cut() {
    let scene = Scene::with(speaker()).await;
    let thread = format!("/v1/sandboxes/{}/threads/{}", scene.sandbox, scene.thread);
    for bytes in [0, 10] {
        let end = Fault::end_after(bytes).on::<GetThread>();
        scene.relay.inject(end.clone());
        let response = raw(&scene, "GET", &thread, "", LONG).await;
        assert!(response.head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(
            (response.body.len() as u64, &response.end),
            (bytes, &End::Cut)
        );
        assert_eq!(end.struck(), 1);
    }
}

#[tokio::test]
async fn a_response_without_a_body_is_not_struck() {
    let scene = Scene::with(speaker()).await;
    let cut = Fault::cut_after(0).on::<DeleteSandbox>();
    scene.relay.inject(cut.clone());
    let target = format!("/v1/sandboxes/{}", scene.sandbox);
    scene.client.delete(&target).await.expect(204);
    assert_eq!(cut.struck(), 0);
}

#[tokio::test]
async fn faults_of_one_stream_strike_one_after_the_other() {
    let scene = Scene::with(speaker()).await;
    let (event, early) = (Fault::event_after(10, "[]"), Fault::cut_after(100));
    let (late, silence) = (Fault::cut_after(200), Fault::silence_after(200));
    let faults = [&late, &silence, &event, &early];
    for fault in faults {
        scene.relay.inject(fault.clone());
    }
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let response = raw_chat(&scene, SHORT).await;
        lengths.push((response.body.len(), response.end));
        scene.wait_for("completed").await;
    }
    // Of two faults at the same point, the one added first strikes. The other one strikes the next stream.
    assert_eq!(
        lengths[..3],
        [(100, End::Cut), (200, End::Cut), (200, End::Silent)]
    );
    assert_eq!(lengths[3].1, End::Whole);
    assert!(faults.iter().all(|fault| fault.struck() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_do_not_change_the_number_of_strikes() {
    let scene = Scene::with(speaker()).await;
    let refusals = Fault::refuse(StatusCode::INTERNAL_SERVER_ERROR)
        .on::<ListThreads>()
        .times(7);
    let cuts = Fault::cut_after(100).times(3);
    scene.relay.inject(refusals.clone());
    scene.relay.inject(cuts.clone());
    let threads = format!("/v1/sandboxes/{}/threads", scene.sandbox);
    let statuses = (0..40).map(|_| {
        let (client, threads) = (scene.client.clone(), threads.clone());
        async move { client.get(&threads).await.status }
    });
    let statuses: JoinSet<_> = statuses.collect();
    let statuses = statuses.join_all().await;
    let refused = statuses.iter().filter(|status| **status == 500).count();
    assert_eq!((refused, refusals.struck()), (7, 7));

    let scene = Arc::new(scene);
    let streams = (0..12).map(|_| {
        let scene = Arc::clone(&scene);
        async move { raw_chat(&scene, LONG).await.end }
    });
    let streams: JoinSet<_> = streams.collect();
    let ends = streams.join_all().await;
    let cut = ends.iter().filter(|end| **end == End::Cut).count();
    assert_eq!((cut, cuts.struck()), (3, 3));
}

#[tokio::test]
async fn cleared_faults_strike_nothing() {
    let scene = Scene::with(slow_speaker()).await;
    let faults = [
        Fault::cut_after(Duration::from_millis(800)).always(),
        Fault::dead_runtime_after(After::Events(8)).always(),
        Fault::refuse(StatusCode::BAD_GATEWAY).on::<GetThread>(),
    ];
    for fault in &faults {
        scene.relay.inject(fault.clone());
    }
    let mut stream = scene.chat("Go").await;
    stream.chunk().await;
    scene.relay.clear_faults();
    assert_eq!(stream.text().await, TEXT);
    assert_eq!(scene.thread().await["status"], "completed");
    assert!(faults.iter().all(|fault| fault.struck() == 0));
}
