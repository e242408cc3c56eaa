//! Messages are read and written back without loss.

use proptest::prelude::*;
use serde_json::Value;
use twentyfirst_protocol::ui::{Part, RawJson, Role, TextState, ToolState, UiMessage};

fn read(json: &str) -> UiMessage {
    serde_json::from_str(json).unwrap()
}

fn write(message: &UiMessage) -> String {
    serde_json::to_string(message).unwrap()
}

#[test]
fn every_known_part_reads_as_its_type() {
    let message = read(include_str!("data/ui/message_all_parts.json"));
    assert_eq!(message.role, Role::Assistant);
    assert_eq!(message.id.as_ref().unwrap(), "m1");
    assert_eq!(message.text(), "Hello, world");
    assert_eq!(message.reasoning(), "Hm.");
    let states: Vec<ToolState> = message
        .tool_calls()
        .map(|call| call.state.clone())
        .collect();
    assert_eq!(
        states,
        [
            ToolState::InputStreaming,
            ToolState::InputAvailable,
            ToolState::ApprovalRequested,
            ToolState::ApprovalResponded,
            ToolState::OutputAvailable,
            ToolState::OutputError,
            ToolState::OutputDenied,
        ]
    );
    let call = message.tool_call("call_5").unwrap();
    assert!(call.dynamic);
    assert_eq!(call.tool_name, "fetch");
    assert_eq!(call.approval.as_ref().unwrap().approved, Some(true));
    assert_eq!(call.output.as_ref().unwrap().get(), r#"{"ok":true}"#);
    let unknown = message
        .parts
        .iter()
        .filter(|part| matches!(part, Part::Unknown(_)));
    assert_eq!(unknown.count(), 0);
}

#[test]
fn a_message_can_be_read_from_a_json_value() {
    let json = include_str!("data/ui/message_all_parts.json");
    let value: Value = serde_json::from_str(json).unwrap();
    let from_value: UiMessage = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(from_value.text(), read(json).text());
    assert_eq!(serde_json::to_value(&from_value).unwrap(), value);
}

#[test]
fn every_known_part_is_written_unchanged() {
    let json = include_str!("data/ui/message_all_parts.json");
    let message = read(json);
    let written = write(&message);
    assert_eq!(read(&written), message);
    let (before, after): (Value, Value) = (
        serde_json::from_str(json).unwrap(),
        serde_json::from_str(&written).unwrap(),
    );
    assert_eq!(after, before);
}

#[test]
fn unknown_members_are_kept() {
    let json = r#"{"id":"m","role":"assistant","parts":[{"type":"text","text":"a","state":"paused","x":[1,2]},{"type":"step-start","n":1e999}],"createdAt":12345678901234567890123}"#;
    let message = read(json);
    assert_eq!(write(&message), json);
    let Part::Text(part) = &message.parts[0] else {
        panic!("not a text part")
    };
    assert_eq!(part.state, None);
    assert_eq!(part.other.get("state").unwrap().get(), r#""paused""#);
    assert_eq!(
        message.other.get("createdAt").unwrap().get(),
        "12345678901234567890123"
    );
}

#[test]
fn null_instead_of_a_member_is_kept() {
    let json = r#"{"id":"m","role":"assistant","parts":[{"type":"tool-run","toolCallId":"c","state":"output-available","input":null,"output":null,"title":null,"providerExecuted":null,"approval":null}]}"#;
    let message = read(json);
    let call = message.tool_call("c").unwrap();
    assert_eq!(call.title, None);
    assert_eq!(call.input.as_ref().unwrap().get(), "null");
    assert_eq!(write(&message), json);
}

#[test]
fn a_part_that_does_not_fit_its_type_is_unknown_and_kept_whole() {
    for part in [
        r#"{"type":"text"}"#,
        r#"{"type":"text","text":5}"#,
        r#"{"type":"hologram","depth":3}"#,
        r#"{"type":"tool-run","state":"input-available"}"#,
        r#"{"type":"dynamic-tool","toolCallId":"c","state":"input-available"}"#,
        r#"{"type":7}"#,
        r#"{"text":"no type"}"#,
        r#"{"type":"file","url":"u"}"#,
        "null",
        "[1]",
        r#""text""#,
    ] {
        let json = format!(r#"{{"role":"assistant","parts":[{part}]}}"#);
        let message = read(&json);
        assert_eq!(
            message.parts,
            [Part::Unknown(RawJson::parse(part).unwrap())]
        );
        assert_eq!(write(&message), json);
    }
}

#[test]
fn unknown_roles_and_states_are_carried() {
    let json = r#"{"role":"moderator","parts":[{"type":"tool-run","toolCallId":"c","state":"input-paused"}]}"#;
    let message = read(json);
    assert_eq!(message.role, Role::Unknown("moderator".into()));
    assert_eq!(
        message.tool_call("c").unwrap().state,
        ToolState::Unknown("input-paused".into())
    );
    assert_eq!(write(&message), json);
}

#[test]
fn half_a_surrogate_pair_is_kept_anywhere() {
    let json = r#"{"id":"\ud83d","role":"\ud83d","parts":[{"type":"text","text":"a\uDE00","\ud83d":"\ud83d"},{"type":"tool-\ud83d","toolCallId":"\ude00","state":"\ud83d","rawInput":"\ud83d"},{"type":"data-\ud83d","id":"\ud83d","data":"\ud83d"}],"\ud83d":1}"#;
    let message = read(json);
    assert_eq!(message.text(), "a\u{fffd}");
    assert!(matches!(&message.parts[1], Part::Tool(_)));
    assert!(matches!(&message.parts[2], Part::Data(_)));
    assert_eq!(write(&message), json);
}

#[test]
fn the_later_of_two_members_counts() {
    let message = read(
        r#"{"id":"a","role":"user","id":"b","role":"assistant","parts":[],"parts":[{"type":"text","text":"x","type":"reasoning","text":"y","id":1,"id":"r"}]}"#,
    );
    assert_eq!(message.id.as_ref().unwrap(), "b");
    assert_eq!(message.role, Role::Assistant);
    assert_eq!(message.reasoning(), "y");
    assert_eq!(
        write(&message),
        r#"{"id":"b","role":"assistant","parts":[{"type":"reasoning","id":"r","text":"y"}]}"#
    );
}

#[test]
fn nesting_has_no_limit() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let json = format!(
        r#"{{"role":"user","parts":[{{"type":"data-x","data":{deep}}}],"metadata":{deep}}}"#
    );
    assert_eq!(write(&read(&json)).len(), json.len());

    let mut part = r#"{"type":"text","text":"x"}"#.to_owned();
    for _ in 0..3_000 {
        part = format!(r#"{{"type":"steering-message","id":"s","parts":[{part}]}}"#);
    }
    let json = format!(r#"{{"role":"user","parts":[{part}]}}"#);
    assert_eq!(write(&read(&json)), json);
}

#[test]
fn a_message_without_role_or_parts_is_refused() {
    for (json, error) in [
        (r#"{"parts":[]}"#, "missing field `role`"),
        (r#"{"role":"user","content":"hi"}"#, "missing field `parts`"),
        (
            r#"{"role":"user","parts":null}"#,
            "invalid type: null, expected a sequence",
        ),
        ("[]", "invalid type: sequence, expected a UI message"),
    ] {
        let message = serde_json::from_str::<UiMessage>(json)
            .unwrap_err()
            .to_string();
        assert!(message.starts_with(error), "{message}");
    }
}

#[test]
fn a_message_is_built_in_one_expression() {
    let message = UiMessage::user("Hello")
        .with_id("m1")
        .with_part(Part::file("https://example.com/cat.png", "image/png"))
        .with_part(Part::data(
            "place",
            RawJson::from(serde_json::json!({"city": "Bern"})),
        ))
        .with_metadata(RawJson::from(serde_json::json!({"lang": "en"})));
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap());
    assert_eq!(UiMessage::system("Be brief.").role, Role::System);
    assert_eq!(
        UiMessage::assistant("a").with_part(Part::text("b")).text(),
        "ab"
    );
}

#[test]
fn text_states_are_read() {
    let message = read(
        r#"{"role":"assistant","parts":[{"type":"text","text":"","state":"streaming"},{"type":"text","text":"","state":"done"}]}"#,
    );
    let states: Vec<Option<TextState>> = message
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(part) => part.state,
            _ => None,
        })
        .collect();
    assert_eq!(states, [Some(TextState::Streaming), Some(TextState::Done)]);
}

/// Generates any JSON value, with names and words of messages more often than others.
fn any_json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("text"),
        Just("reasoning"),
        Just("tool-x"),
        Just("dynamic-tool"),
        Just("data-y"),
        Just("file"),
        Just("steering-message"),
        Just("step-start"),
        Just("input-streaming"),
        Just("output-error"),
        Just("done"),
        Just("json"),
        Just(r"\ud83d"),
        Just(r"tool-\ud83d"),
        Just(r"\u0074ext"),
        Just(""),
    ];
    let name = prop_oneof![
        Just("type"),
        Just("text"),
        Just("state"),
        Just("id"),
        Just("toolCallId"),
        Just("toolName"),
        Just("input"),
        Just("rawInput"),
        Just("inputEncoding"),
        Just("approval"),
        Just("approved"),
        Just("parts"),
        Just("title"),
        Just("data"),
        Just("mediaType"),
        Just("url"),
        Just("sourceId"),
        Just("providerMetadata"),
        Just(r"\ud83d"),
    ];
    let leaf = prop_oneof![
        4 => word.prop_map(|word| format!("\"{word}\"")),
        1 => prop_oneof![Just("null"), Just("true"), Just("1e999"), Just("-0.10"), Just(" [ ] ")].prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            4 => prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn written_messages_are_read_back_unchanged(parts in prop::collection::vec(any_json(), 0..4), id in any_json()) {
        let json = format!(r#"{{"role":"assistant","id":{id},"parts":[{}]}}"#, parts.join(","));
        let message = read(&json);
        let written = write(&message);
        prop_assert_eq!(&read(&written), &message);
        prop_assert_eq!(write(&read(&written)), written.as_str());
        prop_assert_eq!(canonical(&written), canonical(&json));
    }
}

/// Returns a JSON text as a comparable value: halves of surrogate pairs and numbers become words.
fn canonical(json: &str) -> Value {
    let json = json
        .replace(r"\ud83d", "<half>")
        .replace("1e999", "\"<large>\"");
    serde_json::from_str(&json).unwrap()
}
