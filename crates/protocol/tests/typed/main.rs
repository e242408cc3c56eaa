//! Answers that are read as values, and the repair of one that cannot be.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use twentyfirst_protocol::runs::typed::{Answered, NoValue, TypedQuestion, TypedStep, read_json};
use twentyfirst_protocol::runs::{Outcome, RunEnd, RunRef, StartRun};
use twentyfirst_protocol::{SandboxId, ThreadId};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    bugs: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"bugs": {"type": "integer"}}, "required": ["bugs"]})
}

fn question() -> TypedQuestion<Report> {
    let run = StartRun::new("my-agent", "How many bugs are there?").external_user_id("user-1");
    TypedQuestion::new(run, schema())
}

fn answered(text: &str) -> Answered {
    let run = RunRef::new(
        "my-agent",
        SandboxId::new("sbx_1").unwrap(),
        ThreadId::new("thr_1").unwrap(),
    );
    Answered::new(run, text, Outcome::new(RunEnd::Completed))
}

#[test]
fn odd_answers_are_read_or_refused_by_name() {
    let cases = include_str!("answers.txt");
    let mut seen = 0;
    for case in cases.split("\n=== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.rsplit_once("--- ").unwrap();
        let mut question = question();
        let found = match question.answered(answered(text.trim_end_matches('\n'))) {
            TypedStep::Value(report) => serde_json::to_string(&report).unwrap(),
            TypedStep::Ask(_) => {
                let problem = question.answers()[0].problem.as_ref().unwrap();
                format!("error: {problem}")
            }
            TypedStep::Failed => unreachable!("the first answer is repaired"),
        };
        assert_eq!(found, expected.trim_end(), "{name}");
        seen += 1;
    }
    assert_eq!(seen, cases.matches("\n=== ").count());
    assert!(seen > 30, "{seen}");
}

#[test]
fn values_of_any_type_are_read() {
    assert_eq!(read_json::<Option<u8>>("null").unwrap(), None);
    assert_eq!(read_json::<u8>(" 7\n").unwrap(), 7);
    assert!(read_json::<bool>("```json\ntrue\n```").unwrap());
    assert_eq!(
        read_json::<String>(r#""a {\"b\": 1}""#).unwrap(),
        r#"a {"b": 1}"#
    );
    assert_eq!(read_json::<Vec<u8>>("They are [1, 2].").unwrap(), [1, 2]);
    assert!(matches!(read_json::<u8>("seven"), Err(NoValue::NoJson)));
}

#[test]
fn the_turn_asks_and_the_repair_says_what_was_wrong() {
    let mut question = question();
    let first = question.first();
    insta::assert_snapshot!("first", texts(&first));
    assert_eq!(first.sandbox_id, None);

    let TypedStep::Ask(repair) = question.answered(answered("{\"bugs\": \"two\"}")) else {
        panic!("no repair");
    };
    insta::assert_snapshot!("repair", texts(&repair));
    assert_eq!(repair.sandbox_id.as_ref().unwrap().as_str(), "sbx_1");
    assert_eq!(repair.thread_id.as_ref().unwrap().as_str(), "thr_1");
    assert_eq!(repair.external_user_id.as_deref(), Some("user-1"));

    let TypedStep::Value(report) = question.answered(answered("{\"bugs\": 2}")) else {
        panic!("no value");
    };
    assert_eq!(report.bugs, 2);
    let [first, second] = question.answers() else {
        panic!("{question:?}");
    };
    assert!(first.problem.is_some() && second.problem.is_none());
    assert_eq!(first.text, "{\"bugs\": \"two\"}");
}

#[test]
fn there_is_one_repair_and_no_more() {
    let mut question = question();
    assert!(matches!(
        question.answered(answered("Two.")),
        TypedStep::Ask(_)
    ));
    assert!(matches!(
        question.answered(answered("Two!")),
        TypedStep::Failed
    ));
    let texts: Vec<&str> = question
        .answers()
        .iter()
        .map(|answer| &*answer.text)
        .collect();
    assert_eq!(texts, ["Two.", "Two!"]);
}

#[test]
fn what_was_said_is_not_in_debug_output() {
    let mut question = question();
    let _ = question.answered(answered("my secret"));
    assert!(
        !format!("{question:?}").contains("my secret"),
        "{question:?}"
    );
}

#[test]
fn huge_answers_take_bounded_time() {
    let limit = 8 * 1024 * 1024;
    let too_long = "x".repeat(limit + 1);
    let error = read_json::<Report>(&too_long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer has 8388609 bytes, above the limit of 8388608 bytes for finding JSON in it"
    );
    let begun = Instant::now();
    for unit in [
        "[", "{\"a\":", "[\"", "{", "```a\n", "```\n{\n", "[1,", "{}", "x\n",
    ] {
        let answer = unit.repeat(1024 * 1024 / unit.len());
        assert!(read_json::<Report>(&answer).is_err(), "{unit}");
    }
    // With the square of their length they would take hours.
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );

    let bugs: String = "9".repeat(10);
    let note = "n".repeat(4 * 1024 * 1024);
    let answer = format!("prose\n```json\n{{\"bugs\":{bugs},\"note\":\"{note}\"}}\n```");
    assert_eq!(
        read_json::<Report>(&answer).unwrap().note.unwrap().len(),
        note.len()
    );
}

fn texts(run: &StartRun) -> String {
    let turn = run.messages.as_slice().last().unwrap();
    let texts = turn
        .parts
        .iter()
        .map(|part| serde_json::to_value(part).unwrap());
    let texts: Vec<String> = texts
        .map(|part| part["text"].as_str().unwrap().to_owned())
        .collect();
    // As the relay joins them.
    texts.join("\n")
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // What looks like structure, in strings.
        "[a-z{}\\[\\]\"`~\n\\\\,: ]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
        .prop_map(|members| Value::from(Map::from_iter(members)))
}

fn prose() -> impl Strategy<Value = String> {
    "[A-Za-z0-9 .,;:()'\"\n\r-]{0,60}"
}

proptest! {
    #[test]
    fn a_value_in_a_fence_is_read_whatever_stands_around_it(
        value in value(),
        [before, after] in [prose(), prose()],
        (is_pretty, ends, mark) in (any::<bool>(), any::<bool>(), prop::sample::select(vec!["```", "````", "~~~"])),
    ) {
        let json = match is_pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let end = if ends { mark } else { "" };
        let answer = format!("{before}\n{mark}json\n{json}\n{end}\n");
        prop_assert_eq!(&read_json::<Value>(&answer).unwrap(), &value);
        let answer = format!("x{before}\r\n{mark}json\r\n{json}\r\n{mark}\r\n{after}");
        prop_assert_eq!(&read_json::<Value>(&answer).unwrap(), &value);
    }

    #[test]
    fn an_object_within_prose_is_read(value in object(value()), [before, after] in [prose(), prose()]) {
        let answer = format!("x{before}{value}{after}");
        prop_assert_eq!(read_json::<Value>(&answer).unwrap(), value);
    }

    #[test]
    fn whatever_an_agent_says_there_is_a_value_or_an_error(answer in "([{}\\[\\]\",:`~\n a1]|```json\n|~~~|\u{feff}|é|\\PC){0,80}") {
        let typed = read_json::<Value>(&answer);
        let text = read_json::<String>(&answer);
        // What fits a string fits any value.
        prop_assert!(text.is_err() || typed.is_ok());
        let mut question = question();
        if let TypedStep::Value(report) = question.answered(answered(&answer)) {
            prop_assert!(answer.contains(&report.bugs.to_string()));
        }
    }
}

#[test]
fn a_run_that_did_not_complete_is_among_the_answers() {
    let mut question = question();
    question.note(answered("It began"));
    assert_eq!(question.into_answers()[0].text, "It began");
}
