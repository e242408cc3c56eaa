//! Serialized values are on one line, whatever whitespace the relay or a model wrote into them, and keep every digit.

use proptest::prelude::*;
use serde_json::Value;
use twentyfirst_protocol::threads::StoredMessage;
use twentyfirst_protocol::ui::{Assembler, Chunk, RawJson, UiMessage};

#[test]
fn a_multi_line_input_is_a_message_of_one_line() {
    let mut assembler = Assembler::new();
    for data in [
        r#"{"type":"start"}"#,
        r#"{"type":"tool-input-start","toolCallId":"c","toolName":"Bash"}"#,
        r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\n \"a\": 1.0"}"#,
    ] {
        assembler.apply(&Chunk::decode(data).unwrap()).unwrap();
    }
    let message = serde_json::to_string(assembler.message()).unwrap();
    assert_eq!(
        message,
        r#"{"id":"","role":"assistant","parts":[{"type":"tool-Bash","toolCallId":"c","state":"input-streaming","input":{"a":1.0},"rawInput":"{\n \"a\": 1.0"}]}"#
    );
}

#[test]
fn raw_json_returns_the_original_and_writes_one_line() {
    let raw = RawJson::parse("{\n  \"a b\": 1E400,\r\n\t\"a b\": \" \\ud83d \"\n}").unwrap();
    assert_eq!(
        raw.get(),
        "{\n  \"a b\": 1E400,\r\n\t\"a b\": \" \\ud83d \"\n}"
    );
    let line = r#"{"a b":1E400,"a b":" \ud83d "}"#;
    assert_eq!(raw.to_string(), line);
    assert_eq!(serde_json::to_string(&raw).unwrap(), line);
}

#[derive(Clone, Debug)]
struct Json {
    /// The text with whitespace between its tokens.
    spread: String,
    /// The text without it.
    line: String,
}

fn whitespace() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just(""),
        1 => Just(" "),
        1 => Just("\n"),
        1 => Just("\r\n\t "),
    ]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        " ", "  ", r"\n", r"\\", r#"\""#, "a", "ü", "\u{2028}", r"\ud83d", r"\u00e9", "{ ", ", ",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Generates any JSON, in both spellings.
fn json() -> impl Strategy<Value = Json> {
    let number = prop::sample::select(vec![
        "1.0",
        "-0",
        "1E400",
        "0.1e+1",
        "12345678901234567890123",
    ]);
    let leaf = prop_oneof![
        string(),
        number.prop_map(str::to_owned),
        prop::sample::select(vec!["null", "true", "false", "[]", "{}"]).prop_map(str::to_owned),
    ];
    let leaf = leaf.prop_map(|text| Json {
        spread: text.clone(),
        line: text,
    });
    leaf.prop_recursive(4, 32, 5, |inner| {
        let element = (whitespace(), inner.clone(), whitespace());
        let member = (
            (whitespace(), string(), whitespace()),
            (whitespace(), inner, whitespace()),
        );
        prop_oneof![
            prop::collection::vec(element, 1..5).prop_map(|elements| {
                let spread = elements
                    .iter()
                    .map(|(before, json, after)| format!("{before}{}{after}", json.spread));
                let line = elements.iter().map(|(_, json, _)| json.line.clone());
                Json {
                    spread: format!("[{}]", spread.collect::<Vec<_>>().join(",")),
                    line: format!("[{}]", line.collect::<Vec<_>>().join(",")),
                }
            }),
            prop::collection::vec(member, 1..5).prop_map(|members| {
                let spread = members.iter().map(|((a, name, b), (c, json, d))| {
                    format!("{a}{name}{b}:{c}{}{d}", json.spread)
                });
                let line = members
                    .iter()
                    .map(|((_, name, _), (_, json, _))| format!("{name}:{}", json.line));
                Json {
                    spread: format!("{{{}}}", spread.collect::<Vec<_>>().join(",")),
                    line: format!("{{{}}}", line.collect::<Vec<_>>().join(",")),
                }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn only_whitespace_between_tokens_is_removed(json in json(), before in whitespace(), after in whitespace()) {
        let Json { spread, line } = json;
        let spread = format!("{before}{spread}{after}");
        let raw = RawJson::parse(&*spread).unwrap();
        prop_assert_eq!(&raw.to_string(), &line);
        prop_assert_eq!(&serde_json::to_string(&raw).unwrap(), &line);
        prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<RawJson<'_>>(&spread).unwrap()).unwrap(), line);
    }

    #[test]
    fn chunks_and_their_events_are_one_line(json in json()) {
        let Json { spread, line } = json;
        for (came, expected) in [
            (r#"{"type":"tool-output-available","toolCallId":"c","output":JSON}"#, None),
            (r#"{"type":"tool-input-available","toolCallId":"c","toolName":"t","input":JSON,"toolMetadata":{"a":[1.0]}}"#, None),
            (r#"{"type":"message-metadata","messageMetadata":JSON}"#, None),
            (r#"{"type":"data-x","id":"a","data":JSON,"other":JSON}"#, None),
            (r#"{"type":"brand-new","x":JSON}"#, None),
            (
                "{\"providerMetadata\" : { \"p\" :\n{} } ,\"id\" :\"t\",\"type\": \"text-end\"}",
                Some(r#"{"type":"text-end","id":"t","providerMetadata":{"p":{}}}"#),
            ),
        ] {
            let data = came.replace("JSON", &spread);
            let chunk = Chunk::decode(&data).unwrap();
            let expected = expected.unwrap_or(came).replace("JSON", &line);
            prop_assert_eq!(&chunk.encode(), &expected);
            prop_assert_eq!(&serde_json::to_string(&chunk).unwrap(), &expected);
            prop_assert_eq!(chunk.encode_event(), format!("data: {expected}\n\n"));
        }
    }

    #[test]
    fn messages_are_one_line(json in json()) {
        let Json { spread, line } = json;
        let template = r#"{"id":"m","metadata":JSON,"role":"assistant","parts":[{"type":"tool-x","toolCallId":"c","state":"output-available","input":JSON,"output":JSON},{"type":"data-x","data":JSON},{"type":"new","x":JSON},{"type":"text","text":"a","more":JSON}],"more":JSON}"#;
        let message: UiMessage = serde_json::from_str(&template.replace("JSON", &spread)).unwrap();
        prop_assert_eq!(serde_json::to_string(&message).unwrap(), template.replace("JSON", &line));
    }

    #[test]
    fn stored_messages_are_one_line(json in json()) {
        let stored: StoredMessage = serde_json::from_str(&format!("[{}]", json.spread)).unwrap();
        prop_assert_eq!(serde_json::to_string(&stored).unwrap(), format!("[{}]", json.line));
    }

    #[test]
    fn assembled_messages_are_one_line(first in json(), second in json(), cut in any::<prop::sample::Index>()) {
        let input = format!("{{\n \"a\" : {} }}", first.spread);
        let end = (0..=cut.index(input.len())).rev().find(|at| input.is_char_boundary(*at)).unwrap();
        let metadata = |json: &Json| Chunk::decode(&format!(
            "{{\"type\":\"message-metadata\",\"messageMetadata\":{{ \"a\" :\n{} }} }}", json.spread
        )).unwrap().into_owned();
        let delta = serde_json::json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": input[..end]}).to_string();
        let mut assembler = Assembler::new();
        for chunk in [
            Chunk::decode(r#"{"type":"tool-input-start","toolCallId":"c","toolName":"t"}"#).unwrap(),
            Chunk::decode(&delta).unwrap(),
            metadata(&first),
            metadata(&second),
        ] {
            assembler.apply(&chunk).unwrap();
            let message = serde_json::to_string(assembler.message()).unwrap();
            prop_assert!(!message.contains(['\n', '\r', '\t']), "{}", message);
            prop_assert_eq!(&serde_json::from_str::<UiMessage>(&message).unwrap().metadata.map(|raw| raw.to_string()),
                &assembler.message().metadata.as_ref().map(ToString::to_string));
        }
    }
}

/// A value that Rust's JSON readers accept is the same after it was written on one line.
#[test]
fn the_value_is_the_same() {
    let spread = "{ \"a\" : [ 1.0 , -2e-3 ,\n\" x \\n\" ] ,\"b\":{ } }";
    let raw = RawJson::parse(spread).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&serde_json::to_string(&raw).unwrap()).unwrap(),
        serde_json::from_str::<Value>(spread).unwrap()
    );
}
