//! A relay with one run, in a time of its own: what is scripted of it.

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

/// A word comes each 15 ms.
pub(crate) const PACE: Duration = ms(15);

type Change = Box<dyn FnOnce(&mut Relay)>;

/// The relay. Its one run tells the [`STORY`] in the thread `th_1`, as an answer to the message `u1`, and completes.
pub(crate) struct Relay {
    begin: Now,
    pub(crate) now: Duration,
    /// What the run says, `start` aside, and when.
    run: Vec<(Duration, Value)>,
    end: End,
    start_up: Duration,
    done_after: Duration,
    resumes: Resumes,
    /// How the streams break off, one after the other, and how every other does.
    faults: VecDeque<Fault>,
    every: Option<Fault>,
    /// What the next streams say instead of what the run does.
    scripts: VecDeque<Vec<Line>>,
    /// The same, of the first stream behind the first.
    resumed_first: Option<Vec<Line>>,
    opened: usize,
    refusals: Vec<Refusal>,
    changes: Vec<(When, Change)>,
    /// The threads that are newer than ours, with their states.
    pub(crate) newer: Vec<(&'static str, &'static str)>,
    /// The state of our thread and what is stored in it, where it is not what comes of the run.
    pub(crate) status: Option<&'static str>,
    pub(crate) messages: Option<Value>,
    /// What was stored before the run.
    pub(crate) history: Vec<Value>,
    /// The answer, where it is stored otherwise than it was said.
    stored: Option<Value>,
    pub(crate) usage: Value,
    is_deleted: bool,
    /// The thread alone.
    pub(crate) is_thread_deleted: bool,
    /// The turn that the run answers, as far as whoever follows it knows.
    turn: Option<&'static str>,
    pub(crate) options: CallOptions,
    stream: VecDeque<(Duration, Event)>,
    /// Whether a stream was opened, and has neither ended nor been closed since.
    pub(crate) has_open_stream: bool,
    exchange: Option<(Duration, Event)>,
    /// What was sent, and when.
    pub(crate) sent: Vec<(Duration, &'static str)>,
    /// How long the stream that was opened last may be silent for whoever sends the request.
    pub(crate) longest_silence: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
enum End {
    Completes,
    /// With an `error` chunk.
    Fails(&'static str),
    /// `finish` comes, and then the stream ends.
    IsNotStored(&'static str),
    /// Its runtime says nothing more, and nobody knows.
    Dies,
    WasCancelled,
}

/// What a stream is that is opened while the run streams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resumes {
    /// It joins in the middle.
    Middle,
    /// It joins in the middle, and gets everything at the end.
    HeldBack,
    /// It begins at the beginning.
    Replay,
    /// There is none.
    Nothing,
}

/// What happens to a stream behind so many of its bytes, or after so long.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    Cut(usize),
    /// Behind the first event of this type.
    CutBehind(&'static str),
    Ends(usize),
    FallsSilent(usize),
    CutAfter(Duration),
    Says(usize, &'static str),
}

struct Refusal {
    of: &'static str,
    times: usize,
    /// `None`: the connection breaks off; 0: the response is longer than is read.
    status: Option<u16>,
    retry_after: Option<u64>,
    /// Whether what is asked for is done all the same.
    is_done: bool,
}

enum When {
    At(Duration),
    /// When so many of these were sent.
    Sent(&'static str, usize),
}

impl Relay {
    /// With a run that tells the story.
    pub(crate) fn new() -> Self {
        Self::says([
            line::text("t1", STORY),
            line::metadata(
                json!({"resultSubtype": "success", "totalCostUsd": 0.01, "finalTextId": "t1"}),
            ),
            line::finish(),
        ])
    }

    /// With a run that says this.
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

    /// With a run whose first stream says this. Its thread streams until a change says otherwise.
    pub(crate) fn streams(lines: impl IntoIterator<Item = Vec<Line>>) -> Self {
        let mut relay = Self::says([]).then_streams(lines);
        relay.status = Some("streaming");
        relay
    }

    /// The next stream that is opened says this.
    pub(crate) fn then_streams(mut self, lines: impl IntoIterator<Item = Vec<Line>>) -> Self {
        self.scripts
            .push_back(lines.into_iter().flatten().collect());
        self
    }

    /// The first stream that is opened behind the one that tells the run says this.
    pub(crate) fn then_first_resume(mut self, lines: Vec<Line>) -> Self {
        self.resumed_first = Some(lines);
        self
    }

    /// What happens to the next stream.
    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.faults.push_back(fault);
        self
    }

    /// The first stream is cut behind so many bytes.
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

    /// The run fails at its end.
    pub(crate) fn fails(mut self, text: &'static str) -> Self {
        self.run.retain(|(_, chunk)| !is_end(chunk));
        let at = self.run.last().map_or(Duration::ZERO, |(at, _)| *at) + PACE;
        let error = json!({"type": "error", "errorText": text});
        self.run.push((at, error));
        self.end = End::Fails(text);
        self
    }

    /// The run says its end, and cannot be stored.
    pub(crate) fn fails_to_store(mut self, text: &'static str) -> Self {
        self.end = End::IsNotStored(text);
        self
    }

    /// The runtime dies at this moment.
    pub(crate) fn dies(mut self, at: Duration) -> Self {
        self.run.retain(|(said, _)| *said <= at);
        self.end = End::Dies;
        self
    }

    /// The relay is restarted at this moment: the stream breaks off, nothing more comes, and the thread streams for ever.
    pub(crate) fn restarts(mut self, at: Duration) -> Self {
        self.resumes = Resumes::Nothing;
        self.fault(Fault::CutAfter(at)).dies(at)
    }

    /// The run takes so long to say anything.
    pub(crate) fn starts_up(mut self, start_up: Duration) -> Self {
        self.start_up = start_up;
        self.run.iter_mut().for_each(|(at, _)| *at += start_up);
        self
    }

    /// Each word takes so long.
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

    /// The answer is stored like this.
    pub(crate) fn stores(mut self, answer: Value) -> Self {
        self.stored = Some(answer);
        self
    }

    pub(crate) fn with_history(mut self, history: impl IntoIterator<Item = Value>) -> Self {
        self.history = history.into_iter().collect();
        self
    }

    /// Whoever follows the run does not know which message it answers.
    pub(crate) fn without_turn(mut self) -> Self {
        self.turn = None;
        self
    }

    pub(crate) fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// What is asked for is refused so often.
    pub(crate) fn refuses(self, of: &'static str, status: u16, times: usize) -> Self {
        self.refusal(of, times, Some(status), None, false)
    }

    /// The same, with seconds to wait.
    pub(crate) fn asks_to_wait(self, of: &'static str, status: u16, seconds: u64) -> Self {
        self.refusal(of, 1, Some(status), Some(seconds), false)
    }

    /// The response is lost so often, and what was asked for was not done.
    pub(crate) fn loses(self, of: &'static str, times: usize) -> Self {
        self.refusal(of, times, None, None, false)
    }

    /// The response is longer than is read.
    pub(crate) fn has_too_much(self, of: &'static str) -> Self {
        self.refusal(of, usize::MAX, Some(0), None, false)
    }

    /// The response is lost once, but what was asked for is done.
    pub(crate) fn does_and_loses(self, of: &'static str) -> Self {
        self.refusal(of, 1, None, None, true)
    }

    /// The next of these is refused.
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

    /// Something changes at this moment.
    pub(crate) fn at(mut self, at: Duration, change: impl FnOnce(&mut Self) + 'static) -> Self {
        self.changes.push((When::At(at), Box::new(change)));
        self
    }

    /// Something changes when the `count`th of these is sent, before it is responded to.
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
