//! Cutting JSON anywhere does not change the values read from it. Each value is JSON, and the last one is that of `serde_json`.
#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use serde::de::IgnoredAny;
use serde_json::Value;
use twentyfirst_protocol::ui::PartialJson;

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    cuts: Vec<u8>,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let mut document = PartialJson::new();
    let mut rest = input.text;
    for length in input.cuts {
        let end = rest.ceil_char_boundary(usize::from(length));
        let (piece, after) = rest.split_at(end);
        document.push(piece);
        rest = after;

        let so_far = PartialJson::from(document.text());
        let value = document.value();
        assert_eq!(value, so_far.value());
        if let Some(value) = value {
            assert!(serde_json::from_str::<IgnoredAny>(value.get()).is_ok());
        }
    }
    document.push(rest);
    assert_eq!(document.text(), input.text);

    let is_json = serde_json::from_str::<IgnoredAny>(input.text).is_ok();
    assert_eq!(document.is_complete(), is_json);
    match (document.value(), serde_json::from_str::<Value>(input.text)) {
        (Some(value), Ok(whole)) => assert_eq!(value.deserialize::<Value>().unwrap(), whole),
        // Without a value if it has a key that the AI SDK refuses. Such keys contain `proto`, unless an escape hides it.
        (None, Ok(_)) => assert!(input.text.contains("proto") || input.text.contains('\\')),
        (_, Err(_)) => {}
    }
});
