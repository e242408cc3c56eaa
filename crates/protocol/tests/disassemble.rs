//! Disassembling a message and assembling the chunks gives the same message.

#[path = "assembler_support/any_chunk.rs"]
mod any_chunk;

use std::collections::HashMap;

use any_chunk::any_chunk;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use twentyfirst_protocol::ui::{Assembler, Chunk, Decoder, UiMessage, disassemble};

const SEQUENCES: &str = include_str!("data/ui/assemble.jsonl");
const VECTORS: &str = include_str!("data/ui/vectors_assemble.jsonl");
const RELAY_STREAMS: &str = include_str!("data/ui/relay_streams.jsonl");
const RECORDINGS: &str = include_str!("data/recordings/relay-streams.jsonl");

fn assembled<'c>(chunks: impl IntoIterator<Item = &'c Chunk<'c>>) -> UiMessage {
    let mut assembler = Assembler::new();
    for chunk in chunks {
        assembler.apply(chunk).unwrap();
    }
    assembler.into_message()
}

/// Disassembles a message, and assembles it again from the chunks, and from their encoding.
fn assert_survives(message: &UiMessage) {
    let chunks = disassemble(message)
        .unwrap_or_else(|error| panic!("{error}: {:#?}\n{message:#?}", error.chunks()));
    assert_eq!(&assembled(&chunks), message);
    let encoded: Vec<String> = chunks.iter().map(Chunk::encode).collect();
    let decoded = encoded.iter().map(|json| Chunk::decode(json).unwrap());
    assert_eq!(&assembled(&decoded.collect::<Vec<_>>()), message);
}

fn message_of(chunks: &[Chunk<'_>], lenient: bool) -> UiMessage {
    let mut assembler = Assembler::new().lenient(lenient);
    for chunk in chunks {
        let _ = assembler.apply(chunk);
    }
    assembler.into_message()
}

/// Returns whether a chunk is about a tool call, or begins a step.
fn is_of_call(chunk: &Chunk<'_>) -> bool {
    let kind = chunk.kind();
    kind == "start-step" || kind.as_str().is_some_and(|kind| kind.starts_with("tool-"))
}

proptest! {
    #[test]
    fn every_message_of_an_assembler_survives_disassembly(
        chunks in prop::collection::vec(any_chunk(), 0..24),
        lenient: bool,
    ) {
        assert_survives(&message_of(&chunks, lenient));
    }

    #[test]
    fn calls_that_continue_in_every_way_survive_disassembly(
        chunks in prop::collection::vec(any_chunk(), 0..60),
        lenient: bool,
    ) {
        let chunks: Vec<Chunk<'static>> = chunks.into_iter().filter(is_of_call).collect();
        assert_survives(&message_of(&chunks, lenient));
    }
}

/// The first line of the sequences: the meaning of the names in the others.
#[derive(Deserialize)]
struct Names {
    chunks: HashMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct Sequence {
    initial: Option<String>,
    chunks: Vec<Box<RawValue>>,
}

#[test]
fn the_messages_of_every_sequence_survive_disassembly() {
    let mut lines = SEQUENCES.lines();
    let names: Names = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut count = 0;
    for line in lines {
        let sequence: Sequence = serde_json::from_str(line).unwrap();
        if sequence.initial.is_some() {
            continue;
        }
        let chunks = sequence.chunks.iter().map(|chunk| {
            let name = serde_json::from_str::<String>(chunk.get());
            let data = name.map_or_else(|_| chunk.get(), |name| names.chunks[&name].get());
            Chunk::decode(data).unwrap()
        });
        assert_survives(&message_of(&chunks.collect::<Vec<_>>(), false));
        count += 1;
    }
    assert!(count > 1_500, "{count}");
}

/// Messages whose chunks do not arrive part by part. Each was found by the properties above.
#[test]
fn calls_with_ambiguous_parts_survive_disassembly() {
    let start = r#"{"type":"tool-input-start","toolCallId":"a","toolName":"n","dynamic":true,"inputEncoding":"text"}"#;
    let fixed = r#"{"type":"tool-input-available","toolCallId":"a","toolName":"n","input":1}"#;
    let dynamic = r#"{"type":"tool-input-available","toolCallId":"a","toolName":"n","input":1,"dynamic":true}"#;
    let other = r#"{"type":"tool-input-available","toolCallId":"b","toolName":"n","input":1}"#;
    let step = r#"{"type":"start-step"}"#;
    let delta = r#"{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"x"}"#;
    let high = r#"{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"\ud83d"}"#;
    let low = r#"{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"\ude00"}"#;
    let restart = r#"{"type":"tool-input-start","toolCallId":"a","toolName":"n"}"#;
    let output = r#"{"type":"tool-output-available","toolCallId":"a","output":1,"providerMetadata":{"p":{}}}"#;
    let ask_a = r#"{"type":"tool-approval-request","approvalId":"q","toolCallId":"a"}"#;
    let ask_b = r#"{"type":"tool-approval-request","approvalId":"q","toolCallId":"b"}"#;
    let respond = r#"{"type":"tool-approval-response","approvalId":"q","approved":true,"providerExecuted":true}"#;
    let cases: &[&[&str]] = &[
        // The input continues in a later step than the one in which it began, and half a character is written in each.
        &[start, delta, dynamic, step, delta],
        &[start, high, step, low],
        &[start, step, fixed, delta, restart],
        &[start, step, delta, ask_a, respond, ask_a],
        // The result reaches the second part of a call only after the next step has begun.
        &[fixed, start, step, output, ask_a],
        // The response reaches the first part that requests the approval, which requested it last.
        &[fixed, other, ask_b, respond, ask_a],
        &[
            restart, delta, output, restart, step, other, ask_b, respond, ask_a,
        ],
    ];
    for case in cases {
        let chunks = case.iter().map(|json| Chunk::decode(json).unwrap());
        let chunks: Vec<Chunk<'_>> = chunks.collect();
        assert_eq!(message_of(&chunks, false), assembled(&chunks));
        assert_survives(&message_of(&chunks, false));
    }
}

fn message_of_stream(sse: String) -> UiMessage {
    let mut assembler = Assembler::new();
    let mut decoder = Decoder::new();
    decoder.push(sse);
    while let Some(chunk) = decoder.next_chunk() {
        if let Ok(chunk) = chunk {
            let _ = assembler.apply(&chunk);
        }
    }
    assembler.into_message()
}

#[test]
fn the_messages_of_vectors_and_recordings_survive_disassembly() {
    let mut count = 0;
    for line in [VECTORS, RELAY_STREAMS].into_iter().flat_map(str::lines) {
        let vector: Value = serde_json::from_str(line).unwrap();
        let sse = vector["sse"].as_str().unwrap();
        assert_survives(&message_of_stream(sse.to_owned()));
        count += 1;
    }
    for line in RECORDINGS.lines() {
        let recording: Value = serde_json::from_str(line).unwrap();
        let pieces = recording["chunks"].as_array().unwrap().iter();
        let pieces = pieces.map(|piece| piece["text"].as_str().unwrap_or_default());
        assert_survives(&message_of_stream(pieces.collect()));
        count += 1;
    }
    assert!(count > 150, "{count}");
}

/// Returns the part that chunks cannot express, of a message with this part before another one.
fn part_of(part: &str) -> Option<usize> {
    let json = format!(
        r#"{{"id":"m","role":"assistant","parts":[{{"type":"step-start"}},{part},{{"type":"step-start"}}]}}"#
    );
    let message: UiMessage = serde_json::from_str(&json).unwrap();
    match disassemble(&message) {
        Ok(_) => None,
        Err(error) => Some(error.part().unwrap()),
    }
}

#[test]
fn an_inexpressible_part_is_named() {
    for part in [
        r#"{"type":"text","text":"a"}"#,
        r#"{"type":"text","text":"\ud83d","state":"done"}"#,
        r#"{"type":"text","text":"a","state":"streaming","citations":[]}"#,
        r#"{"type":"text","text":"a","state":"done","citations":[{}]}"#,
        r#"{"type":"text","text":"a","state":"done","providerMetadata":1}"#,
        r#"{"type":"text","text":"a","state":"done","new":1}"#,
        r#"{"type":"reasoning","text":"a","state":"done"}"#,
        r#"{"type":"file","mediaType":"a/b","url":"u","filename":"f"}"#,
        r#"{"type":"file","mediaType":"a/b","url":"u","providerReference":{}}"#,
        r#"{"type":"step-start","new":1}"#,
        r#"{"type":"new"}"#,
        r#"{"type":"steering-message","id":"s","parts":[{"type":"new"}]}"#,
        r#"{"type":"data-a","id":5,"data":1}"#,
        r#"{"type":"data-a","data":1,"transient":true}"#,
        r#"{"type":"tool-n","toolCallId":"c","state":"new"}"#,
        r#"{"type":"tool-n","toolCallId":"c","state":"output-error","errorText":"e","rawInput":{}}"#,
        r#"{"type":"tool-n","toolCallId":"c","state":"input-available","output":1}"#,
        r#"{"type":"tool-n","toolCallId":"c","state":"approval-requested","input":1}"#,
    ] {
        assert_eq!(part_of(part), Some(1), "{part}");
    }
    assert_eq!(
        part_of(r#"{"type":"data-a","id":"d","data":1,"new":1}"#),
        None
    );

    let twice = r#"{"type":"data-a","id":"d","data":1},{"type":"data-a","id":"d","data":2}"#;
    assert_eq!(part_of(twice), Some(1));
    let twice = r#"{"type":"data-a","id":"d","data":1},{"type":"data-a","id":"d","data":1}"#;
    assert_eq!(part_of(twice), Some(2));
}

#[test]
fn an_inexpressible_message_has_no_part() {
    for json in [
        r#"{"role":"assistant","parts":[]}"#,
        r#"{"id":"m","role":"user","parts":[]}"#,
        r#"{"id":"m","role":"assistant","metadata":null,"parts":[]}"#,
        r#"{"id":"m","role":"assistant","metadata":{"__proto__":1},"parts":[]}"#,
        r#"{"id":"m","role":"assistant","parts":[],"new":1}"#,
    ] {
        let message: UiMessage = serde_json::from_str(json).unwrap();
        let error = disassemble(&message).unwrap_err();
        assert_eq!(error.part(), None, "{json}");
    }
}
