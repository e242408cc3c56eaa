//! No stream is open and the run goes on: its stream is opened again, and repeats what was delivered or joins in the middle.

use serde_json::json;
use twentyfirst_protocol::runs::{FollowPolicy, LostReason, MessageState};
use twentyfirst_protocol::ui::Part;

use crate::followed::Followed;
use crate::lines::{Line, STORY, line};
use crate::reconnecting::PLACES;
use crate::relay::{Fault, Relay, Resumes, ms, secs};

#[test]
fn a_stream_that_is_cut_is_opened_again() {
    for bytes in PLACES {
        for resumes in [Resumes::Middle, Resumes::HeldBack, Resumes::Replay] {
            let followed = Relay::new()
                .cut(bytes)
                .resumes(resumes)
                .read(FollowPolicy::live());
            followed.assert_of(STORY);
            assert!(
                followed.outline().contains("cut, resumed"),
                "{}",
                followed.outline()
            );
            assert!(followed.text().ends_with("that answer."));
            assert_eq!(followed.relay.count("resume"), 1);
            followed.assert_whole();
        }
    }
}

#[test]
fn a_replay_continues_in_the_middle_of_a_part() {
    for bytes in [517, 790, 1234] {
        let followed = Relay::new()
            .cut(bytes)
            .resumes(Resumes::Replay)
            .read(FollowPolicy::live());
        assert_eq!(
            followed.outline(),
            "start, chunks, cut, resumed, chunks, finish"
        );
        assert_eq!(
            followed.text(),
            STORY,
            "nothing is missing, nothing comes twice"
        );
        assert_eq!(followed.text_ids().len(), 1, "it is the same part");
        followed.assert_whole();
    }
}

#[test]
fn a_replay_continues_in_the_middle_of_a_tool_call() {
    for bytes in (600..1100).step_by(25) {
        let followed = Relay::says([
            line::text("t1", "Let me have a look around."),
            line::call("c1", "Bash", &json!({"command": "ls -l /home/user"})),
            line::pause(ms(400)),
            line::output("c1", &json!({"stdout": "a.txt"})),
            line::text("t2", "There is one file."),
            line::metadata(json!({"resultSubtype": "success"})),
            line::finish(),
        ])
        .cut(bytes)
        .resumes(Resumes::Replay)
        .read(FollowPolicy::live());
        assert_eq!(
            followed.outline(),
            "start, chunks, cut, resumed, chunks, finish"
        );
        assert_eq!(
            followed.text(),
            "Let me have a look around.There is one file."
        );
        followed.assert_whole();
        let call = followed.message.tool_calls().next().unwrap();
        assert_eq!(call.output.as_ref().unwrap().get(), r#"{"stdout":"a.txt"}"#);
    }
}

#[test]
fn joining_in_the_middle_marks_a_gap_and_ends_with_everything() {
    // Live chunks, and chunks that the relay holds back until the end.
    for resumes in [Resumes::Middle, Resumes::HeldBack] {
        let followed = Relay::new()
            .cut(400)
            .resumes(resumes)
            .read(FollowPolicy::live());
        assert_eq!(
            followed.outline(),
            "start, chunks, cut, resumed, gap, chunks, finish"
        );
        followed.assert_of(STORY);
        let pieces = followed.pieces();
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "{pieces:?}");
        followed.assert_whole();
    }
}

/// Follows a run whose text `begun` is delivered before the stream breaks off and is then replayed.
fn replayed(begun: &'static str) -> Followed {
    let rest = " and there it goes on.";
    let followed = Relay::streams([
        line::start("m1"),
        line::open_text("t1", begun),
        vec![Line::Cut],
    ])
    .then_streams([
        line::start("m2"),
        line::text("x1", &format!("{begun}{rest}")),
        line::finish(),
        line::says_done(),
    ])
    .when("look", 3, move |relay| {
        relay.complete_with(line::answer("m1", &[&format!("{begun}{rest}")]));
    })
    .read(FollowPolicy::live());
    assert_eq!(followed.text(), format!("{begun}{rest}"));
    followed.assert_completed(MessageState::Whole);
    followed
}

#[test]
fn a_replay_of_less_than_16_bytes_counts_as_a_gap() {
    let followed = replayed("Once upon a tim");
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, gap, chunks, finish"
    );
    assert_eq!(followed.text_ids(), ["t1", "x1"]);
}

#[test]
fn a_replay_of_16_bytes_is_recognized_and_continues_in_its_part() {
    let followed = replayed("Once upon a time");
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(followed.text_ids(), ["t1"]);
}

#[test]
fn chunks_woven_into_a_coincidental_replay_are_left_to_the_gap() {
    // Another text of the run begins like the delivered one, and contains a third.
    let followed = Relay::streams([
        line::start("m1"),
        line::open_text("t1", "Well "),
        line::cut(),
    ])
    .then_streams([
        line::start("m2"),
        line::open_text("x1", "We"),
        line::open_text("x2", "Meanwhile "),
        line::chunks([
            json!({"type": "text-delta", "id": "x1", "delta": "ll "}),
            json!({"type": "text-delta", "id": "x1", "delta": "then "}),
            json!({"type": "text-delta", "id": "x2", "delta": "somewhere else."}),
        ]),
        line::cut(),
    ])
    .at(secs(2), |relay| {
        let parts = ["Well well.", "Well then ", "Meanwhile somewhere else."];
        relay.complete_with(line::answer("m1", &parts));
    })
    .read(FollowPolicy::live());
    // Parts that are delivered after a gap follow one another.
    assert_eq!(followed.pieces()[..2], ["Well ", "then somewhere else."]);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn a_replay_of_almost_nothing_counts_as_a_gap() {
    // Only `start`, and `Once `, which any text could begin with.
    for bytes in [76, 170] {
        let followed = Relay::new()
            .cut(bytes)
            .resumes(Resumes::Replay)
            .read(FollowPolicy::live());
        followed.assert_of(STORY);
        followed.assert_whole();
        assert_eq!(followed.message.text(), STORY);
        let texts = followed.message.parts.iter();
        let texts = texts.filter(|part| matches!(part, Part::Text(_)));
        assert_eq!(texts.count(), 1);
    }
}

#[test]
fn without_a_stream_to_resume_one_request_is_sent_and_the_end_is_awaited() {
    let followed = Relay::new()
        .cut(350)
        .resumes(Resumes::Nothing)
        .pace(ms(150))
        .read(FollowPolicy::live());
    assert_eq!(followed.relay.count("resume"), 1);
    assert_eq!(followed.outline(), "start, chunks, cut, chunks, finish");
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}

#[test]
fn a_run_that_is_still_starting_is_resumed_once_it_has_started() {
    let followed = Relay::new()
        .pace(ms(150))
        .starts_up(secs(3))
        .fault(Fault::CutAfter(ms(1)))
        .resumes(Resumes::Replay)
        .read(FollowPolicy::live());
    assert!(followed.relay.count("resume") > 1);
    // Nothing was delivered, so it is unknown that this is the beginning.
    assert_eq!(
        followed.outline(),
        "cut, resumed, start, gap, chunks, finish"
    );
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}

#[test]
fn a_temporarily_refused_resume_is_retried() {
    for (status, seconds) in [
        (429, None),
        (500, None),
        (503, None),
        (429, Some(1)),
        (500, Some(1)),
        (503, Some(1)),
    ] {
        let relay = Relay::new().cut(350).pace(ms(150));
        let relay = match seconds {
            None => relay.refuses("resume", status, 1),
            Some(seconds) => relay.asks_to_wait("resume", status, seconds),
        };
        let followed = relay.read(FollowPolicy::live());
        assert_eq!(followed.relay.count("resume"), 2, "{status}");
        followed.assert_of(STORY);
        assert!(followed.text().ends_with("that answer."));
        followed.assert_whole();
    }
}

#[test]
fn a_permanently_refused_resume_falls_back_to_waiting() {
    for status in [400, 401, 403] {
        let followed = Relay::new()
            .cut(350)
            .pace(ms(150))
            .refuses("resume", status, 9)
            .read(FollowPolicy::live());
        assert_eq!(followed.relay.count("resume"), 1, "{status}");
        assert_eq!(followed.outline(), "start, chunks, cut, chunks, finish");
        assert_eq!(followed.text(), STORY);
        followed.assert_whole();
    }
}

#[test]
fn a_resume_without_result_is_tried_5_times() {
    let followed = Relay::new()
        .cut(350)
        .pace(ms(1500))
        .refuses("resume", 500, 99)
        .read(FollowPolicy::live());
    assert_eq!(followed.relay.count("resume"), 5);
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}

#[test]
fn the_senders_silence_limit_is_a_minute_longer_than_the_followers() {
    for (lost_after, silence) in [(Some(secs(600)), Some(secs(660))), (None, None)] {
        let followed = Relay::new()
            .cut(350)
            .resumes(Resumes::Replay)
            .read(FollowPolicy::live().lost_after(lost_after));
        assert_eq!(followed.relay.count("resume"), 1);
        assert_eq!(followed.relay.longest_silence, silence);
    }
}

#[test]
fn everything_is_delivered_even_if_every_stream_is_cut() {
    for resumes in [Resumes::Middle, Resumes::Replay] {
        for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
            let followed = Relay::new()
                .every(Fault::CutAfter(ms(120)))
                .resumes(resumes)
                .read(follow);
            followed.assert_of(STORY);
            match follow == FollowPolicy::live() {
                true => assert!(followed.relay.count("resume") > 1),
                false => assert_eq!(followed.relay.count("resume"), 0),
            }
            followed.assert_whole();
            assert_eq!(followed.message.text(), STORY);
        }
    }
}

#[test]
fn a_run_lost_during_an_undecided_replay_delivers_nothing_of_it() {
    // A half character that waits is not a contradiction that would make everything before it new.
    for half in [line::half("x1"), Vec::new()] {
        let followed = Relay::streams([
            line::start("m1"),
            line::open_text("t1", "Hello there, 👍 my friend."),
            line::cut(),
        ])
        .then_streams([
            line::start("m2"),
            line::open_text("x1", "Hello there, "),
            half,
        ])
        .read(FollowPolicy::live().deadline(secs(20)));
        assert_eq!(followed.outline(), "start, chunks, cut, resumed");
        assert_eq!(followed.text(), "Hello there, 👍 my friend.");
        followed.assert_lost(LostReason::Deadline);
        assert_eq!(followed.outcome.message_state, MessageState::Partial);
    }
}

#[test]
fn joining_in_the_middle_after_an_empty_beginning_loses_neither_ends_nor_metadata() {
    let session = json!({"sessionId": "s"});
    for begun in [
        line::open_text("t1", ""),
        line::metadata(session.clone()),
        [line::metadata(session), line::open_text("t1", "")].concat(),
        Vec::new(),
    ] {
        let followed = Relay::streams([line::start("m1"), begun.clone(), line::cut()])
            .then_streams([
                line::start("m2"),
                line::text("x1", "and there was light."),
                line::text("x2", "It was good."),
                line::metadata(json!({"totalCostUsd": 0.5, "resultSubtype": "success"})),
                line::finish(),
                line::says_done(),
            ])
            .when("look", 3, |relay| {
                let texts = ["Let there be light, and there was light.", "It was good."];
                relay.complete_with(line::answer("m1", &texts));
            })
            .read(FollowPolicy::live());
        let case = format!("{begun:?}: {:?}", followed.kinds());
        let count = |kind: &str| followed.kinds().iter().filter(|one| *one == kind).count();
        assert_eq!(count("text-start"), count("text-end"), "{case}");
        assert_eq!(
            followed.text(),
            "and there was light.It was good.",
            "{case}"
        );
        assert_eq!(followed.outcome.usage.total_cost_usd, Some(0.5), "{case}");
        assert_eq!(followed.outcome.result_subtype.as_deref(), Some("success"));
        assert!(count("message-metadata") >= 1, "{case}");
        followed.assert_completed(MessageState::Whole);
        assert!(followed.message.text().starts_with("Let there be light"));
    }
}

#[test]
fn a_stream_that_repeats_chunks_after_a_gap_is_given_up_for_good() {
    let whole = [
        "Once upon a time there was a sandbox of sand.",
        "It was far away.",
    ];
    let followed = Relay::streams([
        line::start("m1"),
        line::open_text("t1", "Once upon a time "),
        line::cut(),
    ])
    .then_streams([
        line::start("m2"),
        line::open_text("x1", "there was a sandbox of "),
        line::cut(),
    ])
    .then_streams([
        line::start("m3"),
        line::text("y1", whole[0]),
        line::open_text("y2", whole[1]),
    ])
    .then_streams([line::start("m4"), line::text("z1", whole[0])])
    .at(secs(30), move |relay| {
        relay.complete_with(line::answer("m1", &whole));
    })
    .read(FollowPolicy::live());
    assert_eq!(
        followed.pieces()[..2],
        ["Once upon a time ", "there was a sandbox of "]
    );
    assert_eq!(
        followed.text().matches("sandbox").count(),
        1,
        "{:?}",
        followed.pieces()
    );
    assert_eq!(
        followed.text().matches("far away").count(),
        1,
        "{:?}",
        followed.pieces()
    );
    assert_eq!(followed.relay.count("resume"), 2);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn an_invalid_event_in_an_undecided_stream_gives_it_up() {
    let whole = "Once upon a time there was a sandbox.";
    let followed = Relay::streams([
        line::start("m1"),
        line::open_text("t1", "Once upon a time "),
        line::cut(),
    ])
    .then_streams([
        line::start("m2"),
        line::open_text("x1", "Once upon "),
        vec![Line::Says("{".to_owned())],
        line::text("x2", whole),
    ])
    .at(secs(30), move |relay| {
        relay.complete_with(line::answer("m1", &[whole]));
    })
    .read(FollowPolicy::live());
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, not a chunk, chunks, finish"
    );
    assert_eq!(followed.text(), whole);
    assert_eq!(followed.relay.count("resume"), 1);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn streams_that_are_cut_before_anything_comes_are_opened_5_times() {
    let followed = Relay::new()
        .cut(350)
        .every(Fault::Cut(0))
        .pace(ms(1500))
        .read(FollowPolicy::live());
    assert_eq!(followed.relay.count("resume"), 5);
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}

#[test]
fn a_stream_with_progress_may_fail_5_times_again() {
    let followed = Relay::new()
        .cut(800)
        .fault(Fault::CutAfter(secs(10)))
        .resumes(Resumes::Replay)
        .pace(ms(1500))
        .refuses("resume", 500, 4)
        .when("resume", 6, |relay| {
            for _ in 0..4 {
                relay.refuses_now("resume", 500);
            }
        })
        .read(FollowPolicy::live());
    assert_eq!(followed.relay.count("resume"), 4 + 1 + 4 + 1);
    // The delay starts again from that after the first cut.
    let sent = |(_, (_, what)): &(usize, &(_, &str))| *what == "resume";
    let sixth = followed.relay.sent.iter().enumerate().filter(sent).nth(5);
    let (place, (refused, _)) = sixth.unwrap();
    let pause = followed.relay.sent[place + 1].0 - *refused;
    assert!(pause <= ms(251), "{pause:?}");
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(followed.text(), STORY);
    followed.assert_whole();
}
