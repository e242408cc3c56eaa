//! Cutting an event stream anywhere changes nothing, decoded events can be encoded, and nothing exceeds its limit.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::sse::{Decoder, Event, Limits, SseError};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    line: u8,
    event: u8,
    total: u16,
    cuts: Vec<u8>,
    stream: &'a [u8],
}

type Outcome = (Vec<Result<Event<'static>, SseError>>, bool, Option<String>);

fn decode<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = Decoder::with_limits(limits);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event() {
            events.push(event.map(Event::into_owned));
        }
    }
    let whole = decoder.finish().is_ok();
    (events, whole, decoder.last_event_id().map(str::to_owned))
}

fn cut<'s>(mut stream: &'s [u8], cuts: &[u8]) -> Vec<&'s [u8]> {
    let mut pieces = Vec::new();
    for &length in cuts {
        let (piece, rest) = stream.split_at(usize::from(length).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

fuzz_target!(|input: Input<'_>| {
    let mut tight = Limits::default();
    (tight.line, tight.event, tight.total) =
        (input.line.into(), input.event.into(), input.total.into());
    for limits in [Limits::default(), tight] {
        let whole = decode(limits, [input.stream]);
        assert_eq!(decode(limits, cut(input.stream, &input.cuts)), whole);
        for event in whole.0.iter().flatten() {
            // An invalid byte becomes U+FFFD, which has three bytes.
            assert!(event.data.len() <= limits.event.saturating_mul(3));
        }
    }
    let (events, ..) = decode(Limits::default(), [input.stream]);
    let encoded: Vec<u8> = events
        .iter()
        .flatten()
        .flat_map(|event| event.encode().expect("a decoded event can be encoded"))
        .collect();
    assert_eq!(decode(Limits::default(), [&*encoded]).0, events);
});
