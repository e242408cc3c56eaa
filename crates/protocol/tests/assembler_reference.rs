//! The message is the one that `readUIMessageStream` of the AI SDK gives for the same chunks.

mod assembler_support;

use std::collections::HashMap;

use assembler_support::canonical;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk, Decoder, UiMessage};

const SEQUENCES: &str = include_str!("data/ui/assemble.jsonl");
const VECTORS: &str = include_str!("data/ui/vectors_assemble.jsonl");
const RELAY_STREAMS: &str = include_str!("data/ui/relay_streams.jsonl");

/// The first line: what the names in the others mean.
#[derive(Deserialize)]
struct Names {
    chunks: HashMap<String, Box<RawValue>>,
    messages: HashMap<String, UiMessage>,
}

#[derive(Deserialize)]
struct Sequence {
    initial: Option<String>,
    chunks: Vec<Box<RawValue>>,
    message: Option<Box<RawValue>>,
    fatal: Option<Vec<String>>,
}

fn begin(initial: Option<UiMessage>) -> Assembler {
    initial.map_or_else(Assembler::new, Assembler::continuing)
}

/// The message as the AI SDK gives it: none before something shows.
fn shown(assembler: &mut Assembler) -> Option<Value> {
    assembler
        .has_shown()
        .then(|| canonical(&serde_json::to_string(assembler.message()).unwrap()))
}

#[test]
fn every_sequence_gives_the_message_of_the_reference() {
    let mut lines = SEQUENCES.lines();
    let names: Names = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut messages: Vec<Option<Value>> = Vec::new();
    for line in lines {
        let sequence: Sequence = serde_json::from_str(line).unwrap();
        let expected = sequence.message.map(|message| {
            let seen = message
                .get()
                .parse()
                .ok()
                .and_then(|at: usize| messages[at].clone());
            seen.unwrap_or_else(|| canonical(message.get()))
        });
        messages.push(expected.clone());

        let initial = sequence.initial.map(|name| names.messages[&name].clone());
        let mut assembler = begin(initial);
        let mut error = None;
        for chunk in &sequence.chunks {
            let data = match serde_json::from_str::<String>(chunk.get()) {
                Ok(name) => names.chunks[&name].get(),
                Err(_) => chunk.get(),
            };
            let chunk = Chunk::decode(data).unwrap();
            let before = assembler.clone().into_message();
            if let Err(failed) = assembler.apply(&chunk) {
                assert_eq!(assembler.clone().into_message(), before, "{line}");
                error = Some(failed);
                break;
            }
        }
        assert_eq!(shown(&mut assembler), expected, "{line}");
        assert_eq!(
            error.as_ref().map(name),
            sequence.fatal.as_ref().map(|fatal| &*fatal[0]),
            "{line}"
        );
        if let Some([_, text]) = sequence.fatal.as_deref() {
            assert_eq!(error.unwrap().to_string(), *text, "{line}");
        }
    }
    assert!(messages.len() > 2_000);
}

/// What the AI SDK calls an error.
fn name(error: &AssembleError) -> &'static str {
    match error {
        AssembleError::MetadataNotAnObject => "TypeError",
        _ => "AI_UIMessageStreamError",
    }
}

/// What came of a stream: the message, the texts of its error chunks, and the error that ended it.
fn read(sse: &str, initial: Option<UiMessage>) -> (Option<Value>, Vec<String>, Option<ReadError>) {
    let mut assembler = begin(initial);
    let mut decoder = Decoder::new();
    decoder.push(sse.to_owned());
    let mut errors = Vec::new();
    while let Some(chunk) = decoder.next_chunk() {
        let Ok(chunk) = chunk else {
            return (shown(&mut assembler), errors, Some(ReadError::Decode));
        };
        if let Chunk::Error(chunk) = &chunk {
            errors.push(chunk.error_text.to_string());
        }
        if let Err(error) = assembler.apply(&chunk) {
            return (
                shown(&mut assembler),
                errors,
                Some(ReadError::Assemble(error)),
            );
        }
    }
    (shown(&mut assembler), errors, None)
}

enum ReadError {
    Decode,
    Assemble(AssembleError),
}

#[test]
fn the_vectors_of_the_reference_hold() {
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let (initial, expect) = (&vector["initial"], &vector["expect"]);
        let initial =
            (!initial.is_null()).then(|| serde_json::from_str(&initial.to_string()).unwrap());
        let (message, mut errors, error) = read(vector["sse"].as_str().unwrap(), initial);

        let expected = &expect["message"];
        let expected = (!expected.is_null()).then(|| canonical(&expected.to_string()));
        assert_eq!(message, expected, "{line}");
        match error {
            None => assert!(expect["fatal"].is_null(), "{line}"),
            Some(ReadError::Decode) => {
                assert_ne!(expect["fatal"]["name"], "AI_UIMessageStreamError", "{line}");
                errors.extend(expect["fatal"]["message"].as_str().map(str::to_owned));
            }
            Some(ReadError::Assemble(error)) => {
                assert_eq!(error.to_string(), expect["fatal"]["message"], "{line}");
                errors.push(error.to_string());
            }
        }
        // The AI SDK hands the error that ends the stream to the same place as those of error chunks.
        assert_eq!(Value::from(errors), expect["errors"], "{line}");
    }
}

#[derive(Deserialize)]
struct RelayStream {
    name: String,
    sse: String,
    message: Option<Box<RawValue>>,
    errors: Vec<String>,
    fatal: Option<Vec<String>>,
}

#[test]
fn the_recorded_streams_of_the_relay_give_the_message_of_the_reference() {
    let mut count = 0;
    for line in RELAY_STREAMS.lines() {
        let stream: RelayStream = serde_json::from_str(line).unwrap();
        let (message, errors, error) = read(&expand(&stream.sse), None);
        assert_eq!(
            message,
            stream
                .message
                .map(|message| canonical(&expand(message.get()))),
            "{}",
            stream.name
        );
        assert_eq!(errors, stream.errors, "{}", stream.name);
        assert_eq!(error.is_some(), stream.fatal.is_some(), "{}", stream.name);
        count += 1;
    }
    assert!(count > 60, "{count}");
}

/// Writes out the runs of a recording: `<x x 1000>` stands for a thousand `x`.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, run) = rest.split_at(at);
        out.push_str(before);
        let parsed = run.find('>').and_then(|end| {
            let (what, count) = run[1..end].split_once(" x ")?;
            Some((end + 1, what.repeat(count.parse().ok()?)))
        });
        match parsed {
            Some((length, repeated)) => {
                out.push_str(&repeated);
                rest = &run[length..];
            }
            None => {
                out.push('<');
                rest = &run[1..];
            }
        }
    }
    out + rest
}
