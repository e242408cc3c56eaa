//! Compares another stream with what was delivered: repeated chunks are not delivered twice, and new ones are not lost.

use serde_json::{Value, json};
use twentyfirst_protocol::runs::{FollowPolicy, MessageState};
use twentyfirst_protocol::ui::Chunk;

use crate::followed::Followed;
use crate::lines::{Line, line};
use crate::relay::{Relay, secs};
use crate::stored::{answer, text};

/// Follows a run whose first stream delivered `begun` before it was cut, and whose next stream says the rest. `answer` is stored
/// at the end.
fn resumed(
    begun: impl IntoIterator<Item = Vec<Line>>,
    says: impl IntoIterator<Item = Vec<Line>>,
    answer: Value,
) -> Followed {
    let first = [line::start("m1")].into_iter().chain(begun);
    let second = [line::start("m2")].into_iter().chain(says);
    Relay::streams(first.chain([line::cut()]))
        .then_streams(second)
        .at(secs(30), move |relay| relay.complete_with(answer))
        .read(FollowPolicy::live())
}

/// Returns the last lines of every run.
fn end() -> Vec<Line> {
    [line::finish(), line::says_done()].concat()
}

fn tool(id: &str, output: Value) -> Value {
    json!({
        "type": "tool-Bash",
        "toolCallId": id,
        "state": "output-available",
        "input": {"command": "ls"},
        "output": output,
    })
}

#[test]
fn a_stream_that_differs_after_a_common_beginning_has_joined_in_the_middle() {
    // The text occurs twice in one answer, so the end of the new one differs from the end of the old.
    let followed = resumed(
        [line::open_text(
            "t1",
            "Once upon a time there was sand. And ",
        )],
        [line::text("x1", "Once upon a time there was a box."), end()],
        line::answer(
            "m1",
            &["Once upon a time there was sand. And so on. Once upon a time there was a box."],
        ),
    );
    assert_eq!(
        followed.pieces()[..2],
        [
            "Once upon a time there was sand. And ",
            "Once upon a time there was a box."
        ]
    );
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn a_text_that_continues_after_its_end_is_another_text() {
    let followed = resumed(
        [
            line::text("t1", "It was far away."),
            line::open_text("t2", "And "),
        ],
        [
            line::text("x1", "It was far away. Or was it?"),
            line::text("x2", "And then "),
            end(),
        ],
        line::answer(
            "m1",
            &[
                "It was far away.",
                "And it was not. It was far away. Or was it?",
                "And then ",
            ],
        ),
    );
    assert!(followed.outline().contains("gap"), "{}", followed.outline());
    assert!(
        followed.text().contains("It was far away. Or was it?"),
        "{:?}",
        followed.pieces()
    );
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn an_input_continues_in_the_middle_of_a_delta() {
    let input = |delta: &str| {
        line::chunks([
            json!({"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": delta}),
        ])
    };
    let start = || {
        line::chunks([json!({"type": "tool-input-start", "toolCallId": "c1", "toolName": "Bash"})])
    };
    let followed = resumed(
        [start(), input("{\"command\":"), input(" \"l")],
        [
            start(),
            input("{\"command\": \"ls -l"),
            input("a\"}"),
            line::chunks([
                json!({"type": "tool-input-available", "toolCallId": "c1", "toolName": "Bash", "input": {"command": "ls -la"}}),
            ]),
            line::output("c1", &json!("sand")),
            end(),
        ],
        answer([json!({
            "type": "tool-Bash",
            "toolCallId": "c1",
            "state": "output-available",
            "input": {"command": "ls -la"},
            "output": "sand",
        })]),
    );
    let deltas = followed.events.iter().filter_map(|(_, event)| match event {
        twentyfirst_protocol::runs::RunEvent::Chunk(Chunk::ToolInputDelta(delta)) => {
            Some(delta.input_text_delta.to_string_lossy().into_owned())
        }
        _ => None,
    });
    assert_eq!(deltas.collect::<String>(), "{\"command\": \"ls -la\"}");
    assert!(
        !followed.outline().contains("gap"),
        "{}",
        followed.outline()
    );
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn replaced_outputs_need_not_be_repeated() {
    let preliminary = |output: &str| {
        line::chunks([
            json!({"type": "tool-output-available", "toolCallId": "c1", "output": output, "preliminary": true}),
        ])
    };
    let call = || line::call("c1", "Bash", &json!({"command": "ls"}));
    for (is_over, again) in [(true, 1), (true, 5), (false, 1)] {
        let output = || match is_over {
            true => line::output("c1", &json!("sand and a box")),
            false => Vec::new(),
        };
        let followed = resumed(
            [
                call(),
                preliminary("sand"),
                preliminary("sand and"),
                output(),
                line::open_text("t1", "There is "),
            ],
            [
                call(),
                vec![preliminary("sand and"); again].concat(),
                line::output("c1", &json!("sand and a box")),
                line::text("x1", "There is a box."),
                end(),
            ],
            answer([tool("c1", json!("sand and a box")), text("There is a box.")]),
        );
        assert_eq!(followed.text(), "There is a box.", "{is_over}");
        assert!(
            !followed.outline().contains("gap"),
            "{}",
            followed.outline()
        );
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn a_replay_longer_than_the_buffer_is_followed_as_any_other() {
    let long: Vec<String> = (0..20)
        .map(|number| format!("{number}{}", "x".repeat(64 * 1024)))
        .collect();
    let long = long.join(" ");
    for is_first_of_two in [false, true] {
        let followed = resumed(
            [line::text("t1", &long), line::open_text("t2", "And ")],
            [
                line::text("x1", &long),
                match is_first_of_two {
                    // A part that was written in parallel precedes the known ones.
                    true => line::call("c1", "Bash", &json!({"command": "ls"})),
                    false => Vec::new(),
                },
                line::text("x2", "And so on."),
                match is_first_of_two {
                    true => line::output("c1", &json!("sand")),
                    false => Vec::new(),
                },
                end(),
            ],
            answer(
                [text(&long), text("And so on.")]
                    .into_iter()
                    .chain(is_first_of_two.then(|| tool("c1", json!("sand")))),
            ),
        );
        assert_eq!(followed.text().len(), long.len() + "And so on.".len());
        assert_eq!(
            followed.outline(),
            "start, chunks, cut, resumed, chunks, finish"
        );
        let calls = followed
            .message
            .parts
            .iter()
            .filter(|part| part.as_tool().is_some());
        assert_eq!(calls.count(), usize::from(is_first_of_two));
    }
}

#[test]
fn a_replay_longer_than_the_buffer_that_differs_at_the_end_is_given_up() {
    let long = "sand ".repeat(240_000);
    let whole = format!("{long}and a box.");
    let followed = resumed(
        [line::chunks([
            json!({"type": "text-start", "id": "t1"}),
            json!({"type": "text-delta", "id": "t1", "delta": long}),
            json!({"type": "text-delta", "id": "t1", "delta": "and a "}),
        ])],
        [
            line::chunks([
                json!({"type": "text-start", "id": "x1"}),
                json!({"type": "text-delta", "id": "x1", "delta": long}),
                json!({"type": "text-delta", "id": "x1", "delta": "or "}),
                json!({"type": "text-delta", "id": "x1", "delta": "something else."}),
            ]),
            end(),
        ],
        line::answer("m1", &[&whole]),
    );
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert!(
        followed.text() == whole,
        "nothing of it comes, and nothing twice"
    );
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn a_verified_stream_may_be_longer_than_the_limit_for_unverified_ones() {
    // 4 times 4.5 MiB, with a limit of 16 MiB.
    let long = "x".repeat(4608 * 1024);
    let delta = json!({"type": "text-delta", "id": "t1", "delta": long});
    let followed = Relay::streams([
        line::start("m1"),
        line::chunks([json!({"type": "text-start", "id": "t1"})]),
        line::chunks(std::iter::repeat_n(delta, 4)),
        end(),
    ])
    .read(FollowPolicy::wait());
    assert_eq!(followed.text().len(), 4 * long.len());
    assert_eq!(followed.outline(), "start, chunks, finish");
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn half_a_character_at_the_end_of_a_replay_is_delivered() {
    let followed = resumed(
        [line::open_text("t1", "Once upon a time there was ")],
        [
            line::open_text("x1", "Once upon a time there was a box "),
            line::half("x1"),
            line::error("overloaded"),
        ],
        line::answer("m9", &[]),
    );
    assert_eq!(followed.text(), "Once upon a time there was a box \u{fffd}");
    assert_eq!(followed.failure(), "overloaded");
}

#[test]
fn an_invalid_event_leaves_a_gap_in_a_replay() {
    let followed = resumed(
        [line::open_text("t1", "Once upon a time there was ")],
        [
            line::open_text("x1", "Once upon a time there was a box "),
            vec![Line::Says("{".to_owned())],
            line::text("x2", "Bye."),
            end(),
        ],
        line::answer("m1", &["Once upon a time there was a box of sand.", "Bye."]),
    );
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, not a chunk, gap, chunks, finish"
    );
    assert_eq!(followed.relay.count("resume"), 1);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn after_a_gap_data_is_delivered_again_only_with_another_value() {
    let data = |id: &str, value: u32| json!({"type": "data-progress", "id": id, "data": value});
    for (stored, comes) in [(1, 0), (2, 1)] {
        let followed = resumed(
            [
                line::chunks([data("d1", 1), data("d2", 7)]),
                line::open_text("t1", "Once upon a time "),
            ],
            [line::open_text("x1", "a box of "), line::cut()],
            answer([
                data("d1", stored),
                data("d2", 7),
                text("Once upon a time there was a box of sand."),
            ]),
        );
        assert!(followed.outline().contains("gap"), "{}", followed.outline());
        let kinds = followed.kinds();
        let data = kinds.iter().filter(|kind| *kind == "data-progress");
        assert_eq!(data.count(), 2 + comes, "{kinds:?}");
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn after_a_gap_an_answer_with_few_common_letters_is_not_delivered() {
    // Stored by a reader that joined in the middle of two texts that are written in parallel.
    let tail = json!({
        "id": "m2",
        "role": "assistant",
        "parts": [text("a box of sand."), text("Also water.")],
    });
    let followed = Relay::streams([
        line::start("m1"),
        line::open_text("t1", "Once upon a time there was a box "),
        line::open_text("t2", "And there was also wat"),
        line::cut(),
    ])
    .at(secs(30), move |relay| relay.complete_with(tail))
    .read(FollowPolicy::wait());
    assert_eq!(
        followed.text(),
        "Once upon a time there was a box And there was also wat"
    );
    followed.assert_completed(MessageState::StoredIncompletely);
}
