//! No stream is open and the run goes on: the relay is queried.

use serde_json::json;
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::runs::{CancelStatus, FollowPolicy, LostReason, MessageState};
use twentyfirst_protocol::threads::ThreadStatus;

use crate::lines::{STORY, line};
use crate::relay::{Fault, Relay, Resumes, ms, secs};

/// The places of cuts: before the body, within events and after them, and within a character.
pub(crate) const PLACES: [usize; 7] = [0, 1, 70, 123, 350, 517, 1234];

// ---- Waiting

#[test]
fn the_rest_after_a_cut_is_taken_from_the_stored_answer() {
    for bytes in PLACES {
        let followed = Relay::new().cut(bytes).read(FollowPolicy::wait());
        assert_eq!(followed.text(), STORY, "{bytes}");
        let outline = match bytes {
            0 | 1 => "cut, start, chunks, finish",
            _ => "start, chunks, cut, chunks, finish",
        };
        let outline = match bytes {
            // Within its second event.
            70 => "start, cut, chunks, finish",
            _ => outline,
        };
        assert_eq!(followed.outline(), outline, "{bytes}");
        assert!(followed.asked(&ThreadStatus::Streaming) > 0);
        let ids = followed.text_ids();
        assert_eq!(ids.len(), 1, "the part that was cut continues");
        followed.assert_whole();
        assert_eq!(followed.relay.count("resume"), 0, "no second reader");
    }
}

#[test]
fn a_body_that_ends_before_its_run_counts_as_a_cut() {
    for (follow, outline) in [
        (FollowPolicy::wait(), "start, chunks, ended, chunks, finish"),
        (
            FollowPolicy::live(),
            "start, chunks, ended, resumed, gap, chunks, finish",
        ),
    ] {
        let followed = Relay::new().fault(Fault::Ends(350)).read(follow);
        assert_eq!(followed.outline(), outline);
        followed.assert_of(STORY);
        followed.assert_whole();
    }
    let followed = Relay::new()
        .fault(Fault::Ends(350))
        .read(FollowPolicy::off());
    assert_eq!(followed.outline(), "start, chunks, ended");
    followed.assert_of(STORY);
    followed.assert_lost(LostReason::Cut);
}

#[test]
fn tools_that_ran_after_a_cut_are_in_the_message() {
    // Anywhere: within the text, within each input, after both, after one result.
    for bytes in (0..1400).step_by(50) {
        for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
            for resumes in [Resumes::Middle, Resumes::HeldBack, Resumes::Replay] {
                let followed = Relay::says([
                    line::text("t1", "Two things at once."),
                    line::call("c1", "Bash", &json!({"command": "sleep 1"})),
                    line::call("c2", "Read", &json!({"path": "/home/user/a"})),
                    line::pause(ms(300)),
                    line::output_error("c2", "there is no such file"),
                    line::output("c1", &json!({"exitCode": 0})),
                    line::text("t2", "Done, as far as possible."),
                    line::metadata(json!({"resultSubtype": "success"})),
                    line::finish(),
                ])
                .resumes(resumes)
                .cut(bytes)
                .read(follow);
                followed.assert_of("Two things at once.Done, as far as possible.");
                followed.assert_whole();
                assert_eq!(followed.message.tool_calls().count(), 2);
            }
        }
    }
}

#[test]
fn a_run_that_fails_after_a_cut_does_not_take_an_earlier_answer() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let earlier = [
            line::question("u0"),
            line::answer("m0", &["An earlier story."]),
        ];
        let followed = Relay::new()
            .with_history(earlier)
            .fails("provider_error: the model is overloaded")
            .cut(400)
            .read(follow);
        followed.assert_of(STORY);
        assert!(followed.failure().contains("the model is overloaded"));
        assert_eq!(followed.message.text(), followed.text(), "what came stays");
        assert_eq!(followed.message.id.as_ref().unwrap(), "m1");
    }
}

#[test]
fn a_dead_runtime_is_lost_even_after_a_cut() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .dies(ms(150))
            .cut(400)
            .read(follow.ask_after(ms(150)).lost_after(ms(1200)));
        followed.assert_of(STORY);
        followed.assert_lost(LostReason::Silence);
        let mut relay = followed.relay;
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
        assert_eq!(relay.thread_status(), "cancelled");
    }
}

#[test]
fn after_a_restart_of_the_relay_a_run_streams_until_it_is_lost_and_cancelled() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .restarts(ms(150))
            .read(follow.lost_after(secs(60)));
        followed.assert_of(STORY);
        assert_eq!(followed.outline(), "start, chunks, cut");
        followed.assert_lost(LostReason::Silence);
        assert_eq!(followed.outcome.message_state, MessageState::Partial);
        // The last word came at 150 ms at the latest, and the relay was queried all the time.
        let lost = followed.relay.now;
        assert!(lost > secs(60) && lost <= secs(60) + ms(150), "{lost:?}");
        assert!(followed.asked(&ThreadStatus::Streaming) > 10);
        assert!(followed.relay.count("resume") <= 1, "204 is 204 for ever");

        let mut relay = followed.relay;
        assert_eq!(relay.thread_status(), "streaming");
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
        assert_eq!(relay.thread_status(), "cancelled");
    }
}

#[test]
fn after_a_cut_the_relay_is_queried_at_growing_intervals_of_at_most_5_s() {
    let followed = Relay::new()
        .dies(ms(100))
        .fault(Fault::CutAfter(ms(100)))
        .read(FollowPolicy::wait().deadline(secs(120)));
    let times: Vec<_> = followed.relay.sent.iter().map(|(at, _)| *at).collect();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] <= ms(251), "{pauses:?}");
    let last = pauses.last().unwrap();
    assert!(*last >= ms(2500) && *last <= ms(5001), "{pauses:?}");
    assert!(times.len() < 60, "{}", times.len());
}

// ---- Queries that fail

#[test]
fn temporarily_refused_queries_are_retried() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        for seconds in [None, Some(0), Some(1)] {
            let relay = Relay::new().cut(350).pace(ms(150));
            let relay = match seconds {
                None => relay.refuses("list", status, 2).refuses("look", status, 1),
                Some(seconds) => relay
                    .asks_to_wait("list", status, seconds)
                    .asks_to_wait("look", status, seconds),
            };
            let followed = relay.read(FollowPolicy::wait());
            assert_eq!(followed.text(), STORY, "{status}");
            followed.assert_whole();
        }
    }
}

#[test]
fn queries_are_retried_even_if_calls_are_not() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .cut(350)
            .pace(ms(150))
            .refuses("list", 502, 3)
            .loses("look", 1)
            .options(CallOptions::new().retry(RetryPolicy::never()))
            .read(follow);
        assert!(followed.relay.count("list") > 3);
        followed.assert_of(STORY);
        followed.assert_whole();
    }
}

#[test]
fn retry_after_is_respected() {
    for (what, follow) in [
        ("list", FollowPolicy::wait()),
        ("look", FollowPolicy::wait()),
        ("resume", FollowPolicy::live()),
    ] {
        let followed = Relay::new()
            .cut(350)
            .asks_to_wait(what, 429, 30)
            .options(CallOptions::new().retry(RetryPolicy::never()))
            .read(follow);
        let refused = followed
            .relay
            .sent
            .iter()
            .position(|(_, sent)| *sent == what);
        let refused = refused.unwrap();
        let (before, after) = (
            followed.relay.sent[refused].0,
            followed.relay.sent[refused + 1].0,
        );
        assert!(after >= before + secs(30), "{what}: {before:?}, {after:?}");
        followed.assert_of(STORY);
        followed.assert_whole();
    }
}

#[test]
fn retry_after_is_capped_by_the_options() {
    let retry = RetryPolicy::standard().longest_retry_after(secs(10));
    for (what, follow) in [
        ("list", FollowPolicy::wait()),
        ("look", FollowPolicy::wait()),
        ("resume", FollowPolicy::live()),
    ] {
        let followed = Relay::new()
            .cut(350)
            .asks_to_wait(what, 503, 24 * 3600)
            .options(CallOptions::new().retry(retry))
            .read(follow);
        let refused = followed
            .relay
            .sent
            .iter()
            .position(|(_, sent)| *sent == what);
        let refused = refused.unwrap();
        let (before, after) = (
            followed.relay.sent[refused].0,
            followed.relay.sent[refused + 1].0,
        );
        let pause = after - before;
        assert!(pause >= secs(10) && pause < secs(11), "{what}: {pause:?}");
        followed.assert_whole();
    }
}

#[test]
fn a_permanent_refusal_loses_the_run_with_its_reason() {
    for what in ["list", "look"] {
        for (status, word) in [(401, "401"), (403, "403"), (400, "400")] {
            let followed = Relay::new()
                .cut(350)
                .refuses(what, status, 9)
                .read(FollowPolicy::wait());
            assert_eq!(followed.relay.count(what), 1, "the query is not repeated");
            followed.assert_of(STORY);
            followed.assert_lost(LostReason::Refused);
            let twentyfirst_protocol::runs::RunEnd::Lost(lost) = &followed.outcome.end else {
                panic!("{:?}", followed.outcome);
            };
            let cause = std::error::Error::source(lost).unwrap().to_string();
            assert!(cause.contains(word), "{cause}");
        }
    }
}

#[test]
fn a_run_whose_sandbox_is_deleted_is_lost() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .cut(350)
            .at(ms(50), Relay::delete_sandbox)
            .read(follow);
        followed.assert_lost(LostReason::Deleted);
        assert_eq!(followed.relay.sent.len(), 1);
    }
}
