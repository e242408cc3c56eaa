//! Typed views of tool calls: their fields, and the JSON that they do not lose.

use proptest::prelude::*;
use serde_json::{Value, json};
use twentyfirst_protocol::ui::chunk::ToolInputAvailable;
use twentyfirst_protocol::ui::tools::{Bash, TodoStatus, Tool, ToolOutput};
use twentyfirst_protocol::ui::{Chunk, RawJson, ToolPart, ToolState};

fn part(name: &str, input: &Value) -> ToolPart {
    let mut part = ToolPart::new(name.to_owned(), "c1", ToolState::InputAvailable);
    part.input = Some(input.into());
    part
}

fn chunk(name: &str, input: &Value) -> ToolInputAvailable<'static> {
    ToolInputAvailable::new("c1", name.to_owned()).input(RawJson::from(input))
}

/// Returns an input of each tool with all known members, as Claude Code documents them.
fn inputs() -> [(&'static str, Value); 9] {
    [
        (
            "Bash",
            json!({"command": "npm test", "description": "Runs the tests", "timeout": 120_000, "run_in_background": false}),
        ),
        (
            "Read",
            json!({"file_path": "/src/main.rs", "offset": 10, "limit": 20}),
        ),
        (
            "Write",
            json!({"file_path": "/src/main.rs", "content": "fn main() {}\n"}),
        ),
        (
            "Edit",
            json!({"file_path": "/src/main.rs", "old_string": "a", "new_string": "b", "replace_all": true}),
        ),
        ("Glob", json!({"pattern": "**/*.rs", "path": "/src"})),
        (
            "Grep",
            json!({"pattern": "fn .*", "path": "/src", "glob": "*.rs", "type": "rust", "output_mode": "content", "head_limit": 5,
            "multiline": false, "-i": true, "-n": true, "-A": 1, "-B": 2, "-C": 3}),
        ),
        (
            "WebFetch",
            json!({"url": "https://example.org/", "prompt": "What is it?"}),
        ),
        (
            "Task",
            json!({"prompt": "go", "description": "Explores", "subagent_type": "explore"}),
        ),
        (
            "TodoWrite",
            json!({"todos": [
            {"content": "Test", "status": "in_progress", "activeForm": "Testing"},
            {"content": "Ship", "status": "waiting", "id": "2"}]}),
        ),
    ]
}

#[test]
fn every_usual_tool_has_a_view_equal_to_its_input() {
    for (name, input) in inputs() {
        let view = Tool::of(&part(name, &input));
        assert!(!matches!(view, Tool::Other { .. }), "{name}");
        assert_eq!(view.name(), name);
        assert_eq!(Tool::of_chunk(&chunk(name, &input)), view, "{name}");
        assert_eq!(serde_json::to_value(&view).unwrap(), input, "{name}");
        // All members have a field, except for the `id` in the to-do list.
        let debug = format!("{view:?}");
        assert!(debug.contains("other: {}"), "{debug}");
        assert_eq!(
            debug.matches("other: {\"").count(),
            usize::from(name == "TodoWrite"),
            "{debug}"
        );
    }
}

#[test]
fn views_have_typed_fields() {
    let [(_, bash), .., (_, todos)] = inputs();
    let Tool::Bash(bash) = Tool::of(&part("Bash", &bash)) else {
        panic!("{bash}");
    };
    assert_eq!(
        (bash.command.as_str(), bash.timeout),
        (Some("npm test"), Some(120_000))
    );
    let Tool::TodoWrite(list) = Tool::of(&part("TodoWrite", &todos)) else {
        panic!("{todos}");
    };
    assert_eq!(list.todos[0].status, TodoStatus::InProgress);
    assert_eq!(list.todos[1].status, TodoStatus::Unknown("waiting".into()));
    assert_eq!(list.todos[1].other.get("id").unwrap().get(), r#""2""#);
    let bash: Bash = serde_json::from_str(r#"{"command":"ls"}"#).unwrap();
    assert_eq!(bash.command, "ls");
    let error = serde_json::from_str::<Bash>("{}").unwrap_err();
    assert!(
        error.to_string().starts_with("not the JSON of `Bash`"),
        "{error}"
    );
}

#[test]
fn mismatching_values_are_kept_without_an_error() {
    let odd =
        json!({"command": "ls", "timeout": "soon", "description": null, "sandbox": {"a": [1]}});
    let Tool::Bash(bash) = Tool::of(&part("Bash", &odd)) else {
        panic!("{odd}");
    };
    assert_eq!((bash.timeout, bash.description.as_ref()), (None, None));
    assert_eq!(bash.other.get("timeout").unwrap().get(), r#""soon""#);
    assert_eq!(serde_json::to_value(&bash).unwrap(), odd);

    // Without a required member, of another type (as when the model's JSON was broken), or of an unknown tool.
    for (name, input) in [
        ("Bash", json!({"timeout": 5})),
        ("Bash", json!({"command": 5})),
        ("Bash", json!("{\"command\": \"ls")),
        ("Bash", json!(null)),
        (
            "TodoWrite",
            json!({"todos": [{"content": "x", "status": "pending"}, 5]}),
        ),
        ("mcp__github__search", json!({"query": "x"})),
        ("bash", json!({"command": "ls"})),
    ] {
        let view = Tool::of(&part(name, &input));
        let Tool::Other {
            name: other,
            input: raw,
            ..
        } = &view
        else {
            panic!("{name}: {view:?}");
        };
        assert_eq!(
            (other.as_str(), raw),
            (Some(name), &Some(RawJson::from(&input)))
        );
    }
    let nothing = ToolPart::new("Bash", "c1", ToolState::InputStreaming);
    assert!(matches!(
        Tool::of(&nothing),
        Tool::Other { input: None, .. }
    ));
}

#[test]
fn outputs_return_their_text_if_they_have_one() {
    let text = |output: Value| ToolOutput::view(&RawJson::from(&output)).text();
    assert_eq!(text(json!("out\n")).as_deref(), Some("out\n"));
    let blocks = json!([{"type": "text", "text": "a"}, {"type": "image", "source": {}}, {"type": "text", "text": "b"}]);
    assert_eq!(text(blocks).as_deref(), Some("a\nb"));
    let command = json!({"exitCode": 1, "stdout": "out", "stderr": "err\n"});
    assert_eq!(text(command.clone()).as_deref(), Some("out\nerr\n"));
    let ToolOutput::Command(output) = ToolOutput::view(&RawJson::from(&command)) else {
        panic!("{command}");
    };
    assert_eq!(output.exit_code, Some(1));
    for none in [
        json!(null),
        json!([]),
        json!({"items": 3}),
        json!(7),
        json!([{"type": "image"}]),
    ] {
        assert_eq!(text(none.clone()), None, "{none}");
    }
}

/// The tool calls in the recorded runs of the relay.
#[test]
fn recorded_calls_are_viewed() {
    let (mut views, mut outputs) = (Vec::new(), 0);
    for chunk in include_str!("data/recordings/relay-streams.jsonl")
        .split("data: ")
        .filter_map(|event| event.split("\\n\\n").next())
    {
        let json = chunk.replace("\\\"", "\"").replace("\\\\", "\\");
        match Chunk::decode(&json) {
            Ok(Chunk::ToolInputAvailable(call)) => views.push(Tool::of_chunk(&call)),
            Ok(Chunk::ToolOutputAvailable(chunk)) => {
                let output = chunk.output.unwrap().into_owned();
                assert!(ToolOutput::view(&output).text().is_some(), "{output}");
                outputs += 1;
            }
            _ => {}
        }
    }
    let count = |is: fn(&Tool) -> bool| views.iter().filter(|view| is(view)).count();
    assert!(
        count(|view| matches!(view, Tool::Bash(_))) >= 4,
        "{views:?}"
    );
    assert!(
        count(|view| matches!(view, Tool::Task(_))) >= 1,
        "{views:?}"
    );
    assert!(
        count(|view| matches!(view, Tool::Grep(_))) >= 1,
        "{views:?}"
    );
    // A string that was meant to be JSON, and an unknown tool.
    assert!(
        count(|view| matches!(view, Tool::Other { .. })) >= 2,
        "{views:?}"
    );
    assert!(outputs >= 5, "{outputs}");
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        prop::sample::select(vec!["5.0", "1e400", "-0", "18446744073709551616", "5E0"])
            .prop_map(str::to_owned),
        "\\PC{0,8}".prop_map(|text| json!(text).to_string()),
        prop::sample::select(vec!["pending", "completed", "done"])
            .prop_map(|text| json!(text).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop::sample::select(vec!["content", "status", "activeForm", "text", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|members| object(members.into_iter())),
        ]
    })
}

fn object(members: impl Iterator<Item = (&'static str, String)>) -> String {
    let members: Vec<String> = members
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", members.join(", "))
}

/// Returns a value with its members sorted and every digit kept, which a `Value` would not do.
fn canonical(json: &str) -> String {
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    if let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json) {
        let members = members
            .iter()
            .map(|(name, value)| format!("{name:?}:{}", canonical(value.get())));
        return format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    }
    if let Ok(items) = serde_json::from_str::<Vec<Box<RawValue>>>(json) {
        let items = items.iter().map(|item| canonical(item.get()));
        return format!("[{}]", items.collect::<Vec<_>>().join(","));
    }
    serde_json::from_str::<String>(json)
        .map_or_else(|_| json.to_owned(), |text| format!("{text:?}"))
}

proptest! {
    #[test]
    fn a_view_serializes_to_its_original_json(
        tool in 0..9_usize,
        changes in prop::collection::vec((0..20_usize, prop::option::of(value())), 0..6),
        unknown in prop::collection::btree_map(prop::sample::select(vec!["a", "b", "exitCode"]), value(), 0..3),
    ) {
        let (name, input) = inputs()[tool].clone();
        // Members unchanged, changed, and omitted.
        let mut members: Vec<(String, String)> =
            input.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        for (at, change) in changes {
            let at = at % (members.len().max(1));
            match change {
                Some(value) if !members.is_empty() => members[at].1 = value,
                None if !members.is_empty() => drop(members.remove(at)),
                _ => {}
            }
        }
        members.extend(unknown.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let text = format!("{{{}}}", members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(","));
        let mut part = ToolPart::new(name, "c1", ToolState::InputAvailable);
        part.input = Some(RawJson::parse(text.clone()).unwrap());
        let written = serde_json::to_string(&Tool::of(&part)).unwrap();
        prop_assert_eq!(canonical(&written), canonical(&text));
    }

    #[test]
    fn an_output_serializes_to_its_original_json(text in value()) {
        let raw = RawJson::parse(text).unwrap();
        let output = ToolOutput::view(&raw);
        output.text();
        let written = serde_json::to_string(&output).unwrap();
        prop_assert_eq!(canonical(&written), canonical(raw.get()));
    }
}
