//! Properties of every sequence of chunks.

#[path = "assembler_support/any_chunk.rs"]
mod any_chunk;

use any_chunk::{any_chunk, units};
use proptest::prelude::*;
use twentyfirst_protocol::ui::chunk::{
    ReasoningDelta, ReasoningStart, TextDelta, TextStart, ToolInputDelta, ToolInputStart,
};
use twentyfirst_protocol::ui::{
    Assembler, Change, Chunk, Joiner, Part, PartialJson, Text, UiMessage,
};

fn text_of(part: &Part) -> &Text<'static> {
    match part {
        Part::Text(part) => &part.text,
        Part::Reasoning(part) => &part.text,
        other => panic!("a {other:?} has no text to append to"),
    }
}

/// Checks that a change names every difference between two messages.
fn assert_names_all(change: &Change<'_>, before: &UiMessage, after: &UiMessage) {
    let mut expected = before.clone();
    match change {
        Change::Nothing | Change::Transient(_) | Change::Failed(_) => {}
        Change::Message => return,
        Change::Added { first } => {
            assert_eq!(*first, before.parts.len());
            assert!(after.parts.len() > *first);
            expected.parts.extend_from_slice(&after.parts[*first..]);
        }
        Change::Appended { part, text } => {
            let old = text_of(&before.parts[*part]).as_str().unwrap();
            let new = text_of(&after.parts[*part]).as_str().unwrap();
            assert_eq!(new, format!("{old}{text}"));
            expected.parts[*part] = after.parts[*part].clone();
        }
        Change::Changed { part } => expected.parts[*part] = after.parts[*part].clone(),
        Change::Removed { left } => expected.parts.truncate(*left),
        other => panic!("{other:?}"),
    }
    assert_eq!(&expected, after);
}

proptest! {
    #[test]
    fn every_change_is_reported_and_errors_change_nothing(
        chunks in prop::collection::vec(any_chunk(), 0..24),
        lenient: bool,
        limit in prop_oneof![3 => Just(1_000_000_usize), 1 => 0_usize..20_000],
    ) {
        let mut assembler = Assembler::new().lenient(lenient).with_limit(limit);
        for chunk in &chunks {
            let before = assembler.clone().into_message();
            match assembler.apply(chunk) {
                Ok(change) => {
                    let after = assembler.clone().into_message();
                    assert_names_all(&change, &before, &after);
                    prop_assert!(assembler.size() <= limit.max(Assembler::new().size()));
                }
                Err(_) => prop_assert_eq!(&before, assembler.message()),
            }
        }
    }

    #[test]
    fn a_chunk_that_exceeds_the_limit_by_little_is_refused_too(
        chunks in prop::collection::vec(any_chunk(), 0..12),
        lenient: bool,
        short in 1_usize..300,
    ) {
        let mut assembler = Assembler::new().lenient(lenient);
        for chunk in &chunks {
            let before = assembler.clone();
            let _ = assembler.apply(chunk);
            for short in [1, 8, 16, short] {
                let limit = assembler.size().saturating_sub(short);
                let mut limited = before.clone().with_limit(limit);
                let _ = limited.apply(chunk);
                // Clones have no spare capacity.
                prop_assert!(limited.size() <= limit.max(before.clone().size()));
            }
        }
    }

    #[test]
    fn all_allocations_count(chunks in prop::collection::vec(any_chunk(), 0..24), lenient: bool, look: bool) {
        let mut assembler = Assembler::new().lenient(lenient);
        let allocated = allocation_counter::measure(|| {
            for chunk in &chunks {
                let _ = assembler.apply(chunk);
            }
            if look {
                assembler.message();
            }
        });
        prop_assert!(allocated.bytes_current <= assembler.size() as i64);
    }

    #[test]
    fn looking_at_the_message_changes_nothing(chunks in prop::collection::vec(any_chunk(), 0..24)) {
        let mut looked_at = Assembler::new();
        let mut other = Assembler::new();
        for chunk in &chunks {
            let looked = looked_at.apply(chunk);
            prop_assert_eq!(looked, other.apply(chunk));
            looked_at.message();
        }
        prop_assert_eq!(looked_at.into_message(), other.into_message());
    }

    #[test]
    fn an_assembled_message_reads_back_the_same(chunks in prop::collection::vec(any_chunk(), 0..24)) {
        let mut assembler = Assembler::new().lenient(true);
        for chunk in &chunks {
            let _ = assembler.apply(chunk);
        }
        let message = assembler.into_message();
        let json = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<UiMessage>(&json).unwrap(), message);
    }

    #[test]
    fn deltas_may_be_cut_anywhere(whole in prop::collection::vec(units(), 0..6), cuts in prop::collection::vec(0_usize..40, 0..6)) {
        let whole = whole.concat();
        let mut at: Vec<usize> = cuts.into_iter().filter(|cut| *cut < whole.len()).chain([0, whole.len()]).collect();
        at.sort_unstable();
        let pieces: Vec<Text<'_>> = at.windows(2).map(|cut| Text::from_code_units(&whole[cut[0]..cut[1]])).collect();

        let message_of = |pieces: &[Text<'static>], joined: bool| {
            let mut joiner = Joiner::new();
            let mut assembler = Assembler::new();
            let mut chunks: Vec<Chunk<'_>> = vec![TextStart::new("a").into(), ReasoningStart::new("a").into(), ToolInputStart::new("a", "n").into()];
            for piece in pieces {
                chunks.push(TextDelta::new("a", piece.clone()).into());
                chunks.push(ToolInputDelta::new("a", piece.clone()).into());
                chunks.push(ReasoningDelta::new("a", piece.clone()).into());
            }
            if joined {
                chunks = chunks.into_iter().flat_map(|chunk| joiner.push(chunk)).collect();
                chunks.extend(joiner.finish());
            }
            for chunk in &chunks {
                assembler.apply(chunk).unwrap();
            }
            assembler.into_message()
        };
        let expected = message_of(&[Text::from_code_units(&whole)], false);
        prop_assert_eq!(expected.text(), String::from_utf16_lossy(&whole));
        prop_assert_eq!(message_of(&pieces, false).text(), expected.text());
        if !pieces.is_empty() && !whole.is_empty() {
            prop_assert_eq!(&message_of(&pieces, false), &expected);
            prop_assert_eq!(&message_of(&pieces, true), &expected);
        }
    }

    #[test]
    fn the_joiner_makes_every_delta_well_formed_and_loses_nothing(chunks in prop::collection::vec(any_chunk(), 0..24)) {
        let mut joiner = Joiner::new();
        let mut out: Vec<Chunk<'static>> = chunks.iter().cloned().flat_map(|chunk| joiner.push(chunk)).collect();
        out.extend(joiner.finish());
        prop_assert_eq!(joiner.finish().len(), 0);
        for chunk in &out {
            if let Some((_, delta)) = delta_of(chunk) {
                prop_assert!(delta.is_well_formed());
            }
        }
        let others = |chunks: &[Chunk<'static>]| -> Vec<Chunk<'static>> {
            chunks.iter().filter(|chunk| delta_of(chunk).is_none()).cloned().collect()
        };
        prop_assert_eq!(others(&out), others(&chunks));
        // The whole text of each part is there, except for replaced halves.
        for id in ["text a", "text b", "reasoning a", "input a"] {
            let all = |chunks: &[Chunk<'static>]| -> Vec<u16> {
                let deltas = chunks.iter().filter_map(delta_of).filter(|(key, _)| key == id);
                deltas.flat_map(|(_, delta)| delta.to_code_units()).filter(|unit| !matches!(unit, 0xd800..0xe000 | 0xfffd)).collect()
            };
            prop_assert_eq!(all(&out), all(&chunks));
        }
    }

    #[test]
    fn partial_json_may_be_cut_anywhere(pieces in prop::collection::vec("[{}\\[\\]\":,\\\\u0 1etrnsfal.é-]{0,6}", 0..12)) {
        let mut document = PartialJson::new();
        for piece in &pieces {
            document.push(piece);
        }
        let whole = PartialJson::from(&*pieces.concat());
        prop_assert_eq!(document.value(), whole.value());
        prop_assert_eq!(document.is_complete(), whole.is_complete());
        if let Some(value) = document.value() {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(value.get()).is_ok());
        }
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(document.text()).is_ok();
        prop_assert_eq!(document.is_complete(), is_json);
    }
}

/// Returns the part of a delta, and the text that it appends.
fn delta_of<'c>(chunk: &'c Chunk<'static>) -> Option<(String, &'c Text<'static>)> {
    match chunk {
        Chunk::TextDelta(chunk) => Some((format!("text {}", chunk.id), &chunk.delta)),
        Chunk::ReasoningDelta(chunk) => Some((format!("reasoning {}", chunk.id), &chunk.delta)),
        Chunk::ToolInputDelta(chunk) => Some((
            format!("input {}", chunk.tool_call_id),
            &chunk.input_text_delta,
        )),
        _ => None,
    }
}
