//! A stream was opened: nothing is taken from it until it is known to be ours.

use twentyfirst_protocol::runs::{FollowPolicy, MessageState};

use crate::followed::Followed;
use crate::lines::{Line, STORY, line};
use crate::relay::{Fault, Relay, Resumes, ms, secs};

/// Returns another run that begins like ours and continues differently.
fn other_story() -> Vec<Line> {
    [
        line::start("o1"),
        line::text("o1", &format!("{STORY} But that is another story.")),
        line::finish(),
        line::says_done(),
    ]
    .concat()
}

#[test]
fn a_newer_runs_stream_is_not_opened() {
    let mut relay = Relay::new().cut(350);
    relay.newer = vec![("th_2", "streaming")];
    let followed = relay.read(FollowPolicy::live());
    assert_eq!(followed.outline(), "start, chunks, cut, chunks, finish");
    assert_eq!(followed.text(), STORY);
    assert_eq!(followed.relay.count("resume"), 0, "it waited");
    followed.assert_whole();
}

#[test]
fn a_stream_of_another_run_that_is_opened_between_list_and_resume_is_never_read() {
    // It is still streaming when the threads are listed again, or is over by then.
    for status in ["streaming", "completed"] {
        let followed = Relay::new()
            .cut(350)
            .pace(ms(150))
            .resumes(Resumes::Replay)
            .when("resume", 1, |relay| relay.newer.push(("th_2", "streaming")))
            .when("list", 2, move |relay| relay.newer = vec![("th_2", status)])
            .at(ms(3500), |relay| relay.newer = vec![("th_2", "completed")])
            .then_first_resume(other_story())
            .read(FollowPolicy::live());
        assert_eq!(followed.text(), STORY);
        let resumed = followed.outline().matches("resumed").count();
        assert_eq!(
            resumed,
            followed.relay.count("resume") - 1,
            "{}",
            followed.outline()
        );
        followed.assert_whole();
    }
}

#[test]
fn a_stream_that_cannot_be_verified_is_not_read() {
    for what in ["list", "look"] {
        // The first of each precedes the opening of the stream.
        let followed = Relay::new()
            .cut(350)
            .resumes(Resumes::Replay)
            .pace(ms(150))
            .when(what, 2, move |relay| relay.refuses_now(what, 400))
            .read(FollowPolicy::live());
        assert_eq!(followed.outline(), "start, chunks, cut", "{what}");
        followed.assert_lost(twentyfirst_protocol::runs::LostReason::Refused);
    }
}

/// Asserts that the resumed stream, which is another run's, was refused and all of ours came.
fn assert_only_ours_was_read(followed: &Followed) {
    let outline = followed.outline();
    assert!(!outline.contains("resumed"), "{outline}");
    assert_eq!(followed.text(), STORY);
    assert_eq!(followed.relay.count("resume"), 1);
}

#[test]
fn a_later_turn_that_streams_in_our_thread_is_never_read() {
    // Between list and resume, ours has completed and the next has begun.
    for is_joined in [false, true] {
        let followed = Relay::new()
            .cut(350)
            .pace(ms(1500))
            .then_first_resume(other_story())
            .when("resume", 1, |relay| {
                let answer = relay.answer();
                relay.complete_with(answer);
                relay.status = Some("streaming");
            });
        let followed = match is_joined {
            true => followed.join(FollowPolicy::live()),
            false => followed.read(FollowPolicy::live()),
        };
        assert_only_ours_was_read(&followed);
        followed.assert_completed(MessageState::Whole);
        assert_eq!(followed.message, followed.relay.stored_answer());
    }
}

#[test]
fn a_later_turn_is_never_read_even_if_an_unknown_reader_stored_our_answer() {
    // Another process has also read our run, and stored it first.
    let followed = Relay::new()
        .cut(350)
        .pace(ms(1500))
        .then_first_resume(other_story())
        .when("resume", 1, |relay| {
            let mut answer = relay.answer();
            answer["id"] = "of-an-unknown-reader".into();
            relay.complete_with(answer);
            relay.status = Some("streaming");
        })
        .read(FollowPolicy::live());
    assert_only_ours_was_read(&followed);
    assert_eq!(followed.message.parts, followed.relay.stored_answer().parts);
}

#[test]
fn a_stream_whose_run_ends_before_the_second_list_is_read_to_its_end() {
    // The follower does not know the turn, and has no id to look for.
    let followed = Relay::new()
        .without_turn()
        .cut(0)
        .resumes(Resumes::HeldBack)
        .read(FollowPolicy::live());
    assert_eq!(
        followed.outline(),
        "cut, resumed, start, gap, chunks, finish"
    );
    followed.assert_of(STORY);
}

#[test]
fn a_thread_above_the_size_limit_is_not_read_again_before_the_end() {
    // The first look precedes the opening of the stream, and the second verifies it.
    let followed = Relay::new()
        .cut(800)
        .fault(Fault::CutAfter(secs(9)))
        .resumes(Resumes::Replay)
        .pace(ms(500))
        .when("look", 2, |relay| relay.refuses_now("look", 0))
        .read(FollowPolicy::live());
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(followed.relay.count("look"), 3, "{:?}", followed.relay.sent);
    followed.assert_whole();
}
