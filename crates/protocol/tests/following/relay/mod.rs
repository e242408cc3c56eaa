//! A simulated relay with one run and virtual time: its script.

mod requests;
mod run;
mod streams;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::Event;
use twentyfirst_protocol::flow::Now;

use crate::lines::{Line, STORY, line};

/// The interval between two words.
pub(crate) const PACE: Duration = ms(15);

type Change = Box<dyn FnOnce(&mut Relay)>;

/// The relay. Its one run tells the [`STORY`] in the thread `th_1`, as the answer to the message `u1`, and completes.
pub(crate) struct Relay {
    begin: Now,
    pub(crate) now: Duration,
    /// The chunks of the run except `start`, with their times.
    run: Vec<(Duration, Value)>,
    end: End,
    start_up: Duration,
    done_after: Duration,
    resumes: Resumes,
    /// The faults of the next streams, in order, and the fault of every other.
    faults: VecDeque<Fault>,
    every: Option<Fault>,
    /// Scripts that replace the run's chunks on the next streams.
    scripts: VecDeque<Vec<Line>>,
    /// The script of the first resumed stream.
    resumed_first: Option<Vec<Line>>,
    opened: usize,
    refusals: Vec<Refusal>,
    changes: Vec<(When, Change)>,
    /// The threads that are newer than ours, with their statuses.
    pub(crate) newer: Vec<(&'static str, &'static str)>,
    /// The status of our thread and its stored messages, if they do not follow from the run.
    pub(crate) status: Option<&'static str>,
    pub(crate) messages: Option<Value>,
    /// The messages that were stored before the run.
    pub(crate) history: Vec<Value>,
    /// The stored answer, if it differs from the streamed one.
    stored: Option<Value>,
    pub(crate) usage: Value,
    is_deleted: bool,
    /// Whether only the thread is deleted.
    pub(crate) is_thread_deleted: bool,
    /// The id of the user's message, if the follower knows it.
    turn: Option<&'static str>,
    pub(crate) options: CallOptions,
    stream: VecDeque<(Duration, Event)>,
    /// Whether a stream was opened and has neither ended nor been closed.
    pub(crate) has_open_stream: bool,
    exchange: Option<(Duration, Event)>,
    /// The requests that were sent, with their times.
    pub(crate) sent: Vec<(Duration, &'static str)>,
    /// The limit for silence that the last stream was opened with.
    pub(crate) longest_silence: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
enum End {
    Completes,
    /// With an `error` chunk.
    Fails(&'static str),
    /// `finish` comes, and then the stream ends.
    IsNotStored(&'static str),
    /// Its runtime falls silent for ever.
    Dies,
    WasCancelled,
}

/// The kind of stream that is opened while the run streams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resumes {
    /// Joins in the middle.
    Middle,
    /// Joins in the middle, and gets everything at the end.
    HeldBack,
    /// Begins at the beginning.
    Replay,
    /// There is none.
    Nothing,
}

/// A fault of a stream after some of its bytes, or after some time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    Cut(usize),
    /// After the first event of this type.
    CutAfterEvent(&'static str),
    Ends(usize),
    FallsSilent(usize),
    CutAfter(Duration),
    Says(usize, &'static str),
}

struct Refusal {
    of: &'static str,
    times: usize,
    /// `None`: the connection breaks off; 0: the response exceeds the size limit.
    status: Option<u16>,
    retry_after: Option<u64>,
    /// Whether the request takes effect all the same.
    is_done: bool,
}

enum When {
    At(Duration),
    /// The time at which this many of these requests were sent.
    Sent(&'static str, usize),
}

impl Relay {
    /// Creates a relay whose run tells the story.
    pub(crate) fn new() -> Self {
        Self::says([
            line::text("t1", STORY),
            line::metadata(
                json!({"resultSubtype": "success", "totalCostUsd": 0.01, "finalTextId": "t1"}),
            ),
            line::finish(),
        ])
    }

    /// Creates a relay whose run sends these chunks.
    pub(crate) fn says(lines: impl IntoIterator<Item = Vec<Line>>) -> Self {
        let mut run = Vec::new();
        let mut at = Duration::ZERO;
        for line in lines.into_iter().flatten() {
            match line {
                Line::Pause(pause) => at += pause,
                Line::Says(chunk) => {
                    at += PACE;
                    run.push((at, serde_json::from_str(&chunk).unwrap()));
                }
                Line::Cut | Line::Ends => panic!("a stream breaks off, and no run"),
            }
        }
        Self {
            begin: Now {
                mono: Instant::now(),
                wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            },
            now: Duration::ZERO,
            run,
            end: End::Completes,
            start_up: Duration::ZERO,
            done_after: ms(20),
            resumes: Resumes::Middle,
            faults: VecDeque::new(),
            every: None,
            scripts: VecDeque::new(),
            resumed_first: None,
            opened: 0,
            refusals: Vec::new(),
            changes: Vec::new(),
            newer: Vec::new(),
            status: None,
            messages: None,
            history: Vec::new(),
            stored: None,
            usage: Value::Null,
            is_deleted: false,
            is_thread_deleted: false,
            turn: Some("u1"),
            options: CallOptions::new(),
            stream: VecDeque::new(),
            has_open_stream: false,
            exchange: None,
            sent: Vec::new(),
            longest_silence: None,
        }
    }

    /// Creates a relay whose first stream consists of these lines. Its thread streams until a change ends it.
    pub(crate) fn streams(lines: impl IntoIterator<Item = Vec<Line>>) -> Self {
        let mut relay = Self::says([]).then_streams(lines);
        relay.status = Some("streaming");
        relay
    }

    /// Sets the content of the next stream.
    pub(crate) fn then_streams(mut self, lines: impl IntoIterator<Item = Vec<Line>>) -> Self {
        self.scripts
            .push_back(lines.into_iter().flatten().collect());
        self
    }

    /// Sets the content of the first stream that is opened after the original one.
    pub(crate) fn then_first_resume(mut self, lines: Vec<Line>) -> Self {
        self.resumed_first = Some(lines);
        self
    }

    /// Sets the fault of the next stream.
    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.faults.push_back(fault);
        self
    }

    /// Cuts the first stream after this many bytes.
    pub(crate) fn cut(self, bytes: usize) -> Self {
        self.fault(Fault::Cut(bytes))
    }

    pub(crate) fn every(mut self, fault: Fault) -> Self {
        self.every = Some(fault);
        self
    }

    pub(crate) fn resumes(mut self, resumes: Resumes) -> Self {
        self.resumes = resumes;
        self
    }

    /// Makes the run fail at its end.
    pub(crate) fn fails(mut self, text: &'static str) -> Self {
        self.run.retain(|(_, chunk)| !is_end(chunk));
        let at = self.run.last().map_or(Duration::ZERO, |(at, _)| *at) + PACE;
        let error = json!({"type": "error", "errorText": text});
        self.run.push((at, error));
        self.end = End::Fails(text);
        self
    }

    /// Makes the run send its end but fail to be stored.
    pub(crate) fn fails_to_store(mut self, text: &'static str) -> Self {
        self.end = End::IsNotStored(text);
        self
    }

    /// Makes the runtime die at this time.
    pub(crate) fn dies(mut self, at: Duration) -> Self {
        self.run.retain(|(said, _)| *said <= at);
        self.end = End::Dies;
        self
    }

    /// Restarts the relay at this time: the stream breaks off, nothing more comes, and the thread streams for ever.
    pub(crate) fn restarts(mut self, at: Duration) -> Self {
        self.resumes = Resumes::Nothing;
        self.fault(Fault::CutAfter(at)).dies(at)
    }

    /// Sets the time before the first chunk.
    pub(crate) fn starts_up(mut self, start_up: Duration) -> Self {
        self.start_up = start_up;
        self.run.iter_mut().for_each(|(at, _)| *at += start_up);
        self
    }

    /// Sets the time for each word.
    pub(crate) fn pace(mut self, pace: Duration) -> Self {
        let times = pace.as_secs_f64() / PACE.as_secs_f64();
        let slower = |(at, _): &mut (Duration, Value)| *at = at.mul_f64(times);
        self.run.iter_mut().for_each(slower);
        self
    }

    pub(crate) fn done_after(mut self, done_after: Duration) -> Self {
        self.done_after = done_after;
        self
    }

    /// Sets the stored answer.
    pub(crate) fn stores(mut self, answer: Value) -> Self {
        self.stored = Some(answer);
        self
    }

    pub(crate) fn with_history(mut self, history: impl IntoIterator<Item = Value>) -> Self {
        self.history = history.into_iter().collect();
        self
    }

    /// Hides from the follower which message the run answers.
    pub(crate) fn without_turn(mut self) -> Self {
        self.turn = None;
        self
    }

    pub(crate) fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Refuses this many of these requests.
    pub(crate) fn refuses(self, of: &'static str, status: u16, times: usize) -> Self {
        self.refusal(of, times, Some(status), None, false)
    }

    /// Refuses them with a `retry-after` in seconds.
    pub(crate) fn asks_to_wait(self, of: &'static str, status: u16, seconds: u64) -> Self {
        self.refusal(of, 1, Some(status), Some(seconds), false)
    }

    /// Loses this many of these requests with their responses; they take no effect.
    pub(crate) fn loses(self, of: &'static str, times: usize) -> Self {
        self.refusal(of, times, None, None, false)
    }

    /// Makes the response exceed the size limit.
    pub(crate) fn exceeds_limit(self, of: &'static str) -> Self {
        self.refusal(of, usize::MAX, Some(0), None, false)
    }

    /// Loses one response, but the request takes effect.
    pub(crate) fn does_and_loses(self, of: &'static str) -> Self {
        self.refusal(of, 1, None, None, true)
    }

    /// Refuses the next of these requests.
    pub(crate) fn refuses_now(&mut self, of: &'static str, status: u16) {
        self.refusals.push(Refusal {
            of,
            times: 1,
            status: Some(status),
            retry_after: None,
            is_done: false,
        });
    }

    fn refusal(
        mut self,
        of: &'static str,
        times: usize,
        status: Option<u16>,
        retry_after: Option<u64>,
        is_done: bool,
    ) -> Self {
        self.refusals.push(Refusal {
            of,
            times,
            status,
            retry_after,
            is_done,
        });
        self
    }

    /// Changes something at this time.
    pub(crate) fn at(mut self, at: Duration, change: impl FnOnce(&mut Self) + 'static) -> Self {
        self.changes.push((When::At(at), Box::new(change)));
        self
    }

    /// Changes something when the `count`th of these requests is sent, before its response.
    pub(crate) fn when(
        mut self,
        what: &'static str,
        count: usize,
        change: impl FnOnce(&mut Self) + 'static,
    ) -> Self {
        self.changes
            .push((When::Sent(what, count), Box::new(change)));
        self
    }
}

fn is_end(chunk: &Value) -> bool {
    chunk["type"] == "finish" || chunk["type"] == "message-metadata"
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
