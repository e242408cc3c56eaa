//! Follows a run that was started elsewhere: in the background, by another process, or before a restart.

use twentyfirst_protocol::runs::{FollowPolicy, LostReason, MessageState};
use twentyfirst_protocol::threads::ThreadStatus;
use twentyfirst_protocol::ui::Chunk;

use crate::lines::{Line, STORY, line};
use crate::relay::{Fault, Relay, Resumes, ms, secs};

#[test]
fn following_waits_for_a_run_in_the_background() {
    for relay in [Relay::new(), Relay::new().without_turn()] {
        let followed = relay.pace(ms(150)).join(FollowPolicy::wait());
        assert_eq!(followed.outline(), "start, chunks, finish");
        assert_eq!(followed.text(), STORY);
        assert_eq!(followed.relay.count("resume"), 0);
        followed.assert_whole();
    }
}

#[test]
fn a_run_in_the_background_is_joined() {
    for follow in [FollowPolicy::live(), FollowPolicy::off()] {
        for resumes in [Resumes::Middle, Resumes::HeldBack, Resumes::Replay] {
            let followed = Relay::new()
                .pace(ms(150))
                .starts_up(ms(700))
                .resumes(resumes)
                .join(follow);
            assert!(
                followed.outline().starts_with("resumed, start"),
                "{}",
                followed.outline()
            );
            followed.assert_of(STORY);
            assert!(followed.text().ends_with("that answer."));
            assert!(
                followed.relay.count("resume") > 1,
                "it had not begun at first"
            );
            followed.assert_whole();
            assert_eq!(followed.message.text(), STORY);
        }
    }
}

#[test]
fn a_run_without_a_stream_is_not_silent_while_the_relay_responds() {
    // The queries are never more than 2 s apart.
    let followed = Relay::new()
        .pace(ms(3000))
        .join(FollowPolicy::wait().lost_after(secs(4)));
    assert!(followed.relay.now > secs(60));
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}

#[test]
fn following_does_not_wait_for_a_later_turn_after_our_answer() {
    // Recognized by position alone: it was not there when we joined.
    let followed = Relay::new()
        .without_turn()
        .with_history([line::question("u0"), line::answer("m0", &["Earlier."])])
        .at(secs(1), |relay| {
            let ours = [line::question("u1"), relay.answer()];
            let messages = [relay.history.clone(), ours.to_vec()].concat();
            relay.messages = Some(messages.into());
            relay.status = Some("streaming");
        })
        .join(FollowPolicy::wait());
    assert!(followed.relay.now < secs(30), "{:?}", followed.relay.now);
    assert_eq!(followed.text(), STORY);
    followed.assert_completed(MessageState::Whole);
    assert_eq!(followed.message, followed.relay.stored_answer());
}

#[test]
fn a_finished_run_delivers_its_stored_answer() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        for relay in [Relay::new(), Relay::new().without_turn()] {
            let mut relay = relay;
            relay.now = secs(60);
            let followed = relay.join(follow);
            assert_eq!(followed.outline(), "start, chunks, finish");
            assert_eq!(followed.text(), STORY);
            let sent: Vec<_> = followed.relay.sent.iter().map(|(_, what)| *what).collect();
            assert_eq!(sent, ["look"]);
            followed.assert_whole();
        }
    }
}

#[test]
fn a_later_turn_is_followed_without_the_answers_before_it() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        for relay in [Relay::new(), Relay::new().without_turn()] {
            let followed = relay
                .with_history([line::question("u0"), line::answer("m0", &[STORY])])
                .pace(ms(150))
                .join(follow);
            followed.assert_of(STORY);
            assert_eq!(followed.message, followed.relay.stored_answer());
            assert_eq!(followed.message.id.as_ref().unwrap(), "m1");
            followed.assert_whole();
        }
    }
}

#[test]
fn a_turn_that_has_not_begun_is_lost() {
    let mut relay = Relay::streams([]);
    relay.status = Some("completed");
    let followed = relay
        .with_history([line::question("u0"), line::answer("m0", &[STORY])])
        .join(FollowPolicy::wait());
    assert_eq!(followed.text(), "");
    followed.assert_lost(LostReason::NotStored);
}

#[test]
fn a_turn_is_recognized_by_its_question_however_many_follow() {
    let mut relay = Relay::new();
    relay.now = secs(60);
    relay.messages = Some(serde_json::json!([
        line::question("u1"),
        relay.answer(),
        line::question("u2"),
        line::answer("m5", &["Another story."]),
    ]));
    for status in ["completed", "streaming", "cancelled"] {
        let mut again = Relay::new();
        again.now = secs(60);
        again.messages.clone_from(&relay.messages);
        again.status = Some(status);
        let followed = again.join(FollowPolicy::wait());
        assert_eq!(followed.text(), STORY);
        followed.assert_completed(MessageState::Whole);
    }
}

#[test]
fn a_background_run_reports_failure_and_cancellation() {
    let followed = Relay::new().fails("overloaded").join(FollowPolicy::wait());
    assert_eq!(followed.failure(), "overloaded");
    let followed = Relay::new()
        .at(ms(100), Relay::cancel_now)
        .join(FollowPolicy::wait());
    followed.assert_cancelled();
}

// ---- After chunks that were delivered elsewhere

/// Returns the part of the story that a process had delivered before it ended.
fn delivered(words: usize) -> Vec<Chunk<'static>> {
    let lines = [line::start("m1"), line::text("t1", STORY)].concat();
    let chunks = lines
        .into_iter()
        .take(words.saturating_add(2))
        .map(|line| match line {
            Line::Says(chunk) => Chunk::decode(&chunk).unwrap().into_owned(),
            other => panic!("{other:?}"),
        });
    chunks.collect()
}

fn words(words: usize) -> String {
    STORY.split_inclusive(' ').take(words).collect()
}

#[test]
fn the_stored_answer_continues_after_chunks_that_were_delivered_elsewhere() {
    for (count, has_turn) in (0..=25).zip([true, false].into_iter().cycle()) {
        let mut relay = Relay::new().pace(ms(150));
        if !has_turn {
            relay = relay.without_turn();
        }
        relay.now = ms(300);
        let followed = relay.join_after(delivered(count), FollowPolicy::wait());
        assert_eq!(followed.outline(), "chunks, finish");
        assert_eq!(
            words(count) + &followed.text(),
            STORY,
            "nothing twice, nothing missing"
        );
        assert_eq!(followed.relay.count("resume"), 0);
        followed.assert_whole();
    }
}

#[test]
fn an_answer_delivered_elsewhere_to_its_finish_is_whole_and_stays() {
    let mut chunks = delivered(usize::MAX);
    chunks.push(Chunk::decode(r#"{"type":"finish"}"#).unwrap());
    let mut relay = Relay::new().stores(line::answer("m1", &["Otherwise."]));
    relay.now = secs(1);
    let followed = relay.join_after(chunks, FollowPolicy::wait());
    assert_eq!(
        followed.events.len(),
        followed.asked(&ThreadStatus::Completed)
    );
    assert_eq!(followed.message.text(), STORY);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn an_end_delivered_elsewhere_counts_if_nothing_is_stored() {
    let (error, abort) = (
        r#"{"type":"error","errorText":"the connection to the agent broke off"}"#,
        r#"{"type":"abort"}"#,
    );
    let finish = r#"{"type":"finish"}"#;
    let failed = "failed: the connection to the agent broke off";
    for (chunks, end) in [
        (vec![error, finish], failed),
        (vec![error], failed),
        (vec![abort, finish], "cancelled"),
        (vec![abort], "cancelled"),
    ] {
        let chunks = chunks.iter().map(|chunk| Chunk::decode(chunk).unwrap());
        let mut relay = Relay::streams([]);
        relay.status = Some("idle");
        let followed = relay.join_after(chunks.collect(), FollowPolicy::wait());
        assert_eq!(followed.outcome.end.to_string(), end);
        assert_eq!(followed.outcome.message_state, MessageState::Partial);
    }
}

#[test]
fn a_replay_continues_after_chunks_that_were_delivered_elsewhere() {
    for count in 4..=25 {
        let mut relay = Relay::new().pace(ms(150)).resumes(Resumes::Replay);
        relay.now = ms(300);
        // The first stream belonged to somebody else.
        relay.open_first();
        relay.give_stream_away();
        let followed = relay.join_after(delivered(count), FollowPolicy::live());
        assert_eq!(followed.outline(), "resumed, chunks, finish");
        assert_eq!(
            words(count) + &followed.text(),
            STORY,
            "nothing twice, nothing missing"
        );
        assert!(followed.text_ids().iter().all(|id| id == "t1"));
        followed.assert_whole();
    }
}

#[test]
fn without_a_replay_a_gap_follows_the_chunks_that_were_delivered_elsewhere() {
    let mut relay = Relay::new().pace(ms(150));
    relay.now = ms(1000);
    relay.open_first();
    relay.give_stream_away();
    let followed = relay.join_after(delivered(4), FollowPolicy::live());
    assert!(
        followed.outline().starts_with("resumed, gap, chunks"),
        "{}",
        followed.outline()
    );
    assert!(STORY.ends_with(&followed.text()));
    followed.assert_whole();
}

#[test]
fn with_following_off_a_run_is_joined_once_and_lost_with_its_stream() {
    let followed = Relay::new()
        .pace(ms(150))
        .fault(Fault::None)
        .fault(Fault::CutAfter(secs(1)))
        .resumes(Resumes::Replay)
        .join(FollowPolicy::off());
    assert_eq!(followed.outline(), "resumed, start, gap, chunks, cut");
    assert_eq!(followed.relay.count("resume"), 1);
    followed.assert_lost(LostReason::Cut);
}
