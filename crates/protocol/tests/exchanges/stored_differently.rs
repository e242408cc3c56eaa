//! Runs whose stored answer differs from the stream: split into other parts, trimmed, or with parts left out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use twentyfirst_protocol::runs::{FollowPolicy, MessageState, RunEvent};
use twentyfirst_protocol::ui::{Assembler, Chunk, Part, UiMessage};

use crate::follow::{Scene, assembled};

/// The result of a run.
struct Followed {
    events: Vec<RunEvent>,
    message: UiMessage,
    state: MessageState,
}

impl Followed {
    /// Returns each delivered text, as a reader of the chunks has it.
    fn texts(&self) -> Vec<String> {
        texts(&assembled(&self.events))
    }

    fn kinds(&self) -> Vec<String> {
        let chunks = self.events.iter().filter_map(|event| match event {
            RunEvent::Chunk(chunk) => Some(chunk.kind().into_string_lossy()),
            _ => None,
        });
        chunks.collect()
    }
}

fn texts(message: &UiMessage) -> Vec<String> {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.to_string_lossy().into_owned()),
        _ => None,
    });
    texts.collect()
}

fn text(id: &str, text: &str) -> Vec<Value> {
    let mut chunks = open_text(id, text);
    chunks.push(json!({"type": "text-end", "id": id}));
    chunks
}

/// Returns the chunks of a text that has not ended.
fn open_text(id: &str, text: &str) -> Vec<Value> {
    vec![
        json!({"type": "text-start", "id": id}),
        json!({"type": "text-delta", "id": id, "delta": text}),
    ]
}

fn sse(chunks: impl IntoIterator<Item = Value>) -> String {
    let chunks = chunks.into_iter();
    chunks.map(|chunk| format!("data: {chunk}\n\n")).collect()
}

fn stream(chunks: Vec<Value>) -> String {
    let start = json!({"type": "start", "messageId": "m1"});
    sse([start].into_iter().chain(chunks))
}

/// Follows a run whose stream sends this and breaks off, and whose answer is stored in this form.
fn follow(read: &str, stored: Value) -> Followed {
    let thread = json!({"id": "th_1", "status": "completed", "messages": [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]},
        stored,
    ]});
    let scene = Scene::new(FollowPolicy::wait(), thread);
    let (events, message, outcome, _) = scene.play(read.as_bytes(), true);
    Followed {
        events,
        message,
        state: outcome.message_state,
    }
}

fn answer(parts: Value) -> Value {
    json!({"id": "m1", "role": "assistant", "parts": parts})
}

#[test]
fn the_answer_continues_after_a_part_that_is_not_stored() {
    let mut read = text("1", "Let me look.");
    read.push(json!({"type": "reasoning-start", "id": "2"}));
    read.push(json!({"type": "reasoning-delta", "id": "2", "delta": "Hm."}));
    read.push(json!({"type": "reasoning-end", "id": "2"}));
    read.extend(open_text("3", "The an"));
    let followed = follow(
        &stream(read),
        answer(json!([
            {"type": "text", "text": "Let me look."},
            {"type": "text", "text": "The answer is 42."},
            {"type": "tool-x", "toolCallId": "t", "state": "output-available", "input": {}, "output": 1},
            {"type": "text", "text": "Done."},
        ])),
    );
    assert_eq!(
        followed.texts(),
        ["Let me look.", "The an", "swer is 42.", "Done."]
    );
    assert!(
        followed
            .kinds()
            .contains(&"tool-output-available".to_owned())
    );
    assert_eq!(texts(&followed.message), followed.texts());
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn the_answer_continues_after_a_trimmed_text() {
    let mut read = text("1", "\n\nHello. ");
    read.extend(open_text("2", "I am working on your long "));
    let followed = follow(
        &stream(read),
        answer(json!([
            {"type": "text", "text": "Hello."},
            {"type": "text", "text": "I am working on your long question now."},
        ])),
    );
    assert_eq!(
        followed.texts(),
        ["\n\nHello. ", "I am working on your long ", "question now."]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn texts_stored_as_one_are_not_delivered_twice() {
    let mut read = text("1", "Hello. ");
    read.extend(open_text("2", "I am working"));
    let followed = follow(
        &stream(read),
        answer(json!([{"type": "text", "text": "Hello. I am working on it. Done."}])),
    );
    assert_eq!(
        followed.texts(),
        ["Hello. ", "I am working", " on it. Done."]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn a_text_stored_as_two_is_not_delivered_twice() {
    let followed = follow(
        &stream(open_text("1", "Hello. I am working on")),
        answer(json!([
            {"type": "text", "text": "Hello."},
            {"type": "text", "text": "I am working on it."},
            {"type": "text", "text": "Done."},
        ])),
    );
    assert_eq!(
        followed.texts(),
        ["Hello. I am working on", " it.", "Done."]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn blank_texts_need_not_be_stored() {
    let mut read = vec![
        json!({"type": "text-start", "id": "0"}),
        json!({"type": "text-end", "id": "0"}),
    ];
    read.extend(open_text("1", "I am working on"));
    let stored = || {
        answer(json!([
            {"type": "text", "text": "I am working on it."},
            {"type": "text", "text": ""},
            {"type": "text", "text": "Done."},
        ]))
    };
    let followed = follow(&stream(read.clone()), stored());
    assert_eq!(followed.texts(), ["", "I am working on it.", "", "Done."]);
    assert_eq!(followed.state, MessageState::Whole);
    assert!(
        !followed
            .events
            .iter()
            .any(|event| matches!(event, RunEvent::Gap))
    );

    // A text that has begun and is empty.
    read.truncate(1);
    let followed = follow(&stream(read), stored());
    assert_eq!(followed.texts(), ["I am working on it.", "", "Done."]);
    assert_eq!(followed.state, MessageState::Whole);
}

#[test]
fn an_empty_text_ends_too() {
    let mut read = text("1", "Wait.");
    read.push(json!({"type": "text-start", "id": "2"}));
    let stored = answer(json!([
        {"type": "text", "text": "Wait."},
        {"type": "file", "url": "https://example.com/a.png", "mediaType": "image/png"},
    ]));
    let followed = follow(&stream(read), stored);
    assert_eq!(
        followed.kinds(),
        [
            "start",
            "text-start",
            "text-delta",
            "text-end",
            "text-start",
            "text-end",
            "file",
            "finish"
        ]
    );
    assert_eq!(followed.state, MessageState::Whole);
}

#[test]
fn possibly_delivered_content_is_left_out() {
    // The stored answer is incomplete and in another order, so the place to continue is ambiguous.
    let mut read = text("0", "Two things.");
    read.extend(text("1", "One of two things that are written."));
    read.extend(text("2", "The other of the two things."));
    let followed = follow(
        &stream(read),
        answer(json!([
            {"type": "text", "text": "The other of the two things."},
            {"type": "text", "text": "One of two things that are written."},
            {"type": "text", "text": "Done."},
        ])),
    );
    assert_eq!(
        followed.texts(),
        [
            "Two things.",
            "One of two things that are written.",
            "The other of the two things."
        ]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);

    // It begins with other words.
    let read = open_text("1", "Höllo. I am working on your long question");
    let followed = follow(
        &stream(read),
        answer(json!([
            {"type": "text", "text": "Hi! Hello. I am working on your long question. Done."},
        ])),
    );
    assert_eq!(
        followed.texts(),
        ["Höllo. I am working on your long question", ". Done."]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn only_the_rest_of_later_content_is_delivered() {
    // A reader has joined in the middle, and we have read a piece of what it saw.
    let mut read = sse([json!({"type": "start", "messageId": "m1"})]);
    read += &sse(text("1", "This is how it begins."));
    read += "data: {nonsense\n\n";
    read += &sse(open_text("2", "and this is from its middle"));
    let mut stored = answer(json!([
        {"type": "text", "text": "was missed, and this is from its middle, and here it ends."},
    ]));
    stored["id"] = json!("m2");
    let followed = follow(&read, stored);
    assert_eq!(
        followed.texts(),
        [
            "This is how it begins.",
            "and this is from its middle",
            ", and here it ends."
        ]
    );
    assert_eq!(followed.state, MessageState::StoredIncompletely);
}

#[test]
fn two_texts_after_a_gap_are_not_one_in_the_stored_answer() {
    let mut read = stream(text("1", "One."));
    read += "data: {nonsense\n\n";
    read += &sse(text("2", "ok, next"));
    read += &sse(text("3", "ok, next"));
    let stored = |count: usize| {
        let mut parts = vec![json!({"type": "text", "text": "One."})];
        parts.extend(vec![json!({"type": "text", "text": "ok, next"}); count]);
        answer(parts.into())
    };
    let under = |id: &str, mut stored: Value| {
        stored["id"] = json!(id);
        stored
    };
    let followed = follow(&read, under("m2", stored(1)));
    assert_eq!(texts(&followed.message), ["One.", "ok, next", "ok, next"]);
    assert_eq!(followed.state, MessageState::StoredIncompletely);

    // The first reader has stored the answer, which counts, whatever pieces arrived.
    let followed = follow(&read, stored(1));
    assert_eq!(texts(&followed.message), ["One.", "ok, next"]);
    assert_eq!(followed.state, MessageState::Whole);

    let followed = follow(&read, stored(3));
    assert_eq!(
        texts(&followed.message),
        ["One.", "ok, next", "ok, next", "ok, next"]
    );
    assert_eq!(followed.state, MessageState::Whole);
}

#[test]
fn a_call_that_restarts_after_a_gap_is_read_again() {
    let begin = || json!({"type": "tool-input-start", "toolCallId": "t", "toolName": "x"});
    let delta = |delta: &str| json!({"type": "tool-input-delta", "toolCallId": "t", "inputTextDelta": delta});
    let mut read = stream(vec![begin(), delta("{\"a\":")]);
    read += "data: {nonsense\n\n";
    read += &sse([delta("1,"), begin(), delta("{\"a\":1}")]);
    let stored = answer(json!([
        {"type": "tool-x", "toolCallId": "t", "state": "input-available", "input": {"a": 1}},
    ]));
    let followed = follow(&read, stored);
    let begun = "tool-input-start";
    let delta = "tool-input-delta";
    // The middle of an input is useless; an input that begins again is complete.
    assert_eq!(followed.kinds()[..5], ["start", begun, delta, begun, delta]);
    assert_eq!(followed.state, MessageState::Whole);
}

#[test]
fn delivered_metadata_is_not_repeated() {
    let mut read = open_text("1", "I am");
    read.push(json!({"type": "message-metadata", "messageMetadata": {"a": 1, "b": {"c": [2]}}}));
    let metadata = |stored: Value| {
        let mut answer = answer(json!([{"type": "text", "text": "I am", "state": "done"}]));
        answer["metadata"] = stored;
        let followed = follow(&stream(read.clone()), answer);
        let metadata = followed.events.iter().filter_map(|event| match event {
            RunEvent::Chunk(chunk) => Some(serde_json::to_value(chunk).unwrap()),
            _ => None,
        });
        let mut metadata: Vec<Value> = metadata
            .filter(|chunk| chunk["type"] == "message-metadata")
            .map(|mut chunk| chunk["messageMetadata"].take())
            .collect();
        metadata.remove(0);
        metadata
    };
    assert_eq!(
        metadata(json!({"b": {"c": [2.0]}, "a": 1})),
        [] as [Value; 0]
    );
    assert_eq!(metadata(json!({"a": 1, "d": 3})), [json!({"d": 3})]);
    assert_eq!(metadata(json!({"a": 2})), [json!({"a": 2})]);
}

#[test]
fn an_approval_response_is_delivered_without_the_request() {
    let read = vec![
        json!({"type": "tool-input-available", "toolCallId": "t", "toolName": "x", "input": {}}),
        json!({"type": "tool-approval-request", "approvalId": "a", "toolCallId": "t"}),
    ];
    let followed = follow(
        &stream(read),
        answer(json!([{
            "type": "tool-x", "toolCallId": "t", "state": "output-denied", "input": {},
            "approval": {"id": "a", "approved": false, "reason": "No."},
        }])),
    );
    assert_eq!(
        followed.kinds()[3..],
        ["tool-approval-response", "tool-output-denied", "finish"]
    );
    assert_eq!(assembled(&followed.events), followed.message);
    assert_eq!(followed.state, MessageState::Whole);
}

#[test]
fn an_unreadable_input_is_delivered_as_an_error() {
    let call = |raw_input: Value| {
        answer(json!([{
            "type": "tool-x", "toolCallId": "t", "state": "output-error", "rawInput": raw_input,
            "errorText": "Not an input.",
        }]))
    };
    for raw_input in [json!("{bad"), json!({"not": "fit"})] {
        let followed = follow(&stream(Vec::new()), call(raw_input.clone()));
        assert_eq!(followed.kinds(), ["start", "tool-input-error", "finish"]);
        let message = assembled(&followed.events);
        let call = message.parts[0].as_tool().unwrap();
        assert_eq!(
            call.input.as_ref().unwrap().deserialize::<Value>().unwrap(),
            raw_input
        );
        assert_eq!(
            call.error_text,
            followed.message.parts[0].as_tool().unwrap().error_text
        );
    }
}

#[test]
fn an_unfinished_input_continues() {
    let begin = json!({"type": "tool-input-start", "toolCallId": "t", "toolName": "x"});
    let delta = json!({"type": "tool-input-delta", "toolCallId": "t", "inputTextDelta": "{\"a"});
    let followed = follow(
        &stream(vec![begin, delta]),
        answer(json!([{
            "type": "tool-x", "toolCallId": "t", "state": "input-streaming",
            "input": {"a": 1}, "rawInput": "{\"a\": 1",
        }])),
    );
    assert_eq!(followed.kinds()[3..], ["tool-input-delta", "finish"]);
    assert_eq!(
        expressible(&assembled(&followed.events)),
        expressible(&followed.message)
    );
}

/// Generates chunks about a few parts of each kind. A call is of one kind and has its own approval.
fn any_chunk() -> impl Strategy<Value = Value> {
    let id = || prop::sample::select(vec!["a", "b", "c"]);
    let is_dynamic = |id: &str| id == "c";
    let word = || prop::sample::select(vec!["", "One ", "two", "{\"a\":", "1}", "\"x"]);
    let value = || prop::sample::select(vec![json!(null), json!(1), json!({"a": {"b": [1]}})]);
    let metadata = || prop::option::of(Just(json!({"p": {"k": 1}})));
    let text = (
        id(),
        word(),
        metadata(),
        prop::sample::select(vec!["text", "reasoning"]),
    );
    let texts = (text, 0..3).prop_map(|((id, delta, metadata, kind), step)| {
        let mut chunk = match step {
            0 => json!({"type": format!("{kind}-start"), "id": id}),
            1 => json!({"type": format!("{kind}-delta"), "id": id, "delta": delta}),
            _ => json!({"type": format!("{kind}-end"), "id": id}),
        };
        chunk["providerMetadata"] = metadata.into();
        without_null(chunk)
    });
    let encoding = prop::option::of(prop::sample::select(vec!["json", "text"]));
    let input = (id(), word(), value(), metadata(), encoding);
    let inputs = (input, 0..6).prop_map(move |((id, delta, input, metadata, encoding), step)| {
        let dynamic = is_dynamic(id);
        without_null(match step {
            0 => json!({"type": "tool-input-start", "toolCallId": id, "toolName": "x", "dynamic": dynamic,
                "inputEncoding": encoding, "providerMetadata": metadata, "title": "An x"}),
            1..4 => json!({"type": "tool-input-delta", "toolCallId": id, "inputTextDelta": delta}),
            4 => json!({"type": "tool-input-available", "toolCallId": id, "toolName": "x", "dynamic": dynamic,
                "input": input, "providerMetadata": metadata, "toolMetadata": {"m": 1}}),
            _ => json!({"type": "tool-input-error", "toolCallId": id, "toolName": "x", "dynamic": dynamic,
                "input": input, "providerMetadata": metadata, "errorText": "Not an input."}),
        })
    });
    let output = (id(), value(), metadata(), any::<bool>());
    let outputs = (output, 0..5).prop_map(|((id, output, metadata, flag), step)| {
        without_null(match step {
            0 => json!({"type": "tool-output-available", "toolCallId": id, "output": output,
                "preliminary": flag, "providerMetadata": metadata}),
            1 => json!({"type": "tool-output-error", "toolCallId": id, "errorText": "It failed.",
                "providerMetadata": metadata}),
            2 => json!({"type": "tool-output-denied", "toolCallId": id}),
            3 => json!({"type": "tool-approval-request", "toolCallId": id, "approvalId": format!("of {id}"),
                "approvalDescriptor": output, "reason": "May it?", "isAutomatic": flag, "signature": "s"}),
            _ => json!({"type": "tool-approval-response", "approvalId": format!("of {id}"),
                "approved": flag, "reason": "Because."}),
        })
    });
    let others = (id(), value(), metadata(), 0..9).prop_map(|(id, data, metadata, kind)| {
        without_null(match kind {
            0 => json!({"type": "start-step"}),
            1 => json!({"type": "data-x", "id": id, "data": data}),
            2 => json!({"type": "data-x", "data": data}),
            3 => json!({"type": "source-url", "sourceId": id, "url": "https://example.com", "title": "T",
                "providerMetadata": metadata}),
            4 => json!({"type": "source-document", "sourceId": id, "mediaType": "text/plain", "title": "T",
                "filename": "a.txt", "providerMetadata": metadata}),
            5 => json!({"type": "file", "url": "https://example.com/a.png", "mediaType": "image/png",
                "providerMetadata": metadata}),
            6 => json!({"type": "reasoning-file", "url": "https://example.com/a.png", "mediaType": "image/png",
                "providerMetadata": metadata}),
            7 => json!({"type": "custom", "kind": "x.y", "providerMetadata": metadata}),
            _ => json!({"type": "steering-message", "id": id, "parts": [{"type": "text", "text": "Stop"}]}),
        })
    });
    prop_oneof![3 => texts, 6 => inputs, 4 => outputs, 3 => others]
}

/// Returns whether a call advances with this chunk. A call that starts again may keep traces of its earlier state. Its input is
/// within one step.
fn advances(chunk: &Value, calls: &mut BTreeMap<String, usize>) -> bool {
    let step = match chunk["type"].as_str().unwrap() {
        "tool-input-start" => 1,
        "tool-input-delta" => 2,
        "tool-input-available" => 3,
        "tool-approval-request" => 4,
        "tool-approval-response" => 5,
        "tool-input-error"
        | "tool-output-available"
        | "tool-output-error"
        | "tool-output-denied" => 6,
        "start-step" => {
            calls.values_mut().for_each(|step| *step = 3.max(*step));
            return true;
        }
        _ => return true,
    };
    let id = chunk["toolCallId"].as_str().map(str::to_owned);
    let id = id.unwrap_or_else(|| chunk["approvalId"].as_str().unwrap().replace("of ", ""));
    let before = calls.entry(id).or_default();
    let advances = step > *before || (step, *before) == (2, 2);
    *before = step.max(*before);
    advances
}

/// Removes absent members from a chunk; a value may still be null.
fn without_null(mut chunk: Value) -> Value {
    let members = chunk.as_object_mut().unwrap();
    members.retain(|name, value| {
        !value.is_null() || matches!(name.as_str(), "input" | "output" | "data")
    });
    chunk
}

/// Returns the part of a stored answer that its chunks can express: texts have ended, ids of reasoning are each reader's own, and
/// a step becomes visible with its content.
fn expressible(message: &UiMessage) -> Value {
    let mut message = message.clone();
    while let Some(Part::StepStart(_)) = message.parts.last() {
        message.parts.pop();
    }
    let mut message = serde_json::to_value(message).unwrap();
    for part in message["parts"].as_array_mut().unwrap() {
        let part = part.as_object_mut().unwrap();
        let kind = part["type"].as_str().unwrap();
        if kind == "text" || kind == "reasoning" {
            part.remove("state");
            part.remove("id");
        }
    }
    message
}

proptest! {
    #[test]
    fn the_chunks_of_a_stored_answer_assemble_to_it(
        chunks in prop::collection::vec(any_chunk(), 0..40),
    ) {
        let mut assembler = Assembler::new();
        let start = json!({"type": "start", "messageId": "m1"}).to_string();
        let _ = assembler.apply(&Chunk::decode(&start).unwrap()).unwrap();
        let mut calls = BTreeMap::new();
        for chunk in chunks {
            if !advances(&chunk, &mut calls) {
                continue;
            }
            let chunk = chunk.to_string();
            // Many do not fit the chunks before.
            let _ = assembler.apply(&Chunk::decode(&chunk).unwrap());
        }
        let stored = assembler.into_message();
        let followed = follow("", serde_json::to_value(&stored).unwrap());
        prop_assert_eq!(expressible(&assembled(&followed.events)), expressible(&stored));
    }
}

/// The ways in which a relay may store a stream.
#[derive(Debug, Clone, Copy)]
struct Storing {
    trims: bool,
    joins_texts: bool,
    drops_reasoning: bool,
    drops_empty: bool,
}

impl Storing {
    fn parts(self, streamed: &[(&str, String)]) -> Value {
        let mut parts: Vec<(&str, String)> = Vec::new();
        for (kind, text) in streamed {
            let text = match self.trims {
                true => text.trim(),
                false => text,
            };
            let is_dropped = (self.drops_reasoning && *kind == "reasoning")
                || (self.drops_empty && text.is_empty());
            match parts.last_mut() {
                _ if is_dropped => {}
                Some((last, before)) if self.joins_texts && last == kind => *before += text,
                _ => parts.push((kind, text.to_owned())),
            }
        }
        let parts = parts.into_iter();
        parts
            .map(|(kind, text)| json!({"type": kind, "text": text}))
            .collect()
    }
}

/// Returns all texts of a message, without spaces.
fn said(message: &UiMessage, reasoning: bool) -> String {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(part) if !reasoning => Some(part.text.to_string_lossy()),
        Part::Reasoning(part) if reasoning => Some(part.text.to_string_lossy()),
        _ => None,
    });
    let texts = texts.collect::<String>();
    texts.split_whitespace().collect()
}

proptest! {
    #[test]
    fn everything_is_delivered_once_however_it_is_stored(
        parts in prop::collection::vec((any::<bool>(), prop::collection::vec("[a-dé]{0,9}", 0..6)), 1..6),
        cut in 0.0..1.0,
        (trims, joins_texts, drops_reasoning, drops_empty) in any::<(bool, bool, bool, bool)>(),
    ) {
        let storing = Storing { trims, joins_texts, drops_reasoning, drops_empty };
        let mut streamed = Vec::new();
        let mut chunks = Vec::new();
        for (number, (reasoning, words)) in parts.into_iter().enumerate() {
            let kind = if reasoning { "reasoning" } else { "text" };
            let words = words.into_iter().enumerate();
            let words: Vec<String> = words.map(|(at, word)| format!("{word}{number}.{at} ")).collect();
            chunks.push(json!({"type": format!("{kind}-start"), "id": number.to_string()}));
            for word in &words {
                chunks.push(json!({"type": format!("{kind}-delta"), "id": number.to_string(), "delta": word}));
            }
            chunks.push(json!({"type": format!("{kind}-end"), "id": number.to_string()}));
            streamed.push((kind, words.concat()));
        }
        let whole: Vec<String> = ["text", "reasoning"].map(|kind| {
            let of_kind = streamed.iter().filter(|(other, _)| *other == kind);
            of_kind.flat_map(|(_, text)| text.split_whitespace()).collect()
        }).into();
        chunks.truncate((chunks.len() as f64 * cut) as usize);
        let followed = follow(&stream(chunks), answer(storing.parts(&streamed)));
        for message in [&assembled(&followed.events), &followed.message] {
            prop_assert_eq!(said(message, false), whole[0].clone());
            let reasoning = said(message, true);
            match drops_reasoning {
                true => prop_assert!(whole[1].starts_with(&reasoning)),
                false => prop_assert_eq!(reasoning, whole[1].clone()),
            }
        }
    }
}

#[test]
fn pieces_of_parallel_texts_are_found_in_the_stored_answer() {
    let mut read = sse([json!({"type": "start", "messageId": "m1"})]);
    read += "data: {nonsense\n\n";
    read += &sse([json!({"type":"start-step"})]);
    let mut one = text("1", "the Grüße, \nk6f k94 kb9 kde k103 😀👍 k128 k14d ");
    one.extend(open_text("10", "k197 ha"));
    one.extend(open_text("12", "k1e1 th"));
    read += &sse(one);
    read += "data: {nonsense\n\n";
    let mut two = vec![json!({"type":"text-delta","id":"10","delta":" ha ha ha "})];
    two.push(json!({"type":"text-delta","id":"12","delta":"e k206 "}));
    two.push(json!({"type":"text-end","id":"10"}));
    two.push(json!({"type":"text-end","id":"12"}));
    two.extend(text("15", "k250 ha ha k275 Grüße, \nk29a the "));
    two.push(json!({"type":"finish"}));
    read += &sse(two);
    let mut stored = answer(json!([
        {"type":"step-start"},
        {"type": "text", "text": "the Grüße, \nk6f k94 kb9 kde k103 😀👍 k128 k14d "},
        {"type": "text", "text": "k197 ha ha ha ha "},
        {"type": "text", "text": "k1e1 the k206 "},
        {"type": "text", "text": "k250 ha ha k275 Grüße, \nk29a the "},
    ]));
    stored["id"] = json!("m2");
    let followed = follow(&read, stored);
    assert_eq!(texts(&followed.message).len(), 4);
}
