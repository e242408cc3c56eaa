//! The decoder accepts the JSON that `serde_json` accepts, and a decoded chunk is encoded without loss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use twentyfirst_protocol::ui::{Chunk, ChunkError, RawJson};

fuzz_target!(|data: &str| {
    let is_json = serde_json::from_str::<IgnoredAny>(data).is_ok();
    match RawJson::parse(data) {
        Ok(_) => assert!(is_json),
        // The keys that the AI SDK refuses contain `proto`, unless an escape hides it.
        Err(ChunkError::ForbiddenKey) => assert!(data.contains('\\') || data.contains("proto")),
        Err(_) => assert!(!is_json),
    }
    let Ok(chunk) = Chunk::decode(data) else {
        return;
    };
    assert!(is_json);
    let encoded = chunk.encode();
    assert!(serde_json::from_str::<IgnoredAny>(&encoded).is_ok());
    assert_eq!(Chunk::decode(&encoded).as_ref(), Ok(&chunk));
    assert_eq!(
        chunk.kind(),
        Chunk::decode(&encoded).expect("it was just decoded").kind()
    );
    assert_eq!(chunk.clone().into_owned(), chunk);
});
