//! The work of an assembler with a stream, and the changes that it reports.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use twentyfirst_protocol::ui::chunk::{TextDelta, ToolInputDelta, ToolInputStart};
use twentyfirst_protocol::ui::{
    AssembleError, Assembler, Change, Chunk, Part, PartialJson, RawJson, Text, ToolState, UiMessage,
};

fn chunk(value: serde_json::Value) -> Chunk<'static> {
    Chunk::decode(&value.to_string()).unwrap().into_owned()
}

fn apply_all(assembler: &mut Assembler, chunks: &[serde_json::Value]) {
    for value in chunks {
        assembler.apply(&chunk(value.clone())).unwrap();
    }
}

fn pretty(message: &UiMessage) -> String {
    serde_json::to_string_pretty(message).unwrap()
}

#[test]
fn a_run_with_a_tool_reports_its_changes() {
    let mut assembler = Assembler::new();
    let mut story = String::new();
    for value in [
        json!({"type": "start", "messageId": "m1"}),
        json!({"type": "start-step"}),
        json!({"type": "reasoning-start", "id": "r"}),
        json!({"type": "reasoning-delta", "id": "r", "delta": "I should look."}),
        json!({"type": "reasoning-end", "id": "r", "providerMetadata": {"p": {"signature": "s"}}}),
        json!({"type": "tool-input-start", "toolCallId": "c", "toolName": "bash", "title": "Look"}),
        json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{\"command\":"}),
        json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": " \"ls\"}"}),
        json!({"type": "tool-input-available", "toolCallId": "c", "toolName": "bash", "input": {"command": "ls"}}),
        json!({"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"}),
        json!({"type": "tool-approval-response", "approvalId": "a", "approved": true}),
        json!({"type": "tool-output-available", "toolCallId": "c", "output": "a.txt\n"}),
        json!({"type": "finish-step"}),
        json!({"type": "start-step"}),
        json!({"type": "text-start", "id": "t"}),
        json!({"type": "text-delta", "id": "t", "delta": "One "}),
        json!({"type": "text-delta", "id": "t", "delta": "file."}),
        json!({"type": "reset-step"}),
        json!({"type": "text-start", "id": "t"}),
        json!({"type": "text-delta", "id": "t", "delta": "There is one file."}),
        json!({"type": "text-end", "id": "t"}),
        json!({"type": "data-progress", "id": "p", "data": {"percent": 50}}),
        json!({"type": "data-progress", "id": "p", "data": {"percent": 100}}),
        json!({"type": "data-note", "data": "seen once", "transient": true}),
        json!({"type": "error", "errorText": "out of credit"}),
        json!({"type": "abort"}),
        json!({"type": "tomorrow", "x": 1}),
        json!({"type": "finish", "messageMetadata": {"tokens": 7}}),
    ] {
        let chunk = chunk(value);
        let change = assembler.apply(&chunk).unwrap();
        writeln!(story, "{} → {change:?}", chunk.kind()).unwrap();
    }
    insta::assert_snapshot!("a_run_with_a_tool_changes", story);
    insta::assert_snapshot!("a_run_with_a_tool_message", pretty(assembler.message()));
}

#[test]
fn a_tool_call_can_be_looked_at_while_its_input_streams() {
    let mut assembler = Assembler::new();
    apply_all(
        &mut assembler,
        &[json!({"type": "tool-input-start", "toolCallId": "c", "toolName": "write"})],
    );
    assert_eq!(assembler.message().tool_call("c").unwrap().input, None);
    for (delta, input) in [
        ("{", Some("{}")),
        ("\"path\": \"a", Some(r#"{"path": "a"}"#)),
        (".rs\", \"mode\": 6", Some(r#"{"path": "a.rs", "mode": 6}"#)),
        ("x, \"b\": 1", None),
    ] {
        apply_all(
            &mut assembler,
            &[json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": delta})],
        );
        let call = assembler.message().tool_call("c").unwrap();
        assert_eq!(call.input.as_ref().map(RawJson::get), input, "{delta}");
        assert!(
            call.raw_input
                .as_ref()
                .unwrap()
                .to_string_lossy()
                .ends_with(delta)
        );
    }
}

#[test]
fn an_error_leaves_the_message_unchanged() {
    let mut assembler = Assembler::new();
    apply_all(
        &mut assembler,
        &[
            json!({"type": "start", "messageId": "m", "messageMetadata": "words"}),
            json!({"type": "text-start", "id": "t"}),
        ],
    );
    let before = assembler.message().clone();
    for (value, expected) in [
        (
            json!({"type": "text-delta", "id": "x", "delta": "a"}),
            r#"Received text-delta for missing text part with ID "x". Ensure a "text-start" chunk is sent before any "text-delta" chunks."#,
        ),
        (
            json!({"type": "reasoning-end", "id": "t"}),
            r#"Received reasoning-end for missing reasoning part with ID "t". Ensure a "reasoning-start" chunk is sent before any "reasoning-end" chunks."#,
        ),
        (
            json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{"}),
            r#"Received tool-input-delta for missing tool call with ID "c". Ensure a "tool-input-start" chunk is sent before any "tool-input-delta" chunks."#,
        ),
        (
            json!({"type": "tool-output-available", "toolCallId": "c", "output": 1}),
            r#"No tool invocation found for tool call ID "c"."#,
        ),
        (
            json!({"type": "tool-approval-response", "approvalId": "a", "approved": true}),
            r#"No tool invocation found for approval ID "a"."#,
        ),
        (
            json!({"type": "message-metadata", "messageMetadata": {"a": 1}}),
            "metadata cannot be merged into a value that is not an object",
        ),
    ] {
        assert_eq!(
            assembler.apply(&chunk(value)).unwrap_err().to_string(),
            expected
        );
        assert_eq!(assembler.message(), &before);
    }
    apply_all(
        &mut assembler,
        &[json!({"type": "text-delta", "id": "t", "delta": "more text"})],
    );
    assert_eq!(assembler.message().text(), "more text");
}

#[test]
fn an_error_with_a_long_id_is_short() {
    let mut assembler = Assembler::new();
    let error = assembler
        .apply(&TextDelta::new("ж".repeat(100_000), "a").into())
        .unwrap_err();
    assert!(error.to_string().len() < 1_000);
}

#[test]
fn a_stream_joined_in_the_middle_can_be_shown() {
    let mut assembler = Assembler::new().lenient(true);
    let delta = chunk(json!({"type": "text-delta", "id": "t", "delta": "…and so "}));
    assert_eq!(assembler.apply(&delta), Ok(Change::Added { first: 0 }));
    apply_all(
        &mut assembler,
        &[
            json!({"type": "text-delta", "id": "t", "delta": "on."}),
            json!({"type": "text-end", "id": "t"}),
            json!({"type": "reasoning-delta", "id": "r", "delta": "Hm.", "providerMetadata": {"p": {}}}),
            json!({"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": "ls\"}"}),
            json!({"type": "tool-input-available", "toolCallId": "c1", "toolName": "bash", "input": {"command": "ls"}}),
            json!({"type": "tool-input-delta", "toolCallId": "c2", "inputTextDelta": "1]"}),
            json!({"type": "tool-input-available", "toolCallId": "c2", "toolName": "mcp", "input": [1], "dynamic": true}),
            json!({"type": "tool-output-available", "toolCallId": "c2", "output": 2}),
            json!({"type": "tool-input-delta", "toolCallId": "c3", "inputTextDelta": "[1"}),
        ],
    );
    insta::assert_snapshot!(pretty(assembler.message()));

    // A part that has ended is not opened again, and only a delta opens one.
    let before = assembler.message().clone();
    for value in [
        json!({"type": "text-end", "id": "t"}),
        json!({"type": "tool-output-available", "toolCallId": "c4", "output": 2}),
    ] {
        assembler.apply(&chunk(value)).unwrap_err();
    }
    assert_eq!(assembler.message(), &before);
}

#[test]
fn a_call_with_a_complete_input_is_not_opened_by_a_delta() {
    let message: UiMessage = serde_json::from_value(json!({
        "role": "assistant",
        "parts": [{"type": "tool-run", "toolCallId": "c", "state": "input-available", "input": {"a": 1}}],
    }))
    .unwrap();
    let mut assembler = Assembler::continuing(message.clone()).lenient(true);
    assembler
        .apply(&ToolInputDelta::new("c", "x").into())
        .unwrap_err();
    assert_eq!(assembler.message(), &message);
}

#[test]
fn a_broken_run_continues_from_the_stored_message() {
    let mut first = Assembler::new();
    apply_all(
        &mut first,
        &[
            json!({"type": "start", "messageId": "m", "messageMetadata": {"a": {"b": 1}}}),
            json!({"type": "start-step"}),
            json!({"type": "tool-input-start", "toolCallId": "c", "toolName": "bash"}),
            json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{\"command\": \"l"}),
        ],
    );
    let stored = serde_json::to_string(&first.into_message()).unwrap();

    let mut second = Assembler::continuing(serde_json::from_str(&stored).unwrap());
    assert!(!second.has_shown());
    apply_all(
        &mut second,
        &[
            json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "s\"}"}),
            json!({"type": "message-metadata", "messageMetadata": {"a": {"c": 2}}}),
        ],
    );
    assert!(second.has_shown());
    let message = second.into_message();
    let call = message.tool_call("c").unwrap();
    assert_eq!(call.state, ToolState::InputStreaming);
    assert_eq!(call.input.as_ref().unwrap().get(), r#"{"command": "ls"}"#);
    assert_eq!(message.metadata.unwrap().get(), r#"{"a":{"b":1,"c":2}}"#);
}

#[test]
fn half_a_character_waits_for_the_other() {
    let mut assembler = Assembler::new();
    let halves = [
        Text::from_code_units(&[0x61, 0xd83d]),
        Text::from_code_units(&[0xde00]),
    ];
    apply_all(&mut assembler, &[json!({"type": "text-start", "id": "t"})]);

    let first = TextDelta::new("t", halves[0].clone()).into();
    assert_eq!(assembler.apply(&first), Ok(Change::Changed { part: 0 }));
    assert_eq!(assembler.message().text(), "a\u{fffd}");
    let second = TextDelta::new("t", halves[1].clone()).into();
    assert_eq!(assembler.apply(&second), Ok(Change::Changed { part: 0 }));
    assert_eq!(assembler.message().text(), "a😀");
}

#[test]
fn the_limit_holds_for_everything_that_can_grow() {
    let long = "x".repeat(1_000);
    let metadata = json!({"p": {"k": long}});
    for (name, start, more) in [
        (
            "text",
            json!({"type": "text-start", "id": "t"}),
            json!({"type": "text-delta", "id": "t", "delta": long}),
        ),
        (
            "texts",
            json!({"type": "start"}),
            json!({"type": "text-start", "id": "t", "providerMetadata": metadata}),
        ),
        (
            "input",
            json!({"type": "tool-input-start", "toolCallId": "c", "toolName": "n"}),
            json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": long}),
        ),
        (
            "deep input",
            json!({"type": "tool-input-start", "toolCallId": "c", "toolName": "n"}),
            json!({"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "[".repeat(200)}),
        ),
        (
            "data",
            json!({"type": "start"}),
            json!({"type": "data-x", "data": long}),
        ),
        (
            "files",
            json!({"type": "start"}),
            json!({"type": "file", "url": long, "mediaType": "text/plain"}),
        ),
        (
            "steps",
            json!({"type": "start"}),
            json!({"type": "start-step"}),
        ),
    ] {
        let limit = 100_000;
        let mut assembler = Assembler::new().with_limit(limit);
        apply_all(&mut assembler, &[start]);
        let more = chunk(more);
        let mut applied = 0;
        let error = loop {
            match assembler.apply(&more) {
                Ok(_) => applied += 1,
                Err(error) => break error,
            }
            assert!(assembler.size() <= limit, "{name}");
            assert!(applied < 10_000, "{name}");
        };
        assert_eq!(error, AssembleError::TooLarge { limit }, "{name}");
        assert!(applied > 5, "{name}: {applied}");
        assert!(assembler.size() <= limit, "{name}");
        let size = assembler.size();
        assembler.message();
        assert_eq!(assembler.size(), size, "{name}");
    }
}

#[test]
fn replaced_data_does_not_count_towards_the_limit() {
    let long = "x".repeat(10_000);
    let mut assembler = Assembler::new().with_limit(300_000);
    apply_all(
        &mut assembler,
        &[json!({"type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {}})],
    );
    for n in 0..1_000 {
        apply_all(
            &mut assembler,
            &[
                json!({"type": "tool-output-available", "toolCallId": "c", "output": [n, long], "preliminary": true}),
                json!({"type": "data-x", "id": "d", "data": [n, long]}),
                json!({"type": "message-metadata", "messageMetadata": {"n": {"m": [n, long]}}}),
                json!({"type": "tool-input-start", "toolCallId": "e", "toolName": "n"}),
                json!({"type": "tool-input-delta", "toolCallId": "e", "inputTextDelta": long}),
                json!({"type": "tool-input-available", "toolCallId": "e", "toolName": "n", "input": n}),
            ],
        );
    }
    assert_eq!(assembler.message().parts.len(), 3);
}

#[test]
fn metadata_that_is_nested_too_deeply_is_refused() {
    let deep = |depth: usize| {
        let json = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        Chunk::decode(&format!(
            r#"{{"type":"message-metadata","messageMetadata":{json}}}"#
        ))
        .unwrap()
        .into_owned()
    };
    let mut assembler = Assembler::new();
    assembler
        .apply(&deep(Assembler::MAX_METADATA_DEPTH))
        .unwrap();
    assembler
        .apply(&deep(Assembler::MAX_METADATA_DEPTH))
        .unwrap();
    let before = assembler.message().clone();
    assert_eq!(
        assembler.apply(&deep(100_000)),
        Err(AssembleError::MetadataTooDeep)
    );
    assert_eq!(assembler.message(), &before);
}

/// Quadratic work would take many minutes.
#[test]
fn a_large_input_in_many_deltas_takes_linear_time() {
    let began = Instant::now();
    let mut assembler = Assembler::new();
    assembler
        .apply(&ToolInputStart::new("c", "write").into())
        .unwrap();
    let line = r#"{"path": "src/main.rs", "lines": [1, 2.5, true, "a \"quoted\" word"]}, "#;
    let mut whole = String::from("[");
    assembler
        .apply(&ToolInputDelta::new("c", "[").into())
        .unwrap();
    for _ in 0..4 * 1024 * 1024 / line.len() {
        whole.push_str(line);
        for piece in [&line[..20], &line[20..]] {
            assembler
                .apply(&ToolInputDelta::new("c", piece).into())
                .unwrap();
        }
    }
    let message = assembler.message();
    let Part::Tool(part) = &message.parts[0] else {
        panic!("not a tool call")
    };
    assert_eq!(part.raw_input.as_ref().unwrap(), &*whole);
    let expected = format!("{}]", whole.trim_end_matches(", "));
    assert_eq!(part.input.as_ref().unwrap().get(), expected);
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn partial_json_reports_completeness() {
    let mut document = PartialJson::from("[1, 2");
    assert!(!document.is_complete());
    document.push("]");
    assert!(document.is_complete());
    document.push("]");
    assert!(!document.is_complete());
    assert_eq!(document.value().unwrap().get(), "[1, 2]");
    assert_eq!(document.into_text(), "[1, 2]]");
}

#[test]
fn partial_json_may_be_nested_without_limit() {
    let depth = 1_000_000;
    let document = PartialJson::from(&*"[".repeat(depth));
    let value = document.value().unwrap();
    assert_eq!(value.get().len(), 2 * depth);
    assert_eq!(RawJson::parse(value.get()), Ok(value.clone()));
}

#[test]
fn an_input_with_a_forbidden_key_has_no_value() {
    for (text, value) in [
        (r#"{"a": 1, "__proto__"#, Some(r#"{"a": 1}"#)),
        (r#"{"a": 1, "__proto__": "#, Some(r#"{"a": 1}"#)),
        (r#"{"a": 1, "__proto__": 2"#, None),
        (r#"{"constructor": {"prototype": 1"#, None),
        (
            r#"{"constructor": [{"prototype": 1"#,
            Some(r#"{"constructor": [{"prototype": 1}]}"#),
        ),
        (
            r#"{"a": {"\u005f_proto__": 1}, "a": 2"#,
            Some(r#"{"a": {"\u005f_proto__": 1}, "a": 2}"#),
        ),
    ] {
        let read = PartialJson::from(text).value();
        assert_eq!(read.as_ref().map(RawJson::get), value, "{text}");
    }
}
