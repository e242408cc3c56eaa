//! Cancels one particular run.

use serde_json::json;
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::Sent;
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::runs::{CancelError, CancelStatus, FollowPolicy};

use crate::lines::{STORY, line};
use crate::relay::{Relay, Resumes, ms, secs};

/// Returns the requests in order.
fn sent(relay: &Relay) -> Vec<&'static str> {
    relay.sent.iter().map(|(_, what)| *what).collect()
}

/// Returns a run that is under way.
fn under_way() -> Relay {
    let mut relay = Relay::new().pace(ms(1500));
    relay.now = ms(300);
    relay
}

// ---- While it is followed

#[test]
fn cancelling_works_while_the_run_is_read() {
    for follow in [
        FollowPolicy::wait(),
        FollowPolicy::live(),
        FollowPolicy::off(),
    ] {
        let mut reader = Relay::new().reader(follow);
        reader.read_until(ms(150));
        let cancelled = reader.relay.cancel().unwrap();
        assert_eq!(cancelled.status, CancelStatus::Cancelled);
        let followed = reader.read();
        assert_eq!(followed.outline(), "start, chunks");
        assert!(STORY.starts_with(&followed.text()) && followed.text().len() > 10);
        followed.assert_cancelled();

        // Cancelling a run that is over succeeds and sends no cancellation.
        let mut relay = followed.relay;
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Idle);
        assert_eq!(relay.count("cancel"), 1);
    }
}

#[test]
fn cancelling_works_while_the_run_is_awaited() {
    let followed = Relay::new()
        .pace(ms(150))
        .cut(400)
        .at(secs(2), Relay::cancel_now)
        .read(FollowPolicy::wait());
    assert_eq!(followed.outline(), "start, chunks, cut");
    followed.assert_of(STORY);
    followed.assert_cancelled();
}

#[test]
fn cancelling_works_while_the_run_is_resumed() {
    // Replayed, joined in the middle, and while the relay holds everything back.
    for resumes in [Resumes::Replay, Resumes::Middle, Resumes::HeldBack] {
        let followed = Relay::new()
            .pace(ms(150))
            .cut(600)
            .resumes(resumes)
            .at(secs(3), Relay::cancel_now)
            .read(FollowPolicy::live());
        assert!(
            followed
                .outline()
                .starts_with("start, chunks, cut, resumed")
        );
        followed.assert_of(STORY);
        followed.assert_cancelled();
    }
}

#[test]
fn cancelling_a_starting_run_is_retried_until_it_has_started() {
    let mut relay = Relay::new().pace(ms(80)).starts_up(ms(700));
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert!(relay.count("cancel") > 1, "the first ones cancel nothing");
    assert!(relay.now >= ms(700) && relay.now < ms(1800));
    assert_eq!(relay.thread_status(), "cancelled");
}

#[test]
fn a_run_that_never_starts_is_given_up_after_5_min_or_the_deadline_of_the_call() {
    for (options, time) in [
        (CallOptions::new(), secs(300)),
        (CallOptions::new().deadline(secs(20)), secs(20)),
    ] {
        let mut relay = Relay::new().starts_up(secs(3600)).options(options);
        let error = relay.cancel().unwrap_err();
        assert!(matches!(error, CancelError::Starting), "{error}");
        // At least once a second, because a run that starts in the meantime goes on and costs money.
        let tries = relay.count("cancel");
        assert!(u64::try_from(tries).unwrap() >= time.as_secs(), "{tries}");
        assert!(
            relay.now > time - ms(1100) && relay.now <= time,
            "{:?}",
            relay.now
        );
    }
}

#[test]
fn a_background_run_is_cancelled_whoever_follows_it() {
    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let followed = Relay::new()
            .starts_up(ms(500))
            .at(ms(800), Relay::cancel_now)
            .join(follow);
        followed.assert_of(STORY);
        followed.assert_cancelled();
    }
}

// ---- What is sent

#[test]
fn the_thread_is_read_and_the_threads_are_listed_before_cancelling() {
    let mut relay = under_way();
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(sent(&relay), ["look", "list", "cancel"]);

    let mut relay = under_way().without_turn();
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(sent(&relay), ["list", "cancel"]);
}

#[test]
fn a_newer_run_is_never_cancelled_instead() {
    let mut relay = under_way();
    relay.newer = vec![("th_2", "streaming")];
    match relay.cancel().unwrap_err() {
        CancelError::AnotherRun {
            thread_id, sent, ..
        } => {
            assert_eq!((thread_id.as_str(), sent), ("th_2", Sent::No));
        }
        other => panic!("{other}"),
    }
    assert_eq!(sent(&relay), ["look", "list"]);
    assert_eq!(relay.thread_status(), "streaming");
    // Once that run is over, ours is the newest.
    relay.newer = vec![("th_2", "completed")];
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
}

#[test]
fn a_newer_run_after_a_failed_request_is_reported_with_what_was_sent() {
    let mut relay = under_way()
        .loses("cancel", 1)
        .when("list", 2, |relay| relay.newer.push(("th_2", "streaming")));
    match relay.cancel().unwrap_err() {
        CancelError::AnotherRun { sent, .. } => assert_eq!(sent, Sent::Maybe),
        other => panic!("{other}"),
    }
    assert_eq!(relay.count("cancel"), 1);
}

#[test]
fn an_answered_turn_is_over_and_a_later_one_goes_on() {
    let mut relay = under_way();
    relay.messages = Some(json!([line::question("u1"), line::answer("m1", &[STORY])]));
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Idle);
    assert_eq!(sent(&relay), ["look"]);
    assert_eq!(relay.thread_status(), "streaming");
}

#[test]
fn a_turn_that_is_answered_during_a_failed_list_is_over() {
    // By the time the list arrives, a later turn streams in the thread.
    for refused in [true, false] {
        let relay = under_way().when("list", 1, |relay| {
            relay.messages = Some(json!([line::question("u1"), line::answer("m1", &[STORY])]));
        });
        let mut relay = match refused {
            true => relay.refuses("list", 503, 1),
            false => relay.loses("list", 1),
        };
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Idle);
        assert_eq!(sent(&relay), ["look", "list", "list", "look"]);
        assert_eq!(relay.thread_status(), "streaming");
    }
}

#[test]
fn a_run_is_cancelled_even_if_its_thread_cannot_be_read() {
    let mut relay = under_way().refuses("look", 400, 1);
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(sent(&relay), ["look", "list", "cancel"]);
}

#[test]
fn a_run_that_is_over_is_not_cancelled() {
    for status in ["completed", "error", "failed", "cancelled", "idle"] {
        let mut relay = Relay::streams([]);
        relay.status = Some(status);
        assert_eq!(relay.cancel().unwrap().status, CancelStatus::Idle);
        assert_eq!(sent(&relay), ["look", "list"], "{status}");
    }
}

// ---- What fails

#[test]
fn a_lost_response_does_not_hide_a_cancellation() {
    let mut relay = under_way().does_and_loses("cancel");
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(relay.count("cancel"), 1, "it is not sent again");
    assert_eq!(relay.thread_status(), "cancelled");
}

#[test]
fn a_request_that_was_lost_on_its_way_is_sent_again() {
    let mut relay = under_way().loses("cancel", 1);
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(relay.count("cancel"), 2);
}

#[test]
fn a_permanently_refused_cancellation_is_not_retried() {
    for status in [400, 401, 403, 404, 410] {
        let mut relay = under_way().refuses("cancel", status, 99);
        let error = relay.cancel().unwrap_err();
        assert!(matches!(error, CancelError::Exchange(_)), "{error}");
        assert_eq!(relay.count("cancel"), 1, "{status}");
    }
}

#[test]
fn cancelling_that_fails_is_tried_5_times() {
    let mut relay = under_way().refuses("cancel", 500, 99);
    let error = relay.cancel().unwrap_err();
    assert!(matches!(error, CancelError::Exchange(_)), "{error}");
    assert_eq!(relay.count("cancel"), 5);
    let mut relay = under_way().refuses("cancel", 500, 4);
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert_eq!(relay.count("cancel"), 5);
}

#[test]
fn retry_after_is_capped_by_the_options() {
    let retry = RetryPolicy::standard().longest_retry_after(secs(10));
    let mut relay = under_way()
        .asks_to_wait("cancel", 503, 24 * 3600)
        .options(CallOptions::new().retry(retry));
    assert_eq!(relay.cancel().unwrap().status, CancelStatus::Cancelled);
    assert!(
        relay.now > secs(10) && relay.now < secs(12),
        "{:?}",
        relay.now
    );
}

#[test]
fn a_run_is_not_cancelled_while_its_end_cannot_be_checked() {
    let mut relay = under_way().refuses("look", 503, 9);
    let error = relay.cancel().unwrap_err();
    assert!(matches!(error, CancelError::Exchange(_)), "{error:?}");
    assert_eq!(sent(&relay), ["look", "look", "look"]);
}
