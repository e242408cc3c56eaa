//! The missing part of an answer is taken from the stored one, without repetition.

use serde_json::{Value, json};
use twentyfirst_protocol::runs::{FollowPolicy, MessageState};

use crate::lines::line;
use crate::relay::{Relay, secs};

/// Returns a text part of a stored answer.
pub(crate) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text, "state": "done"})
}

/// Returns a stored answer of these parts.
pub(crate) fn answer(parts: impl IntoIterator<Item = Value>) -> Value {
    let parts: Vec<Value> = parts.into_iter().collect();
    json!({"id": "m1", "role": "assistant", "parts": parts})
}

#[test]
fn replaced_data_is_delivered_with_its_newest_value() {
    let data = |id: &str, value: u32| json!({"type": "data-progress", "id": id, "data": value});
    for (stored, count) in [(1, 1), (2, 2)] {
        let followed = Relay::streams([
            line::start("m1"),
            line::chunks([data("d1", 1), data("d2", 7)]),
            line::open_text("t1", "Half "),
            line::cut(),
        ])
        .at(secs(3), move |relay| {
            relay.complete_with(answer([
                data("d1", stored),
                data("d2", 7),
                text("Half of it."),
            ]));
        })
        .read(FollowPolicy::wait());
        assert_eq!(followed.text(), "Half of it.");
        assert!(
            !followed.outline().contains("gap"),
            "{}",
            followed.outline()
        );
        let kinds = followed.kinds();
        let data = kinds.iter().filter(|kind| *kind == "data-progress");
        assert_eq!(data.count(), count + 1, "{kinds:?}");
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn empty_texts_and_reasoning_do_not_count_as_missing() {
    let reasoning = |text: &str| json!({"type": "reasoning", "text": text, "state": "done"});
    let begun = || {
        line::chunks([
            json!({"type": "reasoning-start", "id": "r1"}),
            json!({"type": "reasoning-end", "id": "r1"}),
        ])
    };
    // Delivered and not stored, stored and not delivered, both, and neither.
    for is_delivered in [false, true] {
        for stored in [
            vec![],
            vec![reasoning("")],
            vec![text("")],
            vec![text(""), reasoning("")],
        ] {
            let begun = match is_delivered {
                true => begun(),
                false => Vec::new(),
            };
            let parts = stored.iter().cloned().chain([text("Once upon a time.")]);
            let answer = answer(parts);
            let followed = Relay::streams([
                line::start("m1"),
                begun,
                line::open_text("t1", "Once upon "),
                line::cut(),
            ])
            .at(secs(3), move |relay| relay.complete_with(answer))
            .read(FollowPolicy::wait());
            let case = format!("{is_delivered} {stored:?}");
            assert_eq!(followed.text(), "Once upon a time.", "{case}");
            assert!(
                !followed.outline().contains("gap"),
                "{case}: {}",
                followed.outline()
            );
            followed.assert_completed(MessageState::Whole);
        }
    }
}

#[test]
fn a_step_that_has_begun_does_not_begin_again() {
    let step = || line::chunks([json!({"type": "start-step"})]);
    let followed = Relay::streams([
        line::start("m1"),
        step(),
        line::text("t1", "Once."),
        step(),
        line::cut(),
    ])
    .at(secs(3), |relay| {
        let step = json!({"type": "step-start"});
        relay.complete_with(answer([
            step.clone(),
            text("Once."),
            step.clone(),
            text("Twice."),
            step,
        ]));
    })
    .read(FollowPolicy::wait());
    assert_eq!(followed.text(), "Once.Twice.");
    let kinds = followed.kinds();
    let steps = kinds.iter().filter(|kind| *kind == "start-step");
    assert_eq!(steps.count(), 3, "{kinds:?}");
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn data_without_an_id_or_with_another_name_is_different() {
    let data = |name: &str, id: Option<&str>, value: u32| match id {
        Some(id) => json!({"type": format!("data-{name}"), "id": id, "data": value}),
        None => json!({"type": format!("data-{name}"), "data": value}),
    };
    // The answer does not begin with what was delivered, and what was delivered stays unchanged.
    for other in [
        data("progress", None, 2),
        data("other", None, 1),
        data("progress", Some("d"), 1),
    ] {
        let stored = answer([other.clone(), text("Once upon a time.")]);
        let followed = Relay::streams([
            line::start("m1"),
            line::chunks([data("progress", None, 1)]),
            line::open_text("t1", "Once upon "),
            line::cut(),
        ])
        .at(secs(3), move |relay| relay.complete_with(stored))
        .read(FollowPolicy::wait());
        assert!(
            followed.outline().contains("gap"),
            "{other}: {}",
            followed.outline()
        );
    }
}
