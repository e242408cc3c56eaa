//! The AI SDK's own schema (`tests/reference/chunks.mjs`) and this crate agree on the data of events.

use serde::Deserialize;
use serde_json::Value;
use twentyfirst_protocol::ui::Chunk;

#[derive(Deserialize)]
struct Vector {
    data: String,
    /// The chunk as JSON; `None` where the AI SDK refuses the data.
    chunk: Option<String>,
}

fn vectors() -> Vec<Vector> {
    include_str!("data/ui/chunks.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn chunks_that_the_ai_sdk_refuses_are_refused_or_unknown() {
    for Vector { data, chunk } in vectors() {
        if chunk.is_some() {
            continue;
        }
        match Chunk::decode(&data) {
            Err(_) => {}
            Ok(Chunk::Unknown(unknown)) => assert_eq!(unknown.raw.get(), data),
            Ok(chunk) => panic!("{data} was taken for {chunk:?}"),
        }
    }
}

#[test]
fn chunks_that_the_ai_sdk_accepts_are_equal() {
    for Vector { data, chunk } in vectors() {
        let Some(expected) = chunk else { continue };
        let chunk = Chunk::decode(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
        let encoded = chunk.encode();
        assert_eq!(Chunk::decode(&encoded), Ok(chunk.clone()), "{data}");
        assert_eq!(chunk.clone().into_owned(), chunk);
        match (
            serde_json::from_str(&encoded),
            serde_json::from_str(&expected),
        ) {
            (Ok(encoded), Ok(expected)) => assert_same(encoded, expected, &data),
            // Deep nesting and lone surrogates: `serde_json` reads neither, so let the decoder compare.
            _ => assert_eq!(Chunk::decode(&expected), Ok(chunk), "{data}"),
        }
    }
}

/// Checks that both are equal as JSON, except that a known type drops the members `x-…`, which the AI SDK does not know.
fn assert_same(encoded: Value, mut expected: Value, data: &str) {
    let kind = expected["type"].as_str().unwrap();
    if !kind.starts_with("data-") {
        let members = expected.as_object_mut().unwrap();
        members.retain(|name, _| {
            !name.starts_with("x-") && !["constructor", "prototype"].contains(&name.as_str())
        });
    }
    assert_eq!(as_doubles(encoded), as_doubles(expected), "{data}");
}

/// Converts numbers to doubles, as in JavaScript: 1 and 1.0 are the same.
fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.into_iter().map(as_doubles).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, as_doubles(value)))
            .collect(),
        other => other,
    }
}
