//! The run is over: the verdict about its thread, and the use of the stored answer.

use serde_json::{Value, json};
use twentyfirst_protocol::runs::{FollowPolicy, LostReason, MessageState, RunEnd};

use crate::lines::{STORY, line};
use crate::relay::{Relay, Resumes, ms, secs};

/// Returns a story of which `text` was read when its stream was cut.
fn begun(text: &str) -> Relay {
    Relay::streams([line::start("m1"), line::open_text("t1", text), line::cut()])
}

// ---- What the thread says

#[test]
fn an_answer_with_our_id_has_completed_whatever_a_later_turn_does() {
    for status in [
        "completed",
        "streaming",
        "error",
        "failed",
        "cancelled",
        "idle",
    ] {
        let followed = begun("Once upon ")
            .at(secs(1), move |relay| {
                relay.complete_with(line::answer("m1", &["Once upon a time."]));
                relay.status = Some(status);
            })
            .read(FollowPolicy::wait());
        assert_eq!(followed.text(), "Once upon a time.", "{status}");
        let named = "verdict: our answer is stored under its name";
        assert_eq!(followed.transition, named, "{status}");
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn a_failed_thread_fails_our_run_with_its_reason() {
    for status in ["error", "failed"] {
        let followed = begun("Once upon ")
            .at(secs(1), move |relay| relay.status = Some(status))
            .read(FollowPolicy::wait());
        assert_eq!(followed.failure(), "");
        assert_eq!(followed.transition, "verdict: the thread has failed");
        assert_eq!(followed.text(), "Once upon ");
    }
}

#[test]
fn a_cancelled_thread_cancels_our_run() {
    let followed = begun("Once upon ")
        .at(secs(1), |relay| relay.status = Some("cancelled"))
        .read(FollowPolicy::wait());
    followed.assert_cancelled();
}

#[test]
fn a_run_without_a_stored_answer_or_a_reported_end_is_lost() {
    // The stored answer belongs to an earlier turn.
    let earlier = [
        line::question("u0"),
        line::answer("m0", &["Once upon a time."]),
    ];
    for history in [Vec::new(), earlier.to_vec()] {
        for status in ["idle", "completed"] {
            let followed = begun("Once upon ")
                .with_history(history.clone())
                .at(secs(1), move |relay| relay.status = Some(status))
                .read(FollowPolicy::wait());
            assert_eq!(followed.text(), "Once upon ");
            followed.assert_lost(LostReason::NotStored);
        }
    }
}

#[test]
fn a_run_that_sent_its_end_has_completed_even_if_nothing_is_stored() {
    let followed = Relay::streams([
        line::start("m1"),
        line::text("t1", "Once upon a time."),
        line::finish(),
        line::cut(),
    ])
    .at(secs(1), |relay| relay.status = Some("idle"))
    .read(FollowPolicy::wait());
    assert_eq!(followed.text(), "Once upon a time.");
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn an_unknown_status_does_not_end_a_run_that_was_read() {
    let followed = begun("Once upon ")
        .at(secs(1), |relay| relay.status = Some("paused"))
        .at(secs(20), |relay| {
            relay.complete_with(line::answer("m1", &["Once upon a time."]));
        })
        .read(FollowPolicy::wait());
    assert!(followed.relay.now > secs(20));
    assert_eq!(followed.text(), "Once upon a time.");
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn an_answer_without_a_question_is_taken_only_if_it_contains_what_was_delivered() {
    for (stored, text, message) in [
        (
            "Once upon a time.",
            "Once upon a time.",
            "Once upon a time.",
        ),
        ("Another story.", "Once upon ", "Once upon "),
    ] {
        let followed = begun("Once upon ")
            .at(secs(1), move |relay| {
                relay.status = Some("completed");
                relay.messages = Some(json!([line::answer("m9", &[stored])]));
            })
            .read(FollowPolicy::wait());
        assert_eq!(followed.text(), text);
        assert_eq!(followed.message.text(), message);
        followed.assert_completed(MessageState::StoredIncompletely);
    }
}

#[test]
fn the_answer_of_another_turn_is_never_taken() {
    // It follows another question, even if it contains what was delivered of ours.
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        for question in ["u0", "u2"] {
            let followed = begun("Once upon ")
                .at(secs(1), move |relay| {
                    relay.status = Some("completed");
                    let answer = line::answer("m9", &["Once upon a time."]);
                    relay.messages = Some(json!([line::question(question), answer]));
                })
                .read(follow);
            assert_eq!(followed.text(), "Once upon ");
            assert_eq!(followed.message.id.as_ref().unwrap(), "m1");
            assert!(!matches!(followed.outcome.end, RunEnd::Completed));
        }
    }
}

#[test]
fn a_completed_thread_without_our_answer_loses_the_run() {
    // The thread is shown as completed before the answer is stored. It is not waited for: a completed thread has stored all that it
    // will store.
    let followed = Relay::new()
        .cut(350)
        .at(ms(1), |relay| relay.status = Some("completed"))
        .at(secs(9), |relay| relay.status = None)
        .read(FollowPolicy::wait());
    assert!(followed.relay.now < secs(9), "{:?}", followed.relay.now);
    followed.assert_lost(LostReason::NotStored);
}

#[test]
fn a_thread_above_the_size_limit_loses_the_run_only_at_its_end() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .cut(800)
            .pace(ms(150))
            .resumes(Resumes::Replay)
            .exceeds_limit("look")
            .read(follow);
        followed.assert_of(STORY);
        match follow == FollowPolicy::live() {
            true => {
                // Nothing is missing, but the end of the run cannot be read.
                assert_eq!(followed.text(), STORY);
                assert_eq!(followed.relay.count("resume"), 1);
            }
            false => assert_eq!(followed.outline(), "start, chunks, cut"),
        }
        followed.assert_lost(LostReason::TooLarge);
        assert_eq!(followed.relay.count("look"), 2);
        assert_eq!(followed.relay.thread_status(), "completed");
    }
}

// ---- What is taken of the stored answer

#[test]
fn after_a_gap_the_first_readers_answer_is_whole_whatever_its_parts_look_like() {
    // Trimmed, split into other parts, or in other words.
    for texts in [
        &["Once upon a time there was a sandbox. It was far away. Bye."][..],
        &[
            "Once upon a time",
            "there was a sandbox.",
            "It was far away.",
            "Bye.",
        ],
        &["Something else altogether."],
    ] {
        let followed = begun("\n\nOnce upon a time ")
            .then_streams([
                line::start("m2"),
                line::text("x1", "sandbox. "),
                line::text("x2", "It was far away. "),
                line::cut(),
            ])
            .at(secs(5), |relay| {
                relay.complete_with(line::answer("m1", texts));
            })
            .read(FollowPolicy::live());
        assert!(followed.outline().contains("gap"), "{}", followed.outline());
        assert_eq!(followed.message.text(), texts.concat());
        assert_eq!(followed.message.id.as_ref().unwrap(), "m1");
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn an_answer_after_our_question_is_whole_even_if_its_start_was_never_seen() {
    let texts = ["Once upon a time", "there was a sandbox.", "Bye."];
    let followed = Relay::streams([line::cut()])
        .then_streams([
            line::start("m2"),
            line::text("x1", "a sandbox. "),
            line::cut(),
        ])
        .at(secs(5), move |relay| {
            relay.complete_with(line::answer("m9", &texts));
        })
        .read(FollowPolicy::live());
    assert!(
        followed.text().starts_with("a sandbox. "),
        "{}",
        followed.text()
    );
    assert_eq!(followed.message.text(), texts.concat());
    assert_eq!(followed.message.id.as_ref().unwrap(), "m9");
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn after_a_gap_short_texts_of_our_own_reader_are_not_repeated() {
    for has_question in [false, true] {
        let followed = begun("Let me see.")
            .then_streams([
                line::start("m2"),
                line::text("x1", "Yes."),
                line::text("x2", "No."),
                line::text("x3", "Yes."),
                line::open_text("x4", "Well, "),
                line::cut(),
            ])
            .at(secs(5), move |relay| {
                let answer = line::answer("m2", &["Yes.", "No.", "Yes.", "Well, maybe.", "Bye."]);
                relay.complete_with(answer.clone());
                if !has_question {
                    relay.messages = Some(json!([answer]));
                }
            })
            .read(FollowPolicy::live());
        assert_eq!(
            followed.pieces(),
            ["Let me see.", "Yes.No.Yes.Well, maybe.Bye."]
        );
        assert_eq!(
            followed.message.text(),
            followed.text(),
            "what came before stays"
        );
        followed.assert_completed(MessageState::StoredIncompletely);
    }
}

#[test]
fn delivered_chunks_stay_even_if_a_joined_reader_stored_only_its_tail() {
    let relay = Relay::new().cut(700).resumes(Resumes::Middle);
    let end = relay.end_at().unwrap();
    let followed = relay
        .at(end, |relay| {
            // The part that the second stream saw, without the user's message.
            let tail = "somebody asked 🔭 what had become of that answer.";
            relay.messages = Some(json!([line::answer("m2", &[tail])]));
        })
        .read(FollowPolicy::live());
    followed.assert_of(STORY);
    followed.assert_completed(MessageState::StoredIncompletely);
    let message = followed.message.text();
    assert_eq!(message, followed.text());
    assert!(message.starts_with("Once upon a time"));
    assert!(message.ends_with("that answer."));
}

#[test]
fn a_stored_tail_is_not_whole_even_if_it_contains_everything_delivered() {
    // No word came before the cut.
    let tail = "there was a sandbox, far away.";
    let followed = Relay::streams([line::start("m1"), line::open_text("t1", ""), line::cut()])
        .then_streams([
            line::start("m2"),
            line::text("x1", tail),
            line::finish(),
            line::says_done(),
        ])
        .when("look", 3, move |relay| {
            relay.status = Some("completed");
            relay.messages = Some(json!([line::answer("m2", &[tail])]));
        })
        .read(FollowPolicy::live());
    assert_eq!(followed.text(), tail);
    assert_eq!(followed.pieces().len(), 2);
    followed.assert_completed(MessageState::StoredIncompletely);
    assert_eq!(followed.message.text(), tail);
}

#[test]
fn the_threads_usage_counts_only_if_our_answer_is_its_last() {
    for (is_last, cost) in [(true, Some(0.75)), (false, None)] {
        let followed = begun("Once upon ")
            .at(secs(1), move |relay| {
                relay.complete_with(line::answer("m1", &["Once upon a time."]));
                relay.usage = json!({"totalCostUsd": 0.75});
                if !is_last {
                    let messages = relay.messages.as_mut().unwrap().as_array_mut().unwrap();
                    messages.extend([line::question("u2"), line::answer("m5", &["And so on."])]);
                }
            })
            .read(FollowPolicy::wait());
        assert_eq!(followed.outcome.usage.total_cost_usd, cost);
        assert_eq!(followed.message.text(), "Once upon a time.");
    }
}

#[test]
fn without_ids_our_answer_does_not_pass_for_the_last() {
    let without_id = |mut message: Value| {
        message.as_object_mut().unwrap().remove("id");
        message
    };
    let mut relay = Relay::new();
    relay.now = secs(60);
    relay.usage = json!({"totalCostUsd": 0.75});
    relay.messages = Some(json!([
        line::question("u1"),
        without_id(line::answer("m1", &[STORY])),
        line::question("u2"),
        without_id(line::answer("m5", &["And so on."])),
    ]));
    let followed = relay.join(FollowPolicy::wait());
    assert_eq!(followed.text(), STORY);
    assert_eq!(followed.outcome.usage.total_cost_usd, None);
}
