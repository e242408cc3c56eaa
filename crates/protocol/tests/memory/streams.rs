//! Attacks on the stages before an assembler: decoders and the joiner.

use bytes::Bytes;
use twentyfirst_protocol::sse;
use twentyfirst_protocol::ui::{Chunk, Decoder, Joiner, Text, chunk::TextDelta};

use crate::measure::{Growth, MIB, check};
use crate::run_each;

/// The memory of the process itself.
const BESIDE: usize = MIB;

#[test]
fn decoders_and_joiner_stay_within_their_limits() {
    let names = attacks().into_iter().map(|(name, _)| name);
    run_each("streams::attack", names);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn attack() {
    let name = std::env::var("ATTACK").unwrap();
    let attack = attacks().into_iter().find(|attack| attack.0 == name);
    (attack.unwrap().1)(&name);
}

/// A name, and the function that runs for it.
type Attack = (&'static str, fn(&str));

fn attacks() -> [Attack; 6] {
    [
        ("halves that stay alone", |name| {
            join(name, |n| TextDelta::new(n.to_string(), half(0xd83d)).into());
        }),
        ("halves of parts with long ids", |name| {
            join(name, |n| {
                let id = format!("{}{n}", "x".repeat(n % 10_000));
                TextDelta::new(id, half(0xd83d)).into()
            });
        }),
        ("halves of parts with ill-formed ids", |name| {
            join(name, |n| {
                let id = Text::from_code_units(&[0xd83d, 0xd83d, n as u16, (n >> 16) as u16]);
                TextDelta::new(id, half(0xd83d)).into()
            });
        }),
        ("messages with long ids", |name| {
            join(name, |n| {
                let id = format!("{}{n}", "x".repeat(100_000 * (n % 10)));
                let mut start = twentyfirst_protocol::ui::chunk::Start::new();
                start.message_id = Some(id.into());
                start.into()
            });
        }),
        ("lines, data, names and ids", |name| {
            let mut decoder = sse::Decoder::with_limits(limits());
            let growth = Growth::begin();
            push(&long_fields(), |piece| {
                decoder.push(piece);
                while decoder.next_event().is_some() {}
            });
            let most = 6 * limits().line + BESIDE;
            check(name, most, growth.peak(), "");
        }),
        ("data that become chunks", |name| {
            let mut decoder = Decoder::with_limits(limits());
            let growth = Growth::begin();
            push(&long_deltas(), |piece| {
                decoder.push(piece);
                while decoder.next_chunk().is_some() {}
            });
            // As above, and the delta without its escapes.
            let most = 6 * limits().line + limits().event + BESIDE;
            check(name, most, growth.peak(), "");
        }),
    ]
}

fn half(unit: u16) -> Text<'static> {
    Text::from_code_units(&[unit])
}

fn join(name: &str, next: fn(usize) -> Chunk<'static>) {
    let growth = Growth::begin();
    let mut joiner = Joiner::new();
    for n in 0..100_000 {
        joiner.push(next(n)).for_each(drop);
    }
    joiner.finish().for_each(drop);
    check(name, 2 * Joiner::MAX_WAITING + BESIDE, growth.peak(), "");
}

fn limits() -> sse::Limits {
    let mut limits = sse::Limits::default();
    limits.line = 4 * MIB + 64;
    limits.event = 4 * MIB;
    limits
}

/// A stream of repeated parts: the bytes of each and their count.
type Stream = Vec<(&'static str, usize)>;

fn long_fields() -> Stream {
    let mut stream = Vec::new();
    for _ in 0..3 {
        for field in ["id: ", "event: ", "data: ", "data: "] {
            let length = match field {
                "data: " => 2 * MIB - 16,
                _ => 4 * MIB,
            };
            stream.extend([(field, 1), ("x", length), ("\n", 1)]);
        }
        stream.push(("\n", 1));
    }
    // All of it once more, and a line that does not end.
    let again = stream.clone();
    stream.extend(again);
    stream.extend([
        ("id: ", 1),
        ("y", 4 * MIB),
        ("\nevent: ", 1),
        ("y", 4 * MIB),
    ]);
    stream.extend([
        ("\ndata: ", 1),
        ("y", 4 * MIB - 16),
        ("\n: ", 1),
        ("y", 4 * MIB),
    ]);
    stream
}

fn long_deltas() -> Stream {
    let mut stream = Vec::new();
    for _ in 0..3 {
        let start = r#"data: {"type":"text-delta","id":"t","delta":""#;
        stream.extend([(start, 1), (r"\u0041", 4 * MIB / 6 - 100), ("\"}\n\n", 1)]);
        stream.extend([(start, 1), ("x", 4 * MIB - 100), ("\"}\n\n", 1)]);
        stream.extend([(start, 1), (r"\ud83d", 4 * MIB / 6 - 100), ("\"}\n\n", 1)]);
        let start = r#"data: {"type":"data-x","data":""#;
        stream.extend([(start, 1), ("x", 4 * MIB - 100), ("\"}\n\n", 1)]);
    }
    stream
}

/// Pushes a stream in small pieces.
fn push(stream: &Stream, mut take: impl FnMut(Bytes)) {
    const PIECE: usize = 1_000;
    for &(text, times) in stream {
        let piece = Bytes::from(text.repeat(times.min(PIECE)));
        for _ in 0..times / PIECE {
            take(piece.clone());
        }
        if times < PIECE {
            take(piece);
        } else {
            take(Bytes::from(text.repeat(times % PIECE)));
        }
    }
}
