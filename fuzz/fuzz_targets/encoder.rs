//! Encoded chunks and events decode to the originals.
#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::sse::{self, Event, encode_comment};
use twentyfirst_protocol::ui::chunk::{
    Abort, Custom, Data, Error, Finish, MessageMetadata, ReasoningDelta, Start, TextDelta, TextEnd,
    ToolApprovalResponse, ToolInputAvailable, ToolInputDelta,
};
use twentyfirst_protocol::ui::{Chunk, Decoder, RawJson, Text, encode_done};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    chunks: Vec<(u8, Vec<u16>, String, bool)>,
    events: Vec<(Option<String>, Option<String>, String)>,
}

fn chunk(kind: u8, units: &[u16], text: &str, flag: bool) -> Chunk<'static> {
    let any = Text::from_code_units(units);
    let text = text.to_owned();
    let raw = match RawJson::parse(text.clone()) {
        Ok(raw) => raw,
        Err(_) => RawJson::from_value(&text).expect("a string is JSON"),
    };
    match kind % 14 {
        0 => TextDelta::new(any, text).into(),
        1 => ReasoningDelta::new(text, any).into(),
        2 => ToolInputDelta::new(text, any).into(),
        3 => ToolInputAvailable::new(any, text)
            .input(raw)
            .dynamic(flag)
            .into(),
        4 => MessageMetadata::new().message_metadata(raw).into(),
        5 => Start::new().message_id(any).into(),
        6 => Finish::new().message_metadata(raw).into(),
        7 => Abort::new().reason(any).into(),
        8 => Error::new(any).into(),
        9 => TextEnd::new(any).into(),
        10 => Custom::new(any).into(),
        11 => Data::new(any).id(text).data(raw).transient(flag).into(),
        12 => ToolApprovalResponse::new(any, flag).reason(text).into(),
        _ => Chunk::ResetStep,
    }
}

fuzz_target!(|input: Input| {
    let chunks: Vec<Chunk<'_>> = input
        .chunks
        .iter()
        .map(|(kind, units, text, flag)| chunk(*kind, units, text, *flag))
        .collect();
    let mut decoder = Decoder::new();
    for chunk in &chunks {
        decoder.push(encode_comment("still here"));
        decoder.push(chunk.encode_event());
        let decoded = decoder
            .next_chunk()
            .expect("a chunk was sent")
            .expect("it is a chunk");
        // Line breaks in raw JSON are whitespace and become spaces.
        assert_eq!(decoded.encode(), chunk.encode().replace(['\r', '\n'], " "));
    }
    decoder.push(encode_done());
    assert_eq!(decoder.next_chunk(), None);
    assert!(decoder.is_done() && decoder.finish().is_ok());

    let mut decoder = sse::Decoder::new();
    for (name, id, data) in &input.events {
        let mut event = Event::new(data);
        event.event = name.as_deref().map(Into::into);
        event.id = id.as_deref().map(Into::into);
        let Ok(bytes) = event.encode() else {
            continue;
        };
        decoder.push(bytes);
        let decoded = decoder
            .next_event()
            .expect("an event was sent")
            .expect("it is within the limits");
        assert_eq!(decoded.data, data.replace("\r\n", "\n").replace('\r', "\n"));
        assert_eq!(
            decoded.event.as_deref(),
            name.as_deref().filter(|name| !name.is_empty())
        );
        if id.is_some() {
            assert_eq!(decoded.id, event.id);
        }
    }
    assert!(decoder.finish().is_ok());
});
