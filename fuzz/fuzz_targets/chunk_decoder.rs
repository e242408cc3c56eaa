//! The chunks of a stream are those of its events, wherever the stream is cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::sse;
use twentyfirst_protocol::ui::{Chunk, DecodeError, Decoder, End};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    cuts: Vec<u8>,
    stream: &'a [u8],
}

type Chunks = Vec<Result<Chunk<'static>, DecodeError>>;

fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Chunks, End, bool) {
    let mut decoder = Decoder::new();
    let mut chunks = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(chunk) = decoder.next_chunk() {
            chunks.push(chunk.map(Chunk::into_owned));
        }
    }
    (chunks, decoder.end(), decoder.finish().is_ok())
}

fn decode_events(stream: &[u8]) -> Chunks {
    let mut decoder = sse::Decoder::new();
    decoder.push(Bytes::copy_from_slice(stream));
    let mut chunks = Vec::new();
    while let Some(event) = decoder.next_event() {
        let event = event.expect("the stream is within the limits");
        if event.data != "[DONE]" {
            let chunk = Chunk::decode(&event.data);
            chunks.push(chunk.map(Chunk::into_owned).map_err(DecodeError::Chunk));
        }
    }
    chunks
}

fuzz_target!(|input: Input<'_>| {
    let whole = decode([input.stream]);
    assert_eq!(whole.0, decode_events(input.stream));
    let mut rest = input.stream;
    let mut pieces = Vec::new();
    for length in input.cuts {
        let (piece, after) = rest.split_at(usize::from(length).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(decode(pieces), whole);
    let failed = whole
        .0
        .iter()
        .any(|chunk| matches!(chunk, Ok(Chunk::Error(_))));
    assert_eq!(whole.1 == End::Failed, failed);
});
