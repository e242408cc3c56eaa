//! Surrogate pairs that were split between deltas are joined.

use twentyfirst_protocol::ui::chunk::{
    Finish, ReasoningDelta, Start, TextDelta, TextEnd, ToolInputAvailable, ToolInputDelta,
};
use twentyfirst_protocol::ui::{Chunk, Joiner, RawJson, Text};

const HIGH: &[u16] = &[0xd83d];
const LOW: &[u16] = &[0xde00];

fn text(id: &'static str, units: &[u16]) -> Chunk<'static> {
    TextDelta::new(id, Text::from_code_units(units)).into()
}

/// Returns the output of a joiner as JSON.
fn join(chunks: Vec<Chunk<'static>>) -> Vec<String> {
    let mut joiner = Joiner::new();
    let mut out: Vec<Chunk<'static>> = Vec::new();
    for chunk in chunks {
        out.extend(joiner.push(chunk));
    }
    out.extend(joiner.finish());
    out.iter().map(Chunk::encode).collect()
}

fn encoded(chunks: &[Chunk<'static>]) -> Vec<String> {
    chunks.iter().map(Chunk::encode).collect()
}

#[test]
fn halves_of_one_part_join_across_deltas_of_others() {
    let reasoning = |units: &[u16]| ReasoningDelta::new("a", Text::from_code_units(units)).into();
    let input = |units: &[u16]| ToolInputDelta::new("a", Text::from_code_units(units)).into();
    assert_eq!(
        join(vec![
            text("a", &[0x78, 0xd83d]),
            text("b", HIGH),
            reasoning(HIGH),
            input(HIGH),
            Chunk::StartStep,
            input(LOW),
            text("a", LOW),
            reasoning(&[0xde00, 0x79]),
            text("b", LOW),
        ]),
        encoded(&[
            TextDelta::new("a", "x").into(),
            TextDelta::new("b", "").into(),
            ReasoningDelta::new("a", "").into(),
            ToolInputDelta::new("a", "").into(),
            Chunk::StartStep,
            ToolInputDelta::new("a", "😀").into(),
            TextDelta::new("a", "😀").into(),
            ReasoningDelta::new("a", "😀y").into(),
            TextDelta::new("b", "😀").into(),
        ])
    );
}

#[test]
fn a_lone_half_is_replaced_at_the_end_of_its_part() {
    let alone = || TextDelta::new("a", "\u{fffd}").into();
    for end in [
        TextEnd::new("a").into(),
        Chunk::ResetStep,
        Finish::new().into(),
        Start::new().message_id("other").into(),
    ] {
        assert_eq!(
            join(vec![text("a", HIGH), end.clone()]),
            encoded(&[TextDelta::new("a", "").into(), alone(), end])
        );
    }
    assert_eq!(
        join(vec![text("a", HIGH)]),
        encoded(&[TextDelta::new("a", "").into(), alone()])
    );
    let available: Chunk<'_> = ToolInputAvailable::new("c", "run")
        .input(RawJson::parse("1").unwrap())
        .into();
    assert_eq!(
        join(vec![
            ToolInputDelta::new("c", Text::from_code_units(HIGH)).into(),
            available.clone()
        ]),
        encoded(&[
            ToolInputDelta::new("c", "").into(),
            ToolInputDelta::new("c", "\u{fffd}").into(),
            available
        ])
    );
}

#[test]
fn halves_that_do_not_meet_are_replaced() {
    for (units, joined) in [
        (
            &[&[0xd83d][..], &[0xd83d], &[0xde00]][..],
            &["", "\u{fffd}", "😀"][..],
        ),
        (&[&[0xde00], &[0x61]], &["\u{fffd}", "a"]),
        (&[&[0xd83d, 0x61], &[0xde00]], &["\u{fffd}a", "\u{fffd}"]),
        (&[&[0xd83d], &[0x61]], &["", "\u{fffd}a"]),
        (&[&[0xd83d], &[], &[0xde00]], &["", "", "😀"]),
    ] {
        let expected: Vec<Chunk<'_>> = joined
            .iter()
            .map(|delta| TextDelta::new("a", *delta).into())
            .collect();
        assert_eq!(
            join(units.iter().map(|units| text("a", units)).collect()),
            encoded(&expected)
        );
    }
}

#[test]
fn the_provider_metadata_of_a_delta_stays_with_it() {
    let metadata = || RawJson::parse(r#"{"p":{}}"#).unwrap();
    let delta = TextDelta::new("a", Text::from_code_units(HIGH)).provider_metadata(metadata());
    assert_eq!(
        join(vec![delta.into(), text("a", LOW)]),
        encoded(&[
            TextDelta::new("a", "").provider_metadata(metadata()).into(),
            TextDelta::new("a", "😀").into(),
        ])
    );
}

#[test]
fn waiting_halves_are_limited() {
    let mut joiner = Joiner::new();
    let half = |id: &str| TextDelta::new(id.to_owned(), Text::from_code_units(HIGH)).into();
    let long = "x".repeat(Joiner::MAX_WAITING);
    let too_long: Vec<Chunk<'_>> = joiner.push(half(&long)).collect();
    assert_eq!(too_long, [TextDelta::new(&*long, "\u{fffd}").into()]);

    let ids = || (0..).map(|n| format!("{n}"));
    let waiting = ids().take_while(|id| {
        let joined: Vec<Chunk<'_>> = joiner.push(half(id)).collect();
        joined == [TextDelta::new(&**id, "").into()]
    });
    let waiting = waiting.count();
    assert!((1_000..20_000).contains(&waiting), "{waiting}");
    assert_eq!(joiner.finish().len(), waiting);
    let again: Vec<Chunk<'_>> = joiner.push(half("y")).collect();
    assert_eq!(again, [TextDelta::new("y", "").into()]);
}
