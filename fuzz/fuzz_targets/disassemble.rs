//! A message from an assembler survives disassembly into chunks and assembly.
#![no_main]

#[path = "support/any_chunk.rs"]
mod any_chunk;

use any_chunk::{Any, chunk};
use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::ui::{Assembler, UiMessage, disassemble};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    lenient: bool,
    /// A message from elsewhere, which chunks may not express completely.
    stored: Option<&'a str>,
    chunks: Vec<(u8, u8, Any<'a>, bool)>,
}

fn assembled(message: &UiMessage) -> UiMessage {
    let chunks = disassemble(message).unwrap_or_else(|error| {
        panic!("{error}: {:#?}\n{message:#?}", error.chunks());
    });
    let mut assembler = Assembler::new();
    for chunk in &chunks {
        assembler.apply(chunk).expect("its chunks fit");
    }
    assembler.into_message()
}

fuzz_target!(|input: Input<'_>| {
    let mut assembler = Assembler::new().lenient(input.lenient);
    for (kind, id, any, flag) in &input.chunks {
        let _ = assembler.apply(&chunk(*kind, *id, any, *flag));
    }
    let message = assembler.into_message();
    assert_eq!(assembled(&message), message);

    let stored = input
        .stored
        .and_then(|json| serde_json::from_str(json).ok());
    if let Some(stored) = stored
        && disassemble(&stored).is_ok()
    {
        assert_eq!(assembled(&stored), stored);
    }
});
