//! Chunks as JSON: decoding, errors, and encoding without loss.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use twentyfirst_protocol::ui::{
    Chunk, ChunkError, RawJson, Text,
    chunk::{Data, FinishReason, InputEncoding, TextDelta, ToolApprovalResponse, ToolInputStart},
};

#[test]
fn a_chunk_has_the_type_it_names() {
    let data = r#"{"toolName":"Bash","title":"Run \"ls\"","inputEncoding":"text","dynamic":false,"type":"tool-input-start","toolCallId":"c1"}"#;
    let Ok(Chunk::ToolInputStart(start)) = Chunk::decode(data) else {
        panic!("not a tool-input-start")
    };
    assert_eq!(start.tool_call_id, "c1");
    assert_eq!(start.tool_name, "Bash");
    assert_eq!(start.title, Some("Run \"ls\"".into()));
    assert_eq!(start.input_encoding, Some(InputEncoding::Text));
    assert_eq!(
        (start.dynamic, start.provider_executed),
        (Some(false), None)
    );
    assert_eq!(start.provider_metadata, None);
}

#[test]
fn values_are_kept_unchanged() {
    let data = r#"{"type":"tool-output-available","toolCallId":"c","output": { "big": 12345678901234567890123, "e":1E2 } }"#;
    let Ok(Chunk::ToolOutputAvailable(output)) = Chunk::decode(data) else {
        panic!("not a tool-output-available")
    };
    assert_eq!(
        output.output.unwrap().get(),
        r#"{ "big": 12345678901234567890123, "e":1E2 }"#
    );
}

#[test]
fn a_number_beyond_a_double_is_refused_only_where_the_ai_sdk_refuses_it() {
    for data in [
        r#"{"type":"text-end","id":"t","providerMetadata":{"p":{"n":1e400}}}"#,
        r#"{"type":"tool-output-available","toolCallId":"c","output":1,"toolMetadata":{"n":[-1E999]}}"#,
    ] {
        let error = Chunk::decode(data).unwrap_err();
        assert!(matches!(error, ChunkError::Unfit { .. }), "{error}");
        assert!(error.to_string().ends_with("whose numbers fit a double"));
    }
    for data in [
        r#"{"type":"tool-input-available","toolCallId":"c","toolName":"t","input":{"n":1e400}}"#,
        r#"{"type":"tool-output-available","toolCallId":"c","output":-1E999}"#,
        r#"{"type":"message-metadata","messageMetadata":{"n":1e400}}"#,
        r#"{"type":"data-x","data":1e400}"#,
        r#"{"type":"text-end","id":"t","providerMetadata":{"p":{"1e400":["1e400",1e308,1e-400]}}}"#,
    ] {
        assert_eq!(Chunk::decode(data).unwrap().encode(), data);
    }
}

#[test]
fn values_that_servers_omit_may_be_absent() {
    for data in [
        r#"{"type":"tool-input-available","toolCallId":"c","toolName":"t"}"#,
        r#"{"type":"tool-input-error","toolCallId":"c","toolName":"t","errorText":"e"}"#,
        r#"{"type":"tool-output-available","toolCallId":"c"}"#,
        r#"{"type":"message-metadata"}"#,
        r#"{"type":"data-x"}"#,
    ] {
        assert_eq!(Chunk::decode(data).unwrap().encode(), data);
    }
}

#[test]
fn data_keeps_unknown_members() {
    let data =
        r#"{"type":"data-weather","id":"w","data":{"c":21},"transient":true,"x":[1],"delta":null}"#;
    let chunk = Chunk::decode(data).unwrap();
    let Chunk::Data(weather) = &chunk else {
        panic!("not data")
    };
    assert_eq!(
        (&weather.name, weather.kind()),
        (&Text::from("weather"), Text::from("data-weather"))
    );
    assert_eq!(weather.data, Some(RawJson::from(json!({"c": 21}))));
    assert_eq!(weather.other.len(), 2);
    assert_eq!(chunk.encode(), data);
    assert_eq!(
        Chunk::from(Data::new("weather").id("w").transient(false)).encode(),
        r#"{"type":"data-weather","id":"w","transient":false}"#
    );
}

#[test]
fn an_unknown_chunk_is_kept_whole() {
    let data = r#" {"b": 1.0, "type":"brand-new", "a":"\ud83d"} "#;
    let chunk = Chunk::decode(data).unwrap();
    assert_eq!(chunk.kind(), "brand-new");
    assert!(matches!(chunk, Chunk::Unknown(_)));
    assert_eq!(
        chunk.encode(),
        r#"{"b":1.0,"type":"brand-new","a":"\ud83d"}"#
    );
}

#[test]
fn half_a_character_is_kept_unchanged() {
    let data = r#"{"type":"text-delta","id":"t","delta":"a\uD83D"}"#;
    let chunk = Chunk::decode(data).unwrap().into_owned();
    let Chunk::TextDelta(delta) = &chunk else {
        panic!("not a text-delta")
    };
    assert_eq!(delta.delta.as_str(), None);
    assert_eq!(delta.delta.to_string_lossy(), "a\u{fffd}");
    assert_eq!(chunk.encode(), data);
    assert_eq!(serde_json::to_string(&chunk).unwrap(), data);
}

#[test]
fn a_chunk_is_one_object_and_nothing_else() {
    let delta = r#"{"type":"text-delta","id":"t","delta":"x"}"#;
    let chunk = Chunk::from(TextDelta::new("t", "x"));
    for same in [delta.to_owned(), format!("{delta} "), format!(" {delta}\n")] {
        assert_eq!(Chunk::decode(&same).as_ref(), Ok(&chunk), "{same:?}");
    }
    for other in [
        &delta[1..],
        &delta[..delta.len() - 1],
        &format!("{delta}x"),
        &format!("{delta}{delta}"),
    ] {
        assert!(
            matches!(Chunk::decode(other), Err(ChunkError::NotJson { .. })),
            "{other:?}"
        );
    }
}

#[test]
fn a_chunk_is_built_in_one_expression() {
    assert_eq!(
        Chunk::from(
            ToolInputStart::new("c", "Bash")
                .input_encoding(InputEncoding::Json)
                .provider_executed(true)
        )
        .encode(),
        r#"{"type":"tool-input-start","toolCallId":"c","toolName":"Bash","inputEncoding":"json","providerExecuted":true}"#
    );
    assert_eq!(
        Chunk::from(ToolApprovalResponse::new("a", false).reason("no")).encode(),
        r#"{"type":"tool-approval-response","approvalId":"a","approved":false,"reason":"no"}"#
    );
    assert_eq!(FinishReason::ContentFilter.as_str(), "content-filter");
}

#[test]
fn each_error_names_its_cause() {
    for (data, error, display) in [
        (
            "{\"type\":}",
            ChunkError::NotJson { offset: 8 },
            "the data is not JSON: byte 8 is unexpected",
        ),
        (
            "[1",
            ChunkError::NotJson { offset: 2 },
            "the data is not JSON: byte 2 is unexpected",
        ),
        ("[1]", ChunkError::NotAnObject, "the data is not an object"),
        ("{\"id\":\"t\"}", ChunkError::NoType, "the data has no type"),
        ("{\"type\":7}", ChunkError::NoType, "the data has no type"),
        (
            r#"{"type":"start","__proto__":{}}"#,
            ChunkError::ForbiddenKey,
            "the data has a forbidden key: `__proto__` or `constructor.prototype`",
        ),
        (
            r#"{"type":"text-delta","id":"t"}"#,
            ChunkError::Missing {
                chunk: "text-delta",
                member: "delta",
            },
            "the text-delta chunk has no delta",
        ),
        (
            r#"{"type":"abort","reason":null}"#,
            ChunkError::Unfit {
                chunk: "abort",
                member: "reason",
                expected: "a string",
            },
            "the reason of the abort chunk must be a string",
        ),
        (
            r#"{"type":"data-x","transient":0}"#,
            ChunkError::Unfit {
                chunk: "data-*",
                member: "transient",
                expected: "a boolean",
            },
            "the transient of the data-* chunk must be a boolean",
        ),
    ] {
        assert_eq!(Chunk::decode(data), Err(error.clone()), "{data}");
        assert_eq!(error.to_string(), display);
    }
}

#[test]
fn raw_json_is_json() {
    assert_eq!(
        RawJson::parse("{\"a\":1").unwrap_err(),
        ChunkError::NotJson { offset: 6 }
    );
    assert_eq!(RawJson::parse(" null\n").unwrap().get(), "null");
    let raw = RawJson::parse("[1, 2]".to_owned()).unwrap();
    assert_eq!(raw.deserialize::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(
        serde_json::to_string(&(raw.clone(), raw)).unwrap(),
        "[[1,2],[1,2]]"
    );
    let read: Vec<RawJson<'_>> = serde_json::from_str("[ {\"a\": 1} , null]").unwrap();
    assert_eq!((read[0].get(), read[1].is_null()), ("{\"a\": 1}", true));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zü😀\"\\\\\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Generates objects that are chunks, or nearly.
fn objects() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "start",
        "finish",
        "abort",
        "message-metadata",
        "error",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "reasoning-delta",
        "tool-input-start",
        "tool-input-delta",
        "tool-input-available",
        "tool-input-error",
        "tool-output-available",
        "tool-output-error",
        "tool-output-denied",
        "tool-approval-request",
        "tool-approval-response",
        "source-url",
        "source-document",
        "file",
        "custom",
        "steering-message",
        "data-x",
        "data-",
        "new",
    ]);
    let texts = [
        "id",
        "delta",
        "toolCallId",
        "toolName",
        "inputTextDelta",
        "errorText",
        "approvalId",
        "sourceId",
        "url",
        "mediaType",
        "title",
        "kind",
    ];
    let other = prop::sample::select(vec![
        "input",
        "output",
        "data",
        "messageMetadata",
        "providerMetadata",
        "toolMetadata",
        "citations",
        "parts",
        "dynamic",
        "transient",
        "approved",
        "reason",
        "messageId",
        "title",
        "id",
        "unknown",
    ]);
    (kind, "[a-zü😀\"\\\\\n]{0,6}", any::<bool>(), prop::collection::vec((other, values()), 0..4)).prop_map(move |(kind, text, approved, others)| {
        let mut object = json!({"type": kind, "approved": approved, "parts": [{"type": "text", "text": text}]});
        for name in texts {
            object[name] = text.clone().into();
        }
        for (name, value) in others {
            object[name] = value;
        }
        object
    })
}

proptest! {
    #[test]
    fn a_decoded_chunk_is_encoded_without_loss(object in objects()) {
        if let Ok(chunk) = Chunk::decode(&object.to_string()) {
            let encoded = chunk.encode();
            prop_assert_eq!(&Chunk::decode(&encoded), &Ok(chunk.clone()));
            prop_assert_eq!(&chunk.clone().into_owned(), &chunk);
            let value: Value = serde_json::from_str(&encoded).unwrap();
            prop_assert_eq!(&value, &serde_json::to_value(&chunk).unwrap());
            for (name, member) in value.as_object().unwrap() {
                prop_assert!(name == "citations" || object.get(name) == Some(member), "{} in {}", name, object);
            }
            if matches!(chunk, Chunk::Data(_) | Chunk::Unknown(_)) {
                prop_assert_eq!(&value, &object);
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(object in objects(), seed in any::<u64>()) {
        let mut members: Vec<_> = object.as_object().unwrap().iter().collect();
        members.sort_by_key(|(name, _)| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)));
        let shuffled: Vec<_> = members.iter().map(|(name, value)| format!("{:?} : {value}", name)).collect();
        let shuffled = format!("{{ {} }}", shuffled.join(" , "));
        match (Chunk::decode(&object.to_string()), Chunk::decode(&shuffled)) {
            (Ok(one), Ok(two)) if !matches!(one, Chunk::Data(_) | Chunk::Unknown(_)) => prop_assert_eq!(one, two),
            (one, two) => prop_assert_eq!(one.is_ok(), two.is_ok()),
        }
    }

    #[test]
    fn any_text_is_a_chunk_or_an_error(text in "[\\[\\]{}:,\"\\\\a-z0-9. \n]{0,40}") {
        let result = Chunk::decode(&text);
        if serde_json::from_str::<IgnoredAny>(&text).is_err() {
            prop_assert!(result.is_err());
        }
    }

    #[test]
    fn json_is_read_as_serde_json_reads_it(value in values(), cut in any::<prop::sample::Index>(), replaced in any::<u8>()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert!(RawJson::parse(&text).is_ok());
        let mut broken = text.into_bytes();
        let at = cut.index(broken.len());
        broken[at] = replaced;
        let broken = String::from_utf8_lossy(&broken).into_owned();
        prop_assert_eq!(RawJson::parse(&*broken).is_ok(), serde_json::from_str::<IgnoredAny>(&broken).is_ok(), "{}", broken);
    }

    #[test]
    fn deltas_hold_any_text(id in any::<String>(), delta in any::<String>()) {
        let chunk = Chunk::from(TextDelta::new(&*id, &*delta));
        let encoded = chunk.encode();
        prop_assert_eq!(Chunk::decode(&encoded), Ok(chunk));
    }
}
