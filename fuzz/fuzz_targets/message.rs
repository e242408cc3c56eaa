//! A message is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use twentyfirst_protocol::ui::UiMessage;

fuzz_target!(|json: &str| {
    let Ok(message) = serde_json::from_str::<UiMessage>(json) else {
        return;
    };
    let written = serde_json::to_string(&message).expect("a message is JSON");
    let read: UiMessage = serde_json::from_str(&written).expect("a message reads back");
    assert_eq!(read, message);
    if let (Ok(before), Ok(after)) = (
        serde_json::from_str::<Value>(json),
        serde_json::from_str::<Value>(&written),
    ) {
        assert_eq!(after, before);
    }
});
