//! Bodies of browsers are read as `request.json()` of a browser reads them, or refused.

use proptest::prelude::*;
use twentyfirst_protocol::browser::{BodyError, ChatBody, ChatLimits, ThreadBody, TokenBody};

fn chat(body: impl Into<Vec<u8>>) -> Result<ChatBody, BodyError> {
    ChatBody::read(body, &ChatLimits::new())
}

fn user(text: &str) -> String {
    format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{text}"}}]}}"#)
}

fn with_messages(messages: &str) -> String {
    format!(r#"{{"id":"c1","messages":{messages}}}"#)
}

#[test]
fn only_the_turn_must_be_a_message() {
    let body = with_messages(&format!(r#"[1,{{"role":"assistant"}},{}]"#, user("Hi")));
    let body = chat(body).unwrap();
    assert_eq!(body.turn.text(), "Hi");
    assert_eq!(
        body.history.messages().unwrap_err(),
        BodyError::Unfit("messages")
    );
}

#[test]
fn refused_bodies_are_named_without_repeating_them() {
    let user = user("s3cr3t");
    let errors: Vec<String> = [
        "",
        "s3cr3t",
        "[\"s3cr3t\"]",
        r#"{"id":"s3cr3t"#,
        "{\"id\":\n\"a\",\n  s3cr3t}",
        r#"{"id":"c1","__proto__":"s3cr3t"}"#,
        r#"{"id":"c1"}"#,
        &with_messages(r#""s3cr3t""#),
        &with_messages("[]"),
        &with_messages(r#"["s3cr3t"]"#),
        &with_messages(r#"[{"id":"s3cr3t","parts":[]}]"#),
        &with_messages(r#"[{"id":"s3cr3t","role":"user"}]"#),
        &with_messages(r#"[{"role":"missing field `s3cr3t`","parts":{}}]"#),
        &with_messages(&format!(r#"[{user},{{"role":"assistant","parts":[]}}]"#)),
        &format!(r#"{{"messages":[{user}]}}"#),
        &format!(r#"{{"id":"","messages":[{user}]}}"#),
        &format!(r#"{{"id":["s3cr3t"],"messages":[{user}]}}"#),
        &format!(r#"{{"id":"s3cr3t\ud83d","messages":[{user}]}}"#),
        &format!(r#"{{"id":"c1","messages":[{user}],"trigger":"regenerate-message"}}"#),
        &format!(r#"{{"id":"c1","messages":[{user}],"trigger":"s3cr3t"}}"#),
        &format!(r#"{{"id":"c1","messages":[{user}],"messageId":1}}"#),
    ]
    .into_iter()
    .map(|body| chat(body).unwrap_err().to_string())
    .collect();
    assert!(errors.iter().all(|error| !error.contains("s3cr3t")));
    insta::assert_debug_snapshot!(errors);
}

#[test]
fn the_last_of_repeated_members_counts() {
    let body = format!(
        r#"{{"id":"c1","messages":[],"messages":[{}],"id":"c2","trigger":"x","trigger":null}}"#,
        user("Hi")
    );
    assert_eq!(chat(body).unwrap().id, "c2");
}

#[test]
fn a_body_is_read_as_javascript_reads_it() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    bytes.extend(with_messages(&format!("[{}]", user("\\ud83d"))).into_bytes());
    bytes.pop();
    bytes.extend(b",\"n\":1e400,\"bad\":\"\xff\",\"deep\":");
    bytes.extend(deep.as_bytes());
    bytes.push(b'}');
    let body = chat(bytes).unwrap();
    assert_eq!(body.turn.text(), "\u{fffd}");
    assert!(body.history.json().get().contains("\"bad\":\"\u{fffd}\""));
}

#[test]
fn bodies_over_the_limits_are_refused() {
    let limits = ChatLimits::new().messages(2).parts(2);
    let read = |messages: &[&str]| {
        ChatBody::read(with_messages(&format!("[{}]", messages.join(","))), &limits)
    };
    let one = user("Hi");
    let three = r#"{"role":"user","parts":[1,2,3]}"#;
    assert_eq!(
        read(&[&one, &one, &one]).unwrap_err().to_string(),
        "too many messages: 3 exceed the limit of 2"
    );
    assert_eq!(
        read(&[three]).unwrap_err().to_string(),
        "too many parts: 3 exceed the limit of 2"
    );
    // The parts of earlier messages count when they are read.
    let body = read(&[three, &one]).unwrap();
    assert_eq!(
        body.history.messages().unwrap_err().to_string(),
        "too many parts: 4 exceed the limit of 2"
    );
    assert_eq!(
        read(&[&one, &one])
            .unwrap()
            .history
            .messages()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn only_an_empty_body_asks_for_any_token() {
    assert_eq!(TokenBody::read("").unwrap(), TokenBody::default());
    let body = TokenBody::read(r#"{"agent":"a","userId":null}"#).unwrap();
    assert_eq!((body.agent.as_deref(), body.user_id), (Some("a"), None));
    for body in [" ", "[]", "null", "{", r#"{"agent":1}"#, r#"{"userId":{}}"#] {
        assert!(TokenBody::read(body).is_err(), "{body}");
    }
}

#[test]
fn a_thread_is_requested_in_a_body_or_in_a_query() {
    let body = ThreadBody::read(r#"{"sandboxId":"sb_1","name":"cut \ud83d"}"#).unwrap();
    assert_eq!(body.sandbox_id.unwrap().as_str(), "sb_1");
    assert_eq!(body.name.as_deref(), Some("cut \u{fffd}"));
    for (query, expected) in [
        ("sandboxId=sb_1", Some("sb_1")),
        ("a=1&sandboxId=a%2D1&sandboxId=2", Some("a-1")),
        ("%73andboxId=1", Some("1")),
        ("%ff=1&sandboxid=1", None),
        ("", None),
    ] {
        let body = ThreadBody::of_query(query).unwrap();
        let sandbox_id = body.sandbox_id.as_ref().map(|id| id.as_str());
        assert_eq!(sandbox_id, expected, "{query}");
    }
    assert!(ThreadBody::of_query("sandboxId").is_err());
    assert_eq!(
        ThreadBody::of_query("sandboxId=%ff"),
        Err(BodyError::NotUtf8)
    );
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (chat(body.clone()), TokenBody::read(body.clone()), ThreadBody::read(body));
    }

    #[test]
    fn the_history_equals_that_of_serde_json(texts in prop::collection::vec("[ -~&&[^\"\\\\]]{0,8}", 1..8)) {
        let messages: Vec<String> = texts.iter().map(|text| user(text)).collect();
        let messages = format!("[{}]", messages.join(" , "));
        let body = chat(with_messages(&messages)).unwrap();
        let expected: Vec<twentyfirst_protocol::ui::UiMessage> = serde_json::from_str(&messages).unwrap();
        prop_assert_eq!(&body.turn, expected.last().unwrap());
        prop_assert_eq!(body.history.messages().unwrap(), expected);
    }
}

/// Returns bodies of about 6 MB: with very many messages, with very many parts in an earlier message, and in the new one.
fn large() -> [(&'static str, String); 3] {
    let message = r#"{"id":"m","role":"user","parts":[{"type":"text","text":"x"}]}"#;
    let messages = vec![message; 100_000].join(",");
    let parts = vec![r#"{"type":"x"}"#; 500_000].join(",");
    let of_parts = format!(r#"{{"id":"m","role":"user","parts":[{parts}]}}"#);
    [
        ("messages", with_messages(&format!("[{messages}]"))),
        ("parts", with_messages(&format!("[{of_parts},{message}]"))),
        (
            "parts of the turn",
            with_messages(&format!("[{message},{of_parts}]")),
        ),
    ]
}

#[test]
fn a_large_body_takes_little_additional_memory() {
    for (what, body) in large() {
        let size = body.len();
        let body = std::cell::Cell::new(Some(body.into_bytes()));
        let allocated = allocation_counter::measure(|| {
            let _ = chat(body.take().unwrap());
        });
        // The body itself was allocated before.
        assert!(
            allocated.bytes_max < size as u64 / 10,
            "{what}: {allocated:?}"
        );
    }
}
