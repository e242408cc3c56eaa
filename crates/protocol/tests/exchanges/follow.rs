//! Recorded runs of the relay, cut anywhere and settled with the stored answer.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;
use twentyfirst_protocol::flow::{Event, Failure, Flow, Now, Sent, Slot, Step};
use twentyfirst_protocol::runs::{
    FollowFlow, FollowPolicy, MessageState, Outcome, RunEnd, RunEvent, RunRef,
};
use twentyfirst_protocol::threads::{GetThread, ListThreads, Thread};
use twentyfirst_protocol::ui::{Assembler, Chunk, Decoder, UiMessage};
use twentyfirst_protocol::{CallOptions, Endpoint, SandboxId, ThreadId};

use crate::support::{recording, recordings};

/// A recorded stream.
#[derive(Deserialize)]
struct Stream {
    name: String,
    request: StreamRequest,
    chunks: Vec<Piece>,
    end: String,
}

#[derive(Deserialize)]
struct StreamRequest {
    path: String,
    body: Option<Value>,
}

#[derive(Deserialize)]
struct Piece {
    text: String,
}

impl Stream {
    fn bytes(&self) -> Vec<u8> {
        self.chunks
            .iter()
            .flat_map(|piece| piece.text.bytes())
            .collect()
    }
}

fn streams() -> Vec<Stream> {
    include_str!("../data/recordings/relay-streams.jsonl")
        .lines()
        .map(|line| serde_json::from_str(&written_out(line)).unwrap())
        .collect()
}

/// Expands the abbreviations of the recordings, such as `<ж x 40000>`.
fn written_out(text: &str) -> String {
    let mut parts = text.split("<ж x ");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (count, rest) = part.split_once('>').unwrap();
        out += &"ж".repeat(count.parse().unwrap());
        out += rest;
    }
    out
}

/// A flow that follows a run, and what it has yielded.
pub(crate) struct Scene {
    flow: FollowFlow,
    thread: Value,
    now: Now,
    events: Vec<RunEvent>,
    /// The kind of each request.
    sent: Vec<&'static str>,
    /// The response to resuming, if there is one.
    pub(crate) resumed: Option<Vec<u8>>,
}

impl Scene {
    pub(crate) fn new(follow: FollowPolicy, thread: Value) -> Self {
        let sandbox_id = SandboxId::new("sb_1").unwrap();
        let thread_id = ThreadId::new(thread["id"].as_str().unwrap()).unwrap();
        let options = CallOptions::new().follow(follow);
        let run = RunRef::new("my-agent", sandbox_id, thread_id).user_message_id("u1");
        Self {
            flow: run.follow().read(&options, 7).unwrap(),
            thread,
            now: Now {
                mono: Instant::now(),
                wall: SystemTime::UNIX_EPOCH,
            },
            events: Vec::new(),
            sent: Vec::new(),
            resumed: None,
        }
    }

    /// Runs the flow to its end with the relay's responses. While bytes are read, they are those of the first stream, followed by
    /// its end.
    pub(crate) fn play(
        mut self,
        bytes: &[u8],
        breaks_off: bool,
    ) -> (Vec<RunEvent>, UiMessage, Outcome, Self) {
        let mut pieces = bytes
            .chunks(bytes.len() / 20 + 61)
            .map(Bytes::copy_from_slice)
            .collect::<Vec<_>>();
        pieces.reverse();
        let mut open = true;
        loop {
            match self.flow.poll(self.now) {
                Step::Item(event) => self.events.push(event),
                Step::Done(outcome) => {
                    let message = self.flow.message().clone();
                    return (std::mem::take(&mut self.events), message, outcome, self);
                }
                Step::Close(Slot::Stream) => open = false,
                Step::Close(Slot::Exchange) => {}
                Step::Send(send) => {
                    let json = |body: &Value| {
                        let head = Response::builder().header("content-type", "application/json");
                        let head = head.body(()).unwrap().into_parts().0;
                        (head, Bytes::from(serde_json::to_vec(body).unwrap()))
                    };
                    let is_over = self.sent.contains(&"resume") && pieces.is_empty();
                    let mut thread = self.thread.clone();
                    if self.resumed.is_some() && !is_over {
                        thread["status"] = "streaming".into();
                        thread["messages"] = Value::Null;
                    }
                    if ListThreads::ROUTE.matches(&send.request) {
                        self.sent.push("list");
                        thread["messages"].take();
                        let (head, body) = json(&serde_json::json!([thread]));
                        self.flow.handle(Event::Response {
                            slot: Slot::Exchange,
                            head,
                            body,
                        });
                    } else if GetThread::ROUTE.matches(&send.request) {
                        self.sent.push("get");
                        let (head, body) = json(&thread);
                        self.flow.handle(Event::Response {
                            slot: Slot::Exchange,
                            head,
                            body,
                        });
                    } else {
                        self.sent.push("resume");
                        assert_eq!(send.request.method(), "GET");
                        let head = Response::builder().header("content-type", "text/event-stream");
                        let head = head.body(()).unwrap().into_parts().0;
                        self.flow.handle(Event::Response {
                            slot: Slot::Stream,
                            head,
                            body: Bytes::new(),
                        });
                        open = true;
                        let bytes = self.resumed.clone().unwrap();
                        pieces = vec![Bytes::from(bytes)];
                    }
                }
                Step::Wait { until } => match pieces.pop() {
                    Some(piece) if open => self.flow.handle(Event::Data(piece)),
                    _ if open => {
                        open = false;
                        if breaks_off && !self.sent.contains(&"resume") {
                            let failure = Failure::new(Sent::Maybe, "connection reset");
                            self.flow.handle(Event::Failure(Slot::Stream, failure));
                        } else {
                            self.flow.handle(Event::End);
                        }
                    }
                    _ => {
                        let until = until.expect("nothing is under way");
                        self.now.mono = until + Duration::from_millis(1);
                    }
                },
            }
        }
    }
}

/// Assembles the chunks alone, like a browser that receives them.
pub(crate) fn assembled(events: &[RunEvent]) -> UiMessage {
    let mut assembler = Assembler::new();
    for event in events {
        if let RunEvent::Chunk(chunk) = event {
            let _ = assembler.apply(chunk).unwrap();
        }
    }
    assembler.into_message()
}

fn finishes(events: &[RunEvent]) -> usize {
    let kinds = events.iter().filter_map(|event| match event {
        RunEvent::Chunk(chunk) => Some(chunk.kind().into_string_lossy()),
        _ => None,
    });
    kinds.filter(|kind| kind == "finish").count()
}

/// Returns all texts and tools, as far as chunks can express them.
fn contents(message: &UiMessage) -> Vec<Value> {
    let parts = serde_json::to_value(message).unwrap();
    let parts = parts["parts"].as_array().unwrap().iter();
    parts
        .filter(|part| part["type"] != "step-start")
        .cloned()
        .map(|mut part| {
            part.as_object_mut().unwrap().remove("rawInput");
            part
        })
        .collect()
}

/// Returns the runs that were recorded to their end, with the thread as it was stored then.
fn stored_runs() -> Vec<(Stream, Value)> {
    let mut runs = Vec::new();
    for stream in streams() {
        let Some(thread_id) = stream
            .request
            .body
            .as_ref()
            .and_then(|body| body["threadId"].as_str())
        else {
            continue;
        };
        let start = stream.bytes();
        let start = String::from_utf8_lossy(&start).into_owned();
        let path = format!("/threads/{thread_id}");
        let of_this_run = |body: &Value| {
            let messages = body["messages"].as_array();
            let ids = messages
                .into_iter()
                .flatten()
                .map(|message| message["id"].to_string());
            let has_answer = ids
                .into_iter()
                .any(|id| start.contains(&format!("\"messageId\":{id}")));
            has_answer && body["status"] == "completed"
                || body["status"] == "error" && body["messages"].is_null()
        };
        let thread = recordings().into_iter().rfind(|recording| {
            recording.request.method == "GET"
                && recording.request.path.ends_with(&path)
                && of_this_run(&recording.response.body)
        });
        if let Some(thread) = thread
            && stream.end == "closed"
            && stream.request.path == "/v1/chat/my-agent"
        {
            let thread = written_out(&thread.response.body.to_string());
            runs.push((stream, serde_json::from_str(&thread).unwrap()));
        }
    }
    runs
}

#[test]
fn a_recorded_run_that_is_cut_anywhere_is_complete_in_the_end() {
    let runs = stored_runs();
    assert!(runs.len() >= 15, "{}", runs.len());
    let mut cuts = 0;
    for (stream, thread) in runs {
        let bytes = stream.bytes();
        let places = 0..bytes.len();
        // Every byte of the short ones, and places all over the long one.
        for cut in places.step_by((bytes.len() / 500).max(1)) {
            let scene = Scene::new(FollowPolicy::wait(), thread.clone());
            let (events, message, outcome, scene) = scene.play(&bytes[..cut], cut % 2 == 0);
            let case = format!("{} cut at {cut}: {outcome:?}", stream.name);
            cuts += 1;
            if thread["status"] == "error" {
                assert!(matches!(outcome.end, RunEnd::Failed(_)), "{case}");
                continue;
            }
            assert!(matches!(outcome.end, RunEnd::Completed), "{case}");
            assert_eq!(outcome.message_state, MessageState::Whole, "{case}");
            let thread: Thread = serde_json::from_value(thread.clone()).unwrap();
            assert_eq!(outcome.usage, thread.usage, "{case}");
            let answer = message.id.clone();
            let stored = thread
                .into_ui_messages()
                .into_iter()
                .rfind(|message| message.id == answer);
            // At `finish` everything was delivered: no request is needed, and nothing is replaced.
            if scene.sent.contains(&"get") && !has_finished(&bytes[..cut]) {
                assert_eq!(Some(&message), stored.as_ref(), "{case}");
            }
            assert_eq!(contents(&message), contents(&stored.unwrap()), "{case}");
            assert_eq!(contents(&assembled(&events)), contents(&message), "{case}");
            assert_eq!(finishes(&events), 1, "{case}");
            assert!(!scene.sent.contains(&"resume"), "{case}");
        }
    }
    assert!(cuts > 8_000, "{cuts}");
}

/// Returns whether the bytes contain `finish`.
fn has_finished(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    decoder.push(bytes.to_vec());
    std::iter::from_fn(|| {
        decoder
            .next_chunk()
            .map(|chunk| chunk.is_ok_and(|chunk| matches!(chunk, Chunk::Finish(_))))
    })
    .any(|is_finish| is_finish)
}

/// Returns the stream of this name.
fn stream(name: &str) -> Stream {
    let stream = streams().into_iter().find(|stream| stream.name == name);
    stream.unwrap_or_else(|| panic!("no stream {name:?}"))
}

#[test]
fn a_recorded_run_that_is_joined_again_is_complete_in_the_end() {
    for (first, second, thread) in [
        (
            "resume 1a: original reader, client disconnects",
            "resume 1b: GET stream after the client disconnected",
            "threads.get: after resume 1",
        ),
        (
            "resume 3a: resumed before the first batch, original cut",
            "resume 3b: resumed before the first batch",
            "threads.get: after resume 3",
        ),
        (
            "resume ACP a: original cut",
            "resume ACP b: joined mid-run",
            "threads.get: after resume ACP",
        ),
    ] {
        let thread = recording(thread).response.body;
        let mut scene = Scene::new(FollowPolicy::live(), thread.clone());
        scene.resumed = Some(stream(second).bytes());
        let (events, message, outcome, scene) = scene.play(&stream(first).bytes(), true);
        let sent = ["get", "list", "resume", "list", "get", "get"];
        assert_eq!(scene.sent, sent, "{first}");
        assert!(outcome.is_success(), "{first}: {outcome:?}");
        assert_eq!(outcome.message_state, MessageState::Whole, "{first}");
        assert_eq!(
            serde_json::to_value(&message).unwrap(),
            thread["messages"][1],
            "{first}"
        );
        let gaps = events.iter().filter(|event| matches!(event, RunEvent::Gap));
        assert_eq!((gaps.count(), finishes(&events)), (1, 1), "{first}");
        // A receiver of the chunks has everything in its order, and no message starts again.
        let texts = assembled(&events).text();
        assert!(
            texts.starts_with(&assembled_text(&stream(first))),
            "{first}: {texts}"
        );
        assert!(
            texts.ends_with(&assembled_text(&stream(second))),
            "{first}: {texts}"
        );
    }
}

fn assembled_text(stream: &Stream) -> String {
    let mut assembler = Assembler::new();
    let mut decoder = Decoder::new();
    decoder.push(stream.bytes());
    while let Some(chunk) = decoder.next_chunk() {
        let _ = assembler.apply(&chunk.unwrap()).unwrap();
    }
    assembler.into_message().text()
}

#[test]
fn a_stream_over_the_limit_is_given_up_before_it_is_known_to_be_ours() {
    let thread = serde_json::json!({ "id": "th_1", "status": "streaming", "messages": null });
    let mut scene = Scene::new(FollowPolicy::live(), thread.clone());
    let json = |body: &Value| {
        let head = Response::builder().header("content-type", "application/json");
        let head = head.body(()).unwrap().into_parts().0;
        (head, Bytes::from(body.to_string()))
    };
    let start = b"data: {\"type\":\"start\",\"messageId\":\"m1\"}\n\n";
    scene.flow.handle(Event::Data(Bytes::from_static(start)));
    scene.flow.handle(Event::End);
    // The request after the stream was opened again gets a late response.
    let mut late = None;
    loop {
        match scene.flow.poll(scene.now) {
            Step::Item(RunEvent::Resumed) => panic!("it was taken for our stream"),
            Step::Item(_) | Step::Close(Slot::Exchange) => {}
            // The stream is not read beyond its limit.
            Step::Close(Slot::Stream) if scene.sent.contains(&"resume") => break,
            Step::Close(Slot::Stream) => {}
            Step::Done(outcome) => panic!("{outcome:?}"),
            Step::Send(send) => {
                let is_list = ListThreads::ROUTE.matches(&send.request);
                let (head, body) = match is_list {
                    true => json(&serde_json::json!([thread])),
                    false => json(&thread),
                };
                if !is_list && !GetThread::ROUTE.matches(&send.request) {
                    scene.sent.push("resume");
                    scene.flow.handle(Event::Response {
                        slot: Slot::Stream,
                        head,
                        body: Bytes::new(),
                    });
                } else if is_list && scene.sent.contains(&"resume") {
                    late = Some((head, body));
                } else {
                    scene.flow.handle(Event::Response {
                        slot: Slot::Exchange,
                        head,
                        body,
                    });
                }
            }
            Step::Wait { until } => match late.take() {
                Some((head, body)) => {
                    let piece = Bytes::from(vec![b'x'; 1024 * 1024]);
                    for _ in 0..17 {
                        scene.flow.handle(Event::Data(piece.clone()));
                    }
                    scene.flow.handle(Event::Response {
                        slot: Slot::Exchange,
                        head,
                        body,
                    });
                }
                None => scene.now.mono = until.expect("nothing is under way"),
            },
        }
    }
}
