//! For every sequence of chunks, a reported change names all differences, an error changes nothing, the limit holds, and the message
//! reads back.
#![no_main]

#[path = "support/any_chunk.rs"]
mod any_chunk;

use any_chunk::{Any, chunk};
use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::ui::{Assembler, Change, Part, Text, UiMessage};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    lenient: bool,
    limit: u16,
    initial: Option<&'a str>,
    chunks: Vec<(u8, u8, Any<'a>, bool)>,
}

fn text_of(part: &Part) -> &Text<'static> {
    match part {
        Part::Text(part) => &part.text,
        Part::Reasoning(part) => &part.text,
        other => panic!("{other:?} has no text to append to"),
    }
}

fn check(change: &Change<'_>, before: &UiMessage, after: &UiMessage) {
    let mut expected = before.clone();
    match change {
        Change::Message => return,
        Change::Added { first } => {
            assert_eq!(*first, before.parts.len());
            expected.parts.extend_from_slice(&after.parts[*first..]);
        }
        Change::Appended { part, text } => {
            let old = text_of(&before.parts[*part]).to_string_lossy();
            assert_eq!(*text_of(&after.parts[*part]), &*format!("{old}{text}"));
            expected.parts[*part] = after.parts[*part].clone();
        }
        Change::Changed { part } => expected.parts[*part] = after.parts[*part].clone(),
        Change::Removed { left } => expected.parts.truncate(*left),
        _ => {}
    }
    assert_eq!(&expected, after);
}

fuzz_target!(|input: Input<'_>| {
    let initial = input
        .initial
        .and_then(|json| serde_json::from_str::<UiMessage>(json).ok());
    let mut assembler = initial.map_or_else(Assembler::new, Assembler::continuing);
    let limit = assembler.size() + usize::from(input.limit);
    assembler = assembler.lenient(input.lenient).with_limit(limit);
    for (kind, id, any, flag) in &input.chunks {
        let chunk = chunk(*kind, *id, any, *flag);
        let before = assembler.message().clone();
        match assembler.apply(&chunk) {
            Ok(change) => check(&change, &before, assembler.message()),
            Err(error) => {
                assert!(error.to_string().len() < 2_000);
                assert_eq!(assembler.message(), &before);
            }
        }
        assert!(assembler.size() <= limit);
    }
    let message = assembler.into_message();
    let json = serde_json::to_string(&message).expect("a message is JSON");
    let read: UiMessage = serde_json::from_str(&json).expect("a message reads back");
    assert_eq!(
        serde_json::to_string(&read).expect("a message is JSON"),
        json
    );
});
