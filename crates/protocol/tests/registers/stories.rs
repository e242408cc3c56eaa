//! Single steps of the state machines that random schedules reach too rarely.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::run_log::register::{
    Duty, DutyStep, Listed, Noted, Obligation, Register, RegisterEnd, RegisterStep, Supervisor,
    SupervisorStep,
};
use twentyfirst_protocol::run_log::{
    Append, Appended, Claim, Ended, Entry, Found, LogId, Logged, Position,
};

const DAY: u64 = 20_000;

fn start() -> Now {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(DAY * 24 * 60 * 60);
    Now {
        mono: Instant::now(),
        wall,
    }
}

fn later(now: Now, seconds: u64) -> Now {
    let time = Duration::from_secs(seconds);
    Now {
        mono: now.mono + time,
        wall: now.wall + time,
    }
}

fn entry(append: &Append) -> Entry {
    Logged::decode(&append.entry).unwrap().entry
}

fn logged(entry: Entry) -> Bytes {
    Logged::new(0, entry).encode()
}

fn obligation(run: &str) -> Obligation {
    Obligation::new(run, "user", "chat")
}

/// Returns a register in its writing phase.
fn register(now: Now) -> Register {
    let mut register = Register::begin("r1", "i1");
    let (log, append) = appended(&mut register, now);
    assert_eq!(log, LogId::register("r1"));
    assert!(matches!(entry(&append), Entry::Claim(claim) if claim.by == "i1"));
    assert_eq!(
        register.poll(now),
        RegisterStep::Last(LogId::roster(DAY)),
        "it is listed before it is written"
    );
    register.handle_last(Found::Some((Position::new(4, 0), Bytes::new())), now);
    let (log, append) = appended(&mut register, now);
    assert_eq!((log, append.at), (LogId::roster(DAY), Position::new(5, 0)));
    register
}

/// Returns the append that the register requests, and confirms it.
fn appended(register: &mut Register, now: Now) -> (LogId, Append) {
    let step = register.poll(now);
    let RegisterStep::Append(log, append) = step else {
        panic!("{step:?}");
    };
    register.handle_append(Appended::Yes, now);
    (log, append)
}

/// Returns the changes that are in the register now.
fn noted(register: &mut Register, now: Now) -> Noted {
    let step = register.poll(now);
    let RegisterStep::Noted(noted) = step else {
        panic!("{step:?}");
    };
    noted
}

#[test]
fn changes_made_while_the_store_is_busy_are_written_together() {
    let now = start();
    let mut register = register(now);
    register.open(obligation("run-1"));
    let RegisterStep::Append(_, first) = register.poll(now) else {
        panic!("an append");
    };
    assert!(matches!(entry(&first), Entry::Noted(noted) if noted.opened.len() == 1));
    for run in ["run-2", "run-3"] {
        register.open(obligation(run));
    }
    register.close("run-1");
    assert_eq!(register.poll(now), RegisterStep::Wait { until: None });
    register.handle_append(Appended::Yes, now);
    assert_eq!(noted(&mut register, now).opened.len(), 1);
    appended(&mut register, now);
    let noted = noted(&mut register, now);
    let opened: Vec<&str> = noted.opened.iter().map(|opened| &*opened.run).collect();
    assert_eq!(opened, ["run-2", "run-3"]);
    assert_eq!(noted.closed, ["run-1"]);
}

#[test]
fn a_register_is_full_after_a_thousand_notes_or_twelve_hours() {
    let now = start();
    let mut full = register(now);
    for number in 0..1_000 {
        assert!(!full.is_full(now.mono));
        full.open(obligation(&format!("run-{number}")));
        appended(&mut full, now);
        noted(&mut full, now);
    }
    assert!(full.is_full(now.mono));
    let half_a_day = 12 * 60 * 60;
    assert!(register(now).is_full(later(now, half_a_day).mono));
    assert!(!register(now).is_full(later(now, half_a_day - 1).mono));
}

#[test]
fn a_register_that_is_retired_ends_when_nothing_is_open() {
    let now = start();
    let mut register = register(now);
    register.open(obligation("run-1"));
    appended(&mut register, now);
    noted(&mut register, now);
    register.retire();
    let now = later(now, 10);
    let (_, beat) = appended(&mut register, now);
    assert_eq!(entry(&beat), Entry::Beat);
    register.close("run-1");
    appended(&mut register, now);
    noted(&mut register, now);
    let (_, end) = appended(&mut register, now);
    assert!(matches!(entry(&end), Entry::End(_)));
    assert_eq!(register.poll(now), RegisterStep::Over(RegisterEnd::Closed));
}

#[test]
fn a_register_is_listed_again_on_the_next_day() {
    let now = start();
    let mut register = register(now);
    appended(&mut register, now);
    let tomorrow = later(now, 24 * 60 * 60);
    let roster = RegisterStep::Last(LogId::roster(DAY + 1));
    assert_eq!(register.poll(tomorrow), roster);
    // A store that does not respond does not affect what is written meanwhile.
    register.handle_last(Found::Unavailable, tomorrow);
    let (log, _) = appended(&mut register, tomorrow);
    assert_eq!(log, LogId::register("r1"));
    assert_eq!(register.poll(later(tomorrow, 1)), roster);
}

#[test]
fn changes_are_written_when_a_silent_store_is_back() {
    let now = start();
    let mut register = register(now);
    register.open(obligation("run-1"));
    let mut at = now;
    for _ in 0..100 {
        match register.poll(at) {
            RegisterStep::Append(..) => register.handle_append(Appended::Unavailable, at),
            RegisterStep::Wait { .. } => at = later(at, 5),
            step => panic!("{step:?}"),
        }
    }
    assert!(at.mono > now.mono + Duration::from_secs(200));
    let at = later(at, 5);
    appended(&mut register, at);
    assert_eq!(noted(&mut register, at).opened.len(), 1);
}

#[test]
fn a_register_of_a_newer_version_is_released() {
    let now = start();
    let mut register = Register::take_over("r1", "i2", Position::new(1, 1), DAY);
    appended(&mut register, now);
    assert!(matches!(register.poll(now), RegisterStep::Read(..)));
    let claim = logged(Entry::Claim(Claim::new("i1", "", "")));
    let newer = Bytes::from_static(b"21st/2 noted 0\n");
    register.handle_page(Found::Some(vec![
        (Position::new(1, 0), claim),
        (Position::new(1, 1), newer),
    ]));
    let (_, release) = appended(&mut register, now);
    assert_eq!(entry(&release), Entry::Release);
    let over = register.poll(now);
    assert!(
        matches!(over, RegisterStep::Over(RegisterEnd::Unreadable(_))),
        "{over:?}"
    );
}

/// Returns the steps of a supervisor that sees this last entry of a register, with these pauses between the looks, in seconds.
fn looks(pauses: &[u64], last: &Entry) -> Vec<SupervisorStep> {
    let mut now = start();
    let mut supervisor = Supervisor::new();
    let mut steps = Vec::new();
    for pause in pauses {
        now = later(now, *pause);
        loop {
            match supervisor.poll(now) {
                SupervisorStep::Read(log, after) => {
                    let is_new = log == LogId::roster(DAY) && after == Position::START;
                    let listed = logged(Entry::Listed(Listed::new("r1")));
                    let entries = is_new.then(|| vec![(Position::new(1, 0), listed)]);
                    supervisor.handle_page(Found::Some(entries.unwrap_or_default()));
                }
                SupervisorStep::Last(log) => {
                    assert_eq!(log, LogId::register("r1"));
                    let last = (Position::new(1, 7), logged(last.clone()));
                    supervisor.handle_last(Found::Some(last), now);
                }
                SupervisorStep::Wait { .. } => break,
                step => steps.push(step),
            }
        }
    }
    steps
}

#[test]
fn a_register_is_taken_over_after_three_beats_of_silence_and_once() {
    assert_eq!(looks(&[0, 5, 5], &Entry::Beat), []);
    let adopted = SupervisorStep::Adopt {
        register: "r1".to_owned(),
        after: Position::new(1, 7),
        listed: DAY,
    };
    let many = [0, 5, 5, 5, 5, 5, 5];
    assert_eq!(looks(&many, &Entry::Beat), std::slice::from_ref(&adopted));
    assert_eq!(looks(&[0, 5], &Entry::Release), [adopted]);
    assert_eq!(looks(&many, &Entry::End(Ended::new("closed"))), []);
}

#[test]
fn a_suspended_supervisor_has_not_observed_silence() {
    // The process was suspended for an hour between two looks.
    assert_eq!(looks(&[0, 3_600], &Entry::Beat), []);
    assert_eq!(looks(&[0, 3_600, 5, 5], &Entry::Beat).len(), 1);
}

#[test]
fn a_run_claimed_elsewhere_is_closed_and_one_claimed_here_is_reported() {
    let now = Instant::now();
    for (by, expected) in [("i1", DutyStep::End), ("i9", DutyStep::Close)] {
        let mut duty = Duty::new(obligation("run-1"), vec!["i1".to_owned()], "i2");
        assert_eq!(duty.poll(now), DutyStep::Last(LogId::run("run-1")));
        let ended = logged(Entry::End(Ended::new("completed")));
        duty.handle_last(Found::Some((Position::new(3, 8), ended)), now);
        let DutyStep::First(_, after) = duty.poll(now) else {
            panic!("its claim");
        };
        let claim = logged(Entry::Claim(Claim::new(by, "user", "chat")));
        assert!(after < Position::new(3, 0) && after > Position::new(2, 1_000_000));
        duty.handle_page(Found::Some(vec![(Position::new(3, 0), claim)]));
        assert_eq!(duty.poll(now), expected);
    }
}
