//! The message is the one that `readUIMessageStream` of the AI SDK returns for the same chunks.

mod assembler_support;

use std::collections::HashMap;

use assembler_support::canonical;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use twentyfirst_protocol::ui::{AssembleError, Assembler, Change, Chunk, Decoder, End, UiMessage};

const SEQUENCES: &str = include_str!("data/ui/assemble.jsonl");
const VECTORS: &str = include_str!("data/ui/vectors_assemble.jsonl");
const RELAY_STREAMS: &str = include_str!("data/ui/relay_streams.jsonl");

/// The first line: the meaning of the names in the others.
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

/// Returns the message like the AI SDK: `None` before the first visible change.
fn shown(assembler: &mut Assembler) -> Option<Value> {
    assembler
        .has_shown()
        .then(|| canonical(&serde_json::to_string(assembler.message()).unwrap()))
}

#[test]
fn every_sequence_has_the_message_of_the_reference() {
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

/// Returns the AI SDK's name of an error.
fn name(error: &AssembleError) -> &'static str {
    match error {
        AssembleError::MetadataNotAnObject => "TypeError",
        _ => "AI_UIMessageStreamError",
    }
}

/// The result of a stream.
struct Outcome {
    message: Option<Value>,
    /// The texts of error chunks.
    errors: Vec<String>,
    /// The error that ended the message.
    error: Option<ReadError>,
    end: End,
}

enum ReadError {
    Decode,
    Assemble(AssembleError),
}

fn read(sse: &str, initial: Option<UiMessage>) -> Outcome {
    let mut assembler = begin(initial);
    let mut decoder = Decoder::new();
    decoder.push(sse.to_owned());
    let mut errors = Vec::new();
    let mut error = None;
    while let Some(chunk) = decoder.next_chunk() {
        if error.is_some() {
            continue;
        }
        let Ok(chunk) = chunk else {
            error = Some(ReadError::Decode);
            continue;
        };
        match assembler.apply(&chunk) {
            Ok(Change::Failed(text)) => errors.push(text.to_string()),
            Ok(_) => {}
            Err(failed) => error = Some(ReadError::Assemble(failed)),
        }
    }
    Outcome {
        message: shown(&mut assembler),
        errors,
        error,
        end: decoder.end(),
    }
}

#[test]
fn the_vectors_of_the_reference_hold() {
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let (initial, expect) = (&vector["initial"], &vector["expect"]);
        let initial =
            (!initial.is_null()).then(|| serde_json::from_str(&initial.to_string()).unwrap());
        let Outcome {
            message,
            mut errors,
            error,
            ..
        } = read(vector["sse"].as_str().unwrap(), initial);

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
        // The AI SDK reports the error that ends the stream in the same place as those of error chunks.
        assert_eq!(Value::from(errors), expect["errors"], "{line}");
    }
}

#[derive(Deserialize)]
struct RelayStream {
    name: String,
    sse: String,
    end: String,
    message: Option<Box<RawValue>>,
    errors: Vec<String>,
    fatal: Option<Vec<String>>,
}

#[test]
fn recorded_streams_have_the_message_of_the_reference_and_the_right_end() {
    let mut count = 0;
    for line in RELAY_STREAMS.lines() {
        let stream: RelayStream = serde_json::from_str(line).unwrap();
        let outcome = read(&expand(&stream.sse), None);
        assert_eq!(
            outcome.message,
            stream
                .message
                .map(|message| canonical(&expand(message.get()))),
            "{}",
            stream.name
        );
        assert_eq!(outcome.errors, stream.errors, "{}", stream.name);
        assert_eq!(
            outcome.error.is_some(),
            stream.fatal.is_some(),
            "{}",
            stream.name
        );
        assert_eq!(outcome.end.as_str(), stream.end, "{}", stream.name);
        count += 1;
    }
    assert!(count > 60, "{count}");
}

/// Expands the abbreviations of a recording: `<x x 1000>` stands for a thousand `x`.
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
