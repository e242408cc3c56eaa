//! The facts in the chunks of a run: of recorded runs, and of chunks in any order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::Deserialize;
use twentyfirst_protocol::runs::{RunFacts, ToolFact};
use twentyfirst_protocol::ui::chunk::{
    Abort, Finish, Start, TextStart, ToolInputAvailable, ToolInputError, ToolOutputAvailable,
    ToolOutputDenied, ToolOutputError,
};
use twentyfirst_protocol::ui::{Chunk, Decoder, chunk};

const RECORDINGS: &str = include_str!("data/recordings/relay-streams.jsonl");

#[derive(Deserialize)]
struct Recording {
    name: String,
    chunks: Vec<Piece>,
}

#[derive(Deserialize)]
struct Piece {
    t_ms: u64,
    text: String,
}

/// Returns the facts of a recorded stream, in lines.
fn facts(recording: &Recording) -> String {
    let begun = Instant::now();
    let mut facts = RunFacts::new(begun);
    let mut decoder = Decoder::new();
    let mut text = String::new();
    for piece in &recording.chunks {
        let now = begun + Duration::from_millis(piece.t_ms);
        decoder.push(piece.text.clone().into_bytes());
        while let Some(chunk) = decoder.next_chunk() {
            match facts.observe(&chunk.unwrap(), now) {
                Some(ToolFact::Called { call, .. }) => {
                    let within = call
                        .parent
                        .map(|id| format!(" in {id}"))
                        .unwrap_or_default();
                    writeln!(text, "  called {} {}{within}", call.name, call.id).unwrap();
                }
                Some(ToolFact::Ended { call, end, .. }) => {
                    let end = end.as_str();
                    let took = now - call.begun;
                    writeln!(text, "  {end} {} after {took:?}", call.id).unwrap();
                }
                _ => {}
            }
        }
    }
    for call in facts.take_open_calls() {
        writeln!(text, "  open {}", call.id).unwrap();
    }
    let (end, usage) = (facts.end(), facts.usage());
    let error = end
        .as_ref()
        .and_then(|end| end.error_type(facts.result_subtype()));
    let end = end.as_ref().map_or("no end", |end| end.as_str());
    write!(text, "  {end}").unwrap();
    if let Some(error) = error {
        write!(text, " {error}").unwrap();
    }
    if let Some(first) = facts.time_to_first_chunk() {
        write!(text, ", first of {} chunks after {first:?}", facts.chunks()).unwrap();
    }
    if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
        let cost = usage.total_cost_usd.unwrap_or_default();
        write!(text, ", {input} + {output} tokens, {cost} dollars").unwrap();
    }
    text
}

#[test]
fn recorded_runs() {
    let mut shown = String::new();
    for line in RECORDINGS.lines() {
        let recording: Recording = serde_json::from_str(line).unwrap();
        let is_wanted = |part| recording.name.contains(part);
        if ["tool", "error", "cancel", "NUL", "without result"]
            .into_iter()
            .any(is_wanted)
        {
            writeln!(shown, "{}\n{}", recording.name, facts(&recording)).unwrap();
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn an_end_names_the_error_without_repeating_its_text() {
    let end = |chunks: &[Chunk<'static>]| {
        let mut facts = RunFacts::new(Instant::now());
        for chunk in chunks {
            facts.observe(chunk, Instant::now());
        }
        let end = facts.end()?;
        Some(format!(
            "{} {:?}",
            end.as_str(),
            end.error_type(facts.result_subtype())
        ))
    };
    let error = |text: &str| Chunk::from(chunk::Error::new(text.to_owned()));
    let finish = Chunk::from(Finish::new());
    assert_eq!(end(&[Start::new().into()]), None);
    assert_eq!(
        end(std::slice::from_ref(&finish)).unwrap(),
        "completed None"
    );
    assert_eq!(end(&[Abort::new().into()]).unwrap(), "cancelled None");
    for (text, expected) in [
        ("cancelled", "cancelled None"),
        (
            "session_expired: too old",
            "failed Some(\"session_expired\")",
        ),
        (
            "My password is hunter2: remember",
            "failed Some(\"run_failed\")",
        ),
        (": nothing before", "failed Some(\"run_failed\")"),
        ("no colon", "failed Some(\"run_failed\")"),
    ] {
        assert_eq!(end(&[error(text), finish.clone()]).unwrap(), expected);
    }
    let long = format!("{}: x", "e".repeat(65));
    assert_eq!(end(&[error(&long)]).unwrap(), "failed Some(\"run_failed\")");
}

#[test]
fn too_many_or_too_long_calls_are_skipped() {
    let now = Instant::now();
    let mut facts = RunFacts::new(now);
    let call = |id: String| Chunk::from(ToolInputAvailable::new(id, "é".repeat(1000)));
    assert!(facts.observe(&call("x".repeat(1025)), now).is_none());
    for number in 0..1024 {
        let chunk = call(number.to_string());
        let Some(ToolFact::Called { call, .. }) = facts.observe(&chunk, now) else {
            panic!("{number} is passed over");
        };
        assert_eq!(call.name, "é".repeat(128));
    }
    assert!(facts.observe(&call("one more".to_owned()), now).is_none());
    let ended = Chunk::from(ToolOutputAvailable::new("7"));
    assert!(matches!(
        facts.observe(&ended, now),
        Some(ToolFact::Ended { .. })
    ));
    assert!(facts.observe(&call("one more".to_owned()), now).is_some());
    assert_eq!(facts.take_open_calls().len(), 1024);
}

fn any_chunk() -> impl Strategy<Value = Chunk<'static>> {
    let id = prop::sample::select(vec!["a", "b", "a:c", "a:c:d"]);
    (0..8, id).prop_map(|(kind, id)| match kind {
        0 | 1 => ToolInputAvailable::new(id, "Bash").into(),
        2 => ToolOutputAvailable::new(id).into(),
        3 => ToolOutputAvailable::new(id).preliminary(true).into(),
        4 => ToolOutputError::new(id, "wrong").into(),
        5 => ToolInputError::new(id, "Bash", "wrong").into(),
        6 => ToolOutputDenied::new(id).into(),
        _ => TextStart::new(id).into(),
    })
}

proptest! {
    /// For any chunks: a call is open from its start to its end, each ends once, and its parent is open when it begins.
    #[test]
    fn each_call_begins_and_ends_once(chunks in prop::collection::vec(any_chunk(), 0..60)) {
        let begun = Instant::now();
        let mut facts = RunFacts::new(begun);
        let mut open = HashMap::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let now = begun + Duration::from_millis(at as u64);
            match facts.observe(chunk, now) {
                Some(ToolFact::Called { call, .. }) => {
                    prop_assert!(call.parent.iter().all(|parent| open.contains_key(parent)));
                    prop_assert_eq!(open.insert(call.id.clone(), now), None);
                }
                Some(ToolFact::Ended { call, .. }) => {
                    prop_assert_eq!(open.remove(&call.id), Some(call.begun));
                }
                _ => {}
            }
        }
        let left = facts.take_open_calls();
        prop_assert!(left.is_sorted_by(|a, b| a.begun >= b.begun));
        for call in left {
            prop_assert_eq!(open.remove(&call.id), Some(call.begun));
        }
        prop_assert!(open.is_empty() && facts.take_open_calls().is_empty());
        prop_assert_eq!(facts.chunks(), chunks.len() as u64);
    }
}
