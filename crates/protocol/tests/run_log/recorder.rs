//! Single steps of a recorder that random schedules reach too rarely.

use std::time::Instant;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    Appended, Claim, Entry, EntryError, Found, Limits, LogId, Logged, Position, Recorder,
    RecorderEnd, RecorderStep, Recording, Stop, Turn, TurnOrder,
};
use twentyfirst_protocol::runs::RunRef;
use twentyfirst_protocol::{SandboxId, ThreadId};

fn logged(entry: Entry) -> Bytes {
    Logged::new(0, entry).encode()
}

fn claim(by: &str) -> Bytes {
    logged(Entry::Claim(Claim::new(by, "user", "chat")))
}

fn run_ref() -> RunRef {
    let ids = (SandboxId::new("sb"), ThreadId::new("th"));
    RunRef::new("agent", ids.0.unwrap(), ids.1.unwrap())
}

/// Returns a recorder of instance `i1` that has claimed after this position and will read the log next.
fn claimed(after: Position) -> Recorder {
    let recording = Recording::new("run", "i1").of_chat("user", "chat");
    let mut recorder = Recorder::take_over(recording, after, Limits::default());
    let now = Instant::now();
    let step = recorder.poll(now);
    assert!(
        matches!(&step, RecorderStep::Append(_, append) if append.entry == claim("i1")),
        "{step:?}"
    );
    // The result is the same if the claim was already there.
    recorder.handle_append(Appended::Yes, now);
    assert!(matches!(recorder.poll(now), RecorderStep::Read(..)));
    recorder
}

#[test]
fn an_own_claim_of_an_older_epoch_does_not_count() {
    let mut recorder = claimed(Position::new(1, 0));
    recorder.handle_page(Found::Some(vec![
        (Position::new(1, 0), claim("i0")),
        (Position::new(2, 0), claim("i1")),
        (Position::new(3, 0), claim("i2")),
        (Position::new(3, 1), logged(Entry::Beat)),
    ]));
    loop {
        match recorder.poll(Instant::now()) {
            RecorderStep::Deliver(_) => {}
            step => {
                assert_eq!(step, RecorderStep::Over(RecorderEnd::Fenced));
                break;
            }
        }
    }
}

#[test]
fn a_successor_ends_a_run_whose_starter_died_while_stopping_it() {
    let mut recorder = claimed(Position::new(1, 1));
    recorder.handle_page(Found::Some(vec![
        (Position::new(1, 0), claim("i0")),
        (Position::new(1, 1), logged(Entry::Started(run_ref()))),
        (Position::new(2, 0), claim("i1")),
    ]));
    let mut has_cancelled = false;
    for _ in 0..10 {
        match recorder.poll(Instant::now()) {
            RecorderStep::Last(log) => {
                assert_eq!(log, LogId::stop("run"));
                let stop = logged(Entry::Stop(Stop::new("i0")));
                recorder.handle_last(Found::Some((Position::new(1, 0), stop)));
            }
            RecorderStep::Cancel(run) => has_cancelled |= run == run_ref(),
            RecorderStep::Deliver(_) | RecorderStep::Follow(..) => {}
            _ => break,
        }
    }
    assert!(has_cancelled);
}

#[test]
fn without_a_store_each_query_is_sent_once() {
    let recording = Recording::new("run", "i1").of_chat("user", "chat");
    let mut recorder = Recorder::begin(recording, Limits::default());
    let now = Instant::now();
    let mut asked = 0;
    while !recorder.wants_chunks() {
        match recorder.poll(now) {
            RecorderStep::Last(_) => {
                asked += 1;
                recorder.handle_last(Found::Unavailable);
            }
            RecorderStep::Start { .. } => recorder.handle_placed(run_ref()),
            RecorderStep::Send => recorder.handle_started(run_ref()),
            RecorderStep::Deliver(_) => {}
            step => panic!("{step:?}"),
        }
    }
    // Once for the turn of the chat, and once for a stop.
    assert_eq!(asked, 2);
}

#[test]
fn a_successor_retries_a_lost_page_and_gives_up_at_last() {
    let pages = || {
        [
            (Position::new(1, 0), claim("i0")),
            (Position::new(1, 1), logged(Entry::Started(run_ref()))),
        ]
    };
    for (lost, is_over) in [(3, false), (4, true)] {
        let mut recorder = claimed(Position::new(2, 0));
        for entry in pages() {
            for _ in 0..3 {
                recorder.handle_page(Found::Unavailable);
            }
            recorder.handle_page(Found::Some(vec![entry]));
        }
        for _ in 0..lost {
            recorder.handle_page(Found::Unavailable);
        }
        let steps = std::iter::repeat_with(|| recorder.poll(Instant::now()));
        let last = steps
            .take(20)
            .find(|step| !matches!(step, RecorderStep::Deliver(_) | RecorderStep::Read(..)));
        let gone = matches!(last, Some(RecorderStep::Over(RecorderEnd::Gone)));
        assert_eq!(gone, is_over, "{last:?}");
    }
}

/// Returns the end of a recorder that queues for a turn while `run-2` goes on. These are the last entry of each log, the turns of
/// the chat, and whether another turn is taken before it.
fn end_in_queue(
    last: impl Fn(&LogId) -> Bytes,
    turns: Vec<(Position, Bytes)>,
    mut overtaken: bool,
) -> RecorderEnd {
    let recording = Recording::new("run", "i1").of_chat("user", "chat");
    let recording = recording.order(TurnOrder::enqueue());
    let mut recorder = Recorder::begin(recording, Limits::default());
    let (chat, now) = (LogId::chat("user", "chat"), Instant::now());
    loop {
        match recorder.poll(now) {
            RecorderStep::Last(log) if log == chat && overtaken => {
                overtaken = false;
                let turn = logged(Entry::Turn(Turn::new("run-2")));
                recorder.handle_last(Found::Some((Position::new(2, 0), turn)));
            }
            RecorderStep::Last(log) => {
                recorder.handle_last(Found::Some((Position::new(2, 0), last(&log))));
            }
            RecorderStep::Read(log, after) => {
                assert_eq!(log, chat);
                let above = turns.iter().filter(|(at, _)| *at > after);
                recorder.handle_page(Found::Some(above.cloned().collect()));
            }
            RecorderStep::Append(log, _) if log == chat => {
                recorder.handle_append(Appended::Fenced, now);
            }
            RecorderStep::Append(..) => recorder.handle_append(Appended::Yes, now),
            RecorderStep::Over(end) => return end,
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_queue_with_an_unreadable_entry_refuses_a_turn_by_name() {
    let newer = || Bytes::from_static(b"21st/2 whatever");
    let turn = |run| logged(Entry::Turn(Turn::new(run)));
    let turns = |first| {
        vec![
            (Position::new(1, 0), first),
            (Position::new(2, 0), turn("run-2")),
        ]
    };
    let (chat, first) = (LogId::chat("user", "chat"), LogId::run("run-1"));
    let beat = || logged(Entry::Beat);
    let unreadable = RecorderEnd::ChatUnreadable(EntryError::Newer(2));

    // An earlier turn, then the run of an earlier turn.
    let last = |log: &LogId| match log {
        log if *log == chat => turn("run-2"),
        _ => beat(),
    };
    assert_eq!(end_in_queue(last, turns(newer()), false), unreadable);
    let last = |log: &LogId| match log {
        log if *log == chat => turn("run-2"),
        log if *log == first => newer(),
        _ => beat(),
    };
    assert_eq!(end_in_queue(last, turns(turn("run-1")), false), unreadable);
    // A turn that another instance took first, when this run was claimed already.
    let last = |log: &LogId| match log {
        log if *log == chat => newer(),
        _ => beat(),
    };
    assert_eq!(end_in_queue(last, turns(turn("run-1")), true), unreadable);
    // Something that is not a turn of a chat is not readable as one.
    let last = |log: &LogId| match log {
        log if *log == chat => turn("run-2"),
        _ => beat(),
    };
    let end = end_in_queue(last, turns(beat()), false);
    let reason = EntryError::Corrupt("it is not a turn of a chat");
    assert_eq!(end, RecorderEnd::ChatUnreadable(reason));
}
