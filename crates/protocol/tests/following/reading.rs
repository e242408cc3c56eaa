//! An open stream: its content, its end, and silence.

use serde_json::json;
use twentyfirst_protocol::runs::{CancelStatus, FollowPolicy, LostReason, MessageState, RunEnd};
use twentyfirst_protocol::threads::ThreadStatus;

use crate::lines::{Line, STORY, line};
use crate::relay::{Fault, PACE, Relay, Resumes, ms, secs};

#[test]
fn a_run_that_is_read_to_its_end_sends_no_queries() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::new().read(follow);
        assert_eq!(followed.outline(), "start, chunks, finish");
        assert_eq!(followed.text(), STORY);
        assert_eq!(followed.relay.sent, []);
        followed.assert_whole();
        assert_eq!(followed.outcome.usage.total_cost_usd, Some(0.01));
    }
}

#[test]
fn a_message_is_whole_at_finish_and_not_before() {
    let relay = Relay::new().done_after(secs(1));
    let finish = relay.end_at().unwrap();
    let mut reader = relay.reader(FollowPolicy::wait());
    reader.read_until(finish - PACE);
    assert!(!reader.has_message());
    reader.read_until(finish);
    assert!(reader.has_message());
    reader.read().assert_whole();
}

#[test]
fn with_following_off_a_cut_is_the_end() {
    let followed = Relay::new().cut(350).read(FollowPolicy::off());
    assert_eq!(followed.outline(), "start, chunks, cut");
    followed.assert_of(STORY);
    followed.assert_lost(LostReason::Cut);
    assert_eq!(followed.outcome.message_state, MessageState::Partial);
    let RunEnd::Lost(lost) = &followed.outcome.end else {
        panic!("{:?}", followed.outcome);
    };
    let place = (lost.sandbox_id.as_str(), lost.thread_id.as_str());
    assert_eq!(place, ("sb_1", "th_1"));
    assert_eq!(followed.relay.sent, [], "no query is sent");
}

#[test]
fn silence_is_not_a_cut_and_is_queried_at_growing_intervals() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::says([
            line::text("t1", "Let me think."),
            line::pause(ms(1500)),
            line::text("t2", " Yes."),
            line::metadata(json!({"resultSubtype": "success"})),
            line::finish(),
        ])
        .read(follow.ask_after(ms(200)));
        assert_eq!(followed.outline(), "start, chunks, finish");
        assert_eq!(followed.text(), "Let me think. Yes.");
        // After the last word at 75 ms, the silences are 0.2 s, 0.4 s and 0.8 s; each response takes 1 ms.
        let asked = followed
            .relay
            .sent
            .iter()
            .map(|(at, what)| (at.as_millis(), *what));
        let asked: Vec<_> = asked.collect();
        assert_eq!(asked, [(275, "list"), (676, "list"), (1477, "list")]);
        assert_eq!(followed.asked(&ThreadStatus::Streaming), 3);
        followed.assert_whole();
    }
}

#[test]
fn the_relay_is_queried_after_a_silence_of_100_ms_at_the_earliest() {
    let followed = Relay::new()
        .pace(ms(50))
        .dies(ms(500))
        .read(FollowPolicy::wait().ask_after(ms(0)).deadline(ms(1100)));
    let asked: Vec<_> = followed
        .relay
        .sent
        .iter()
        .map(|(at, _)| at.as_millis())
        .collect();
    assert_eq!(asked, [600, 801]);
}

#[test]
fn a_silent_stream_is_closed_10_s_after_its_run_is_over() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::new()
            .fault(Fault::FallsSilent(350))
            .read(follow.ask_after(ms(500)));
        assert_eq!(followed.text(), STORY);
        assert_eq!(followed.outline(), "start, chunks, finish");
        assert!(followed.asked(&ThreadStatus::Completed) > 0);
        assert_eq!(
            followed.relay.count("list"),
            1,
            "after the end no further query is sent"
        );
        assert_eq!(followed.relay.count("look"), 1);
        assert!(followed.relay.now > secs(10) && followed.relay.now < secs(12));
        followed.assert_whole();
    }
}

#[test]
fn a_silent_stream_of_a_deleted_thread_or_sandbox_is_lost() {
    let deletions = [Relay::delete_sandbox, |relay: &mut Relay| {
        relay.is_thread_deleted = true;
    }];
    for deletion in deletions {
        let followed = Relay::new()
            .fault(Fault::FallsSilent(350))
            .at(ms(400), deletion)
            .read(FollowPolicy::wait().ask_after(ms(500)));
        followed.assert_lost(LostReason::Deleted);
        assert!(followed.relay.now < secs(12), "{:?}", followed.relay.now);
    }
}

#[test]
fn a_missing_done_is_awaited_for_10_s() {
    for follow in [FollowPolicy::wait(), FollowPolicy::off()] {
        let relay = Relay::new().done_after(secs(60));
        let finish = relay.end_at().unwrap();
        let followed = relay.read(follow);
        assert_eq!(followed.outline(), "start, chunks, finish");
        let asked: Vec<_> = followed
            .relay
            .sent
            .iter()
            .map(|(at, what)| (*at, *what))
            .collect();
        assert_eq!(asked, [(finish + secs(10), "look")]);
        followed.assert_whole();
    }
}

#[test]
fn a_body_that_stays_open_after_done_is_closed_after_1_s() {
    let relay = Relay::streams([
        line::start("m1"),
        line::text("t1", "Hello."),
        line::finish(),
        line::chunks([]),
    ])
    .at(ms(5), |relay| relay.send_done_only());
    let followed = relay.read(FollowPolicy::wait());
    followed.assert_completed(MessageState::Whole);
    assert_eq!(followed.relay.now, ms(1005));
    assert_eq!(followed.relay.sent, []);
}

#[test]
fn a_dead_runtime_is_lost_after_the_limit_and_cancelling_frees_its_thread() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::new()
            .dies(ms(150))
            .read(follow.ask_after(ms(150)).lost_after(ms(900)));
        followed.assert_of(STORY);
        assert_eq!(followed.outline(), "start, chunks");
        assert_eq!(followed.asked(&ThreadStatus::Streaming), 2);
        followed.assert_lost(LostReason::Silence);
        assert_eq!(followed.outcome.message_state, MessageState::Partial);
        assert_eq!(followed.relay.now, ms(1050), "900 ms after its last word");
        let RunEnd::Lost(lost) = &followed.outcome.end else {
            panic!("{:?}", followed.outcome);
        };
        let advice = lost.to_string();
        assert!(advice.contains("th_1"), "{advice}");
        assert!(advice.contains("only cancelling it frees"), "{advice}");

        let mut relay = followed.relay;
        assert_eq!(relay.thread_status(), "streaming");
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
        assert_eq!(relay.thread_status(), "cancelled");
    }
}

#[test]
fn following_ends_at_its_deadline() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::says([
            line::text("t1", "Let me think."),
            line::pause(ms(1500)),
            line::text("t2", " Yes."),
            line::finish(),
        ])
        .read(follow.deadline(ms(400)));
        assert_eq!(followed.relay.now, ms(400));
        assert_eq!(followed.text(), "Let me think.");
        followed.assert_lost(LostReason::Deadline);
        assert_eq!(followed.outcome.message_state, MessageState::Partial);
        assert_eq!(
            followed.relay.thread_status(),
            "streaming",
            "the run goes on"
        );
    }
}

#[test]
fn only_a_message_that_was_whole_is_whole_at_the_deadline() {
    let abort = line::chunks([json!({"type": "abort"})]);
    for (says, state) in [
        (vec![line::finish()], MessageState::Whole),
        (vec![abort.clone(), line::finish()], MessageState::Partial),
        (vec![line::finish(), abort], MessageState::Partial),
        (
            vec![line::error("overloaded"), line::finish()],
            MessageState::Partial,
        ),
        (
            vec![line::finish(), line::error("overloaded")],
            MessageState::Partial,
        ),
        (vec![], MessageState::Partial),
    ] {
        let begun = [line::start("m1"), line::text("t1", "Hello there.")];
        let followed = Relay::streams(begun.into_iter().chain(says.clone()))
            .read(FollowPolicy::wait().deadline(secs(2)));
        followed.assert_lost(LostReason::Deadline);
        assert_eq!(followed.outcome.message_state, state, "{says:?}");
    }
}

#[test]
fn an_aborted_run_counts_as_cancelled() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::streams([
            line::start("m1"),
            line::open_text("t1", "Hello there."),
            line::chunks([json!({"type": "abort"})]),
            line::says_done(),
        ])
        .read(follow);
        followed.assert_cancelled();
        assert_eq!(followed.relay.sent, []);
    }
}

#[test]
fn half_a_character_at_a_reported_end_is_delivered() {
    for end in [
        line::error("overloaded"),
        line::chunks([json!({"type": "abort"})]),
        line::says_done(),
    ] {
        for how in [line::cut(), line::says_done()] {
            let followed = Relay::streams([
                line::start("m1"),
                line::open_text("t1", "Hello "),
                line::half("t1"),
                end.clone(),
                how,
            ])
            .read(FollowPolicy::wait());
            assert_eq!(followed.text(), "Hello \u{fffd}", "{end:?}");
            assert_eq!(followed.message.text(), "Hello \u{fffd}", "{end:?}");
            assert_eq!(followed.relay.sent, [], "the stream told the end");
        }
    }
}

#[test]
fn done_without_finish_means_a_cancelled_run() {
    let lines = [
        line::start("m1"),
        line::open_text("t1", "Hello there."),
        line::says_done(),
    ];
    let followed = Relay::streams(lines).read(FollowPolicy::wait());
    followed.assert_cancelled();
    assert_eq!(followed.relay.sent, []);
}

#[test]
fn a_run_cancelled_through_another_instance_ends_with_an_error_chunk() {
    let followed = Relay::new().fails("cancelled").read(FollowPolicy::wait());
    assert_eq!(followed.outline(), "start, chunks, error");
    followed.assert_cancelled();
}

#[test]
fn a_failed_run_keeps_what_was_delivered() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::new().fails("the model is overloaded").read(follow);
        assert_eq!(followed.outline(), "start, chunks, error");
        assert_eq!(followed.failure(), "the model is overloaded");
        assert_eq!(followed.message.text(), STORY, "what came stays");
        assert_eq!(followed.relay.sent, []);
    }
}

#[test]
fn a_run_that_cannot_be_stored_has_failed_with_its_message() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let relay = Relay::new().fails_to_store("sandbox_error: Failed query");
        let finish = relay.end_at().unwrap();
        let mut reader = relay.reader(follow);
        reader.read_until(finish);
        assert!(reader.has_message());
        let followed = reader.read();
        assert_eq!(followed.failure(), "sandbox_error: Failed query");
        assert_eq!(followed.message.text(), STORY);
        assert_eq!(followed.relay.count("look"), 1);
    }
}

#[test]
fn an_invalid_event_after_finish_leaves_no_gap() {
    let followed = Relay::streams([
        line::start("m1"),
        line::text("t1", "Hello there."),
        line::finish(),
        vec![Line::Says("{".to_owned())],
        line::says_done(),
    ])
    .read(FollowPolicy::wait());
    assert_eq!(followed.outline(), "start, chunks, finish, not a chunk");
    followed.assert_completed(MessageState::Whole);
    assert_eq!(followed.relay.sent, []);
}

#[test]
fn data_that_arrived_between_polls_is_read_before_silence_is_judged() {
    let follow = FollowPolicy::wait()
        .lost_after(secs(60))
        .deadline(secs(7200));
    let mut reader = Relay::new().reader(follow);
    reader.read_until(ms(150));
    reader.relay.now += secs(3600);
    let followed = reader.read();
    assert_eq!(followed.outline(), "start, chunks, finish");
    followed.assert_whole();
}

#[test]
fn an_invalid_event_leaves_only_a_gap() {
    for data in ["{", "{}", "[1,2]", "\"start\""] {
        for follow in [
            FollowPolicy::wait(),
            FollowPolicy::live(),
            FollowPolicy::off(),
        ] {
            let followed = Relay::new().fault(Fault::Says(400, data)).read(follow);
            assert_eq!(
                followed.outline(),
                "start, chunks, not a chunk, gap, chunks, finish"
            );
            assert_eq!(followed.text(), STORY);
            assert_eq!(
                followed.relay.count("look"),
                1,
                "the stored answer has the rest"
            );
            followed.assert_whole();
        }
    }
}

#[test]
fn chunks_beyond_the_memory_limit_are_delivered_and_the_message_is_never_whole() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        for cut in [None, Some(1234)] {
            let mut relay = Relay::new().resumes(Resumes::Replay);
            if let Some(cut) = cut {
                relay = relay.cut(cut);
            }
            let followed = relay.read(follow.memory_limit(100));
            match cut {
                None => assert_eq!(followed.text(), STORY),
                Some(_) => followed.assert_of(STORY),
            }
            assert!(followed.message.text().len() < STORY.len());
            assert!(followed.too_large);
            assert_eq!(followed.relay.count("resume"), 0);
            assert!(matches!(followed.outcome.end, RunEnd::Completed));
            assert_ne!(followed.outcome.message_state, MessageState::Whole);
        }
    }
}

#[test]
fn a_cut_after_finish_is_ignored_and_the_thread_decides() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let followed = Relay::new()
            .done_after(ms(300))
            .fault(Fault::CutAfterEvent("finish"))
            .read(follow);
        assert_eq!(followed.outline(), "start, chunks, finish");
        assert_eq!(followed.asked(&ThreadStatus::Completed), 1);
        assert_eq!(followed.text(), STORY);
        assert_eq!(followed.relay.sent.len(), 1);
        followed.assert_whole();
    }
}

#[test]
fn a_whole_message_stays_whatever_a_later_reader_stores() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        // Stored by the first reader in another form, and by a reader that joined.
        for id in ["m1", "m7"] {
            let stored = line::answer(id, &["and somebody asked 🔭", "what had become of it."]);
            let followed = Relay::new()
                .stores(stored)
                .fault(Fault::CutAfterEvent("finish"))
                .read(follow);
            // The reader checks at each event that it does not change.
            followed.assert_completed(MessageState::Whole);
            assert_eq!(followed.message.text(), STORY);
            assert_eq!(followed.message.id.as_ref().unwrap(), "m1");
            assert_eq!(followed.kinds().last().unwrap(), "finish");
        }
    }
}

#[test]
fn a_limit_ends_the_run_without_success_and_with_its_cost() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        for cut in [None, Some(400)] {
            let mut relay = Relay::says([
                line::text("t1", STORY),
                line::metadata(json!({
                    "resultSubtype": "error_max_turns", "totalCostUsd": 0.25, "outputTokens": 31,
                })),
                line::finish(),
            ]);
            if let Some(cut) = cut {
                relay = relay.cut(cut);
            }
            let followed = relay.read(follow);
            followed.assert_completed(MessageState::Whole);
            assert!(!followed.outcome.is_success());
            let subtype = followed.outcome.result_subtype.as_deref();
            assert_eq!(subtype, Some("error_max_turns"));
            assert_eq!(followed.outcome.usage.total_cost_usd, Some(0.25));
            assert_eq!(followed.outcome.usage.output_tokens, Some(31));
            assert_eq!(followed.message, followed.relay.stored_answer());
        }
    }
}
