//! The stored messages of a thread, in the present form and in the older one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use twentyfirst_protocol::threads::{GetThread, StoredMessage, Thread};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::{Operation, SandboxId, ThreadId};

fn thread(messages: &[Value]) -> Thread {
    let get = GetThread::new(SandboxId::new("sb").unwrap(), ThreadId::new("th").unwrap());
    let (head, ()) = http::Response::new(()).into_parts();
    let body = json!({"id": "th", "status": "completed", "messages": messages});
    get.decode(&head, body.to_string().as_bytes()).unwrap()
}

fn read(message: Value) -> Value {
    match thread(&[message]).messages.unwrap().remove(0) {
        StoredMessage::Ui(message) => serde_json::to_value(message).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_of_the_older_form_reads_as_a_ui_message() {
    assert_eq!(
        read(
            json!({"id": "m1", "role": "user", "content": "Hello", "createdAt": 7, "parts": null})
        ),
        json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hello"}], "createdAt": 7})
    );
    assert_eq!(
        read(json!({"role": "user", "metadata": {"k": 1}, "content": [
            "one",
            {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        ]})),
        json!({"role": "user", "metadata": {"k": 1}, "parts": [
            {"type": "text", "text": "one"},
            {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
            {"type": "data-image", "data": {"url": "data:image/png;base64,iVBORw0KGgo=", "mediaType": "image/png"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        ]})
    );
    assert_eq!(
        read(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Which folder?", "signature": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            {"type": "tool-Bash", "toolCallId": "toolu_1", "state": "input-available", "input": {}},
            17,
        ]})),
        json!({"role": "assistant", "parts": [
            {"type": "reasoning", "text": "Which folder?", "signature": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            {"type": "tool-Bash", "toolCallId": "toolu_1", "state": "input-available", "input": {}},
            17,
        ]})
    );
}

proptest! {
    /// A conversation reads the same, whichever form each of its messages is stored in.
    #[test]
    fn both_forms_read_alike(
        turns in vec((select(&["user", "assistant", "system", "tool"][..]), vec(".{0,8}", 1..4), 0..4_u8), 0..6)
    ) {
        let (mut stored, mut wanted) = (Vec::new(), Vec::new());
        for (role, texts, form) in turns {
            let whole = texts.concat();
            let parts: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
            stored.push(match form {
                0 => json!({"role": role, "content": whole}),
                1 => json!({"role": role, "content": parts}),
                2 => json!({"role": role, "content": texts}),
                _ => json!({"role": role, "parts": parts}),
            });
            wanted.push((json!(role), whole));
        }
        let told = |messages: &[UiMessage]| -> Vec<_> {
            let tell = |message: &UiMessage| (serde_json::to_value(&message.role).unwrap(), message.text());
            messages.iter().map(tell).collect()
        };
        let thread = thread(&stored);
        let messages: Vec<_> = thread.ui_messages().cloned().collect();
        prop_assert_eq!(told(&messages), wanted);
        let again = serde_json::to_string(&thread).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Thread>(&again).unwrap(), &thread);
        prop_assert_eq!(thread.into_ui_messages(), messages);
    }

    /// Unreadable messages do not hide the readable ones, and are kept unchanged.
    #[test]
    fn unreadable_messages_hide_nothing(
        odd in vec(select(&[
            "17", "null", "[]", "\"text\"", "{}", r#"{"role":"user"}"#, r#"{"role":1,"content":"a"}"#, r#"{"content":"a"}"#,
            r#"{"role":"user","content":null}"#, r#"{"role":"user","content":{"type":"text","text":"a"}}"#,
            r#"{"role":"user","content":3}"#, r#"{"role":"user","parts":{}}"#,
        ][..]), 0..6)
    ) {
        let mut messages = vec![json!({"role": "user", "content": "first"})];
        messages.extend(odd.iter().map(|json| serde_json::from_str::<Value>(json).unwrap()));
        messages.push(json!({"role": "assistant", "parts": [{"type": "text", "text": "last"}]}));
        let thread = thread(&messages);
        let texts: Vec<_> = thread.ui_messages().map(UiMessage::text).collect();
        prop_assert_eq!(texts, ["first", "last"]);
        let stored = thread.messages.unwrap();
        for (stored, came) in stored.iter().zip(&messages).skip(1).take(odd.len()) {
            let StoredMessage::Other(raw) = stored else { panic!("{stored:?}") };
            prop_assert_eq!(&serde_json::from_str::<Value>(raw.get()).unwrap(), came);
        }
        prop_assert_eq!(stored.len(), messages.len());
    }
}
