//! The value of unfinished JSON is that of the AI SDK's `parsePartialJson`.

mod assembler_support;

use assembler_support::canonical;
use serde::Deserialize;
use serde_json::Value;
use twentyfirst_protocol::ui::PartialJson;

const REFERENCE: &str = include_str!("data/ui/partial_json.jsonl");
const VECTORS: &str = include_str!("data/ui/vectors_partial_json.jsonl");

/// A text, and the AI SDK's result for its prefixes: from a length on, a state, and a value if there is one.
#[derive(Deserialize)]
struct Prefixes {
    text: String,
    values: Vec<(usize, String, Option<String>)>,
}

/// The AI SDK writes an entry of two if there is no value.
fn prefixes(line: &str) -> Prefixes {
    let mut value: Value = serde_json::from_str(line).unwrap();
    for entry in value["values"].as_array_mut().unwrap() {
        let entry = entry.as_array_mut().unwrap();
        entry.resize(3, Value::Null);
    }
    serde_json::from_value(value).unwrap()
}

fn state(document: &PartialJson) -> &'static str {
    match document.value() {
        None => "failed-parse",
        Some(_) if document.is_complete() => "successful-parse",
        Some(_) => "repaired-parse",
    }
}

#[test]
fn every_prefix_has_the_value_of_the_reference() {
    let mut count = 0;
    for line in REFERENCE.lines() {
        let Prefixes { text, values } = prefixes(line);
        let mut expected = values.into_iter().peekable();
        let mut current = None;
        let mut document = PartialJson::new();
        let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
        for (length, end) in std::iter::once(0).chain(ends).enumerate() {
            let prefix = &text[..end];
            document.push(&prefix[document.text().len()..]);
            if let Some(next) = expected.next_if(|(from, ..)| *from == length) {
                current = Some(next);
            }
            let (_, expected_state, expected_value) = current.as_ref().unwrap();
            assert_eq!(state(&document), expected_state, "{prefix}");
            assert_eq!(
                document.value().map(|value| canonical(value.get())),
                expected_value.as_deref().map(canonical),
                "{prefix}"
            );
            count += 1;
        }
        assert!(expected.next().is_none(), "{text}");
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn the_vectors_of_the_reference_hold() {
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let document = PartialJson::from(vector["text"].as_str().unwrap());
        assert_eq!(state(&document), vector["state"], "{line}");
        assert_eq!(
            document.value().map(|value| canonical(value.get())),
            vector
                .get("value")
                .map(|value| canonical(&value.to_string())),
            "{line}"
        );
    }
}
