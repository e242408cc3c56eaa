//! A stream of the run is open, and ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asking::{Unanswered, refusal};
use super::identity::Reader;
use super::policy::Mode;
use super::stream::{Decoded, Stream};
use super::{Following, Phase, Turn};
use crate::flow::{Failure, Now};
use crate::runs::{LostReason, MessageState, RunEnd, RunEvent};
use crate::threads::ThreadStatus;

/// `[DONE]` follows `finish` after at most 1.5 s, and an error after 0.5 s. Whoever has waited for so long asks.
const LONGEST_CLOSING: Duration = Duration::from_secs(10);

/// How long a body may stay open behind its `[DONE]`. Read to its end, its connection can be used again.
const LONGEST_GOODBYE: Duration = Duration::from_secs(1);

/// The relay is not asked more often than after so long a silence.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stream: Stream,
    /// When the relay is asked because of silence; `None` once it has said that the run is over.
    ask_at: Option<Instant>,
    /// How long the silence is then.
    silence: Duration,
    /// The run is over, and its stream should have ended by then.
    grace: Option<Instant>,
    /// When `[DONE]` came.
    done: Option<Instant>,
    is_new: bool,
}

impl Reading {
    /// Reads a stream whose run goes on.
    pub(super) fn of(stream: Stream) -> Self {
        Self {
            stream,
            ask_at: None,
            silence: Duration::ZERO,
            grace: None,
            done: None,
            is_new: true,
        }
    }

    /// Reads a stream whose run is over already, so that it ends soon.
    pub(super) fn ending(stream: Stream, now: Now) -> Self {
        let mut reading = Self {
            is_new: false,
            ..Self::of(stream)
        };
        reading.expect_end(now);
        reading
    }

    /// `has_heard`: whether anything has come since it was last polled.
    pub(super) fn poll(&mut self, has_heard: bool, cx: &mut Following, now: Now) -> Turn {
        if std::mem::take(&mut self.is_new) || has_heard {
            cx.clock.news(now);
            self.grace = None;
            self.silence = cx.options.following().ask_after.max(SHORTEST_SILENCE);
            self.ask_at = now.mono.checked_add(self.silence);
        }
        if self.stream.decode(cx) == Decoded::Useless {
            cx.resumes.is_useless = true;
            cx.drop_all();
            return cx.reconnect("reading: it cannot be told apart");
        }
        if cx.transcript.has_news() {
            return Turn::Again;
        }
        if let Some(reason) = cx.clock.is_over(now) {
            self.stream.finish(cx);
            return cx.lose(reason);
        }
        if self.stream.is_done() {
            let done = *self.done.get_or_insert(now.mono);
            let goodbye = done.checked_add(LONGEST_GOODBYE);
            if self.stream.end.is_some() || cx.clock.has_come(goodbye, now) {
                return self.said_done(cx);
            }
            return Turn::Stay(cx.clock.wait([goodbye], now));
        }
        if let Some(failure) = self.stream.end.take() {
            return self.broke_off(failure, cx, now);
        }
        let is_closing = cx.transcript.said.has_finished || cx.transcript.said.failure.is_some();
        let news = cx.clock.last_news().filter(|_| is_closing);
        let closing = news.and_then(|news| news.checked_add(LONGEST_CLOSING));
        let end = [closing, self.grace].into_iter().flatten().min();
        if cx.clock.has_come(end, now) {
            return self.broke_off(None, cx, now);
        }
        self.ask(end, cx, now)
    }

    /// Asks because of silence whether the run still streams.
    fn ask(&mut self, end: Option<Instant>, cx: &mut Following, now: Now) -> Turn {
        if !cx.asking.is_listing() && !cx.clock.has_come(self.ask_at, now) {
            return Turn::Stay(cx.clock.wait([self.ask_at, end], now));
        }
        match cx.list(end, now) {
            Ok(target) if target.status().is_none_or(ThreadStatus::is_end) => self.expect_end(now),
            Err(Unanswered::Failed(error)) if refusal(&error) == Some(LostReason::Deleted) => {
                self.expect_end(now);
            }
            // Whatever else the relay says, the stream is open.
            Ok(_) | Err(Unanswered::Failed(_)) => self.ask_later(now),
            Err(Unanswered::Yet(step)) => return Turn::Stay(step),
        }
        Turn::Again
    }

    fn ask_later(&mut self, now: Now) {
        self.silence = self.silence.saturating_mul(2);
        self.ask_at = now.mono.checked_add(self.silence);
    }

    /// The run is over: what is on its way may come yet.
    fn expect_end(&mut self, now: Now) {
        self.ask_at = None;
        self.grace = now.mono.checked_add(LONGEST_CLOSING);
    }

    /// `[DONE]` has come.
    fn said_done(&mut self, cx: &mut Following) -> Turn {
        self.stream.finish(cx);
        if let Some(turn) = self.said_end(cx) {
            return turn;
        }
        if self.stream.reader != Reader::First || cx.transcript.has_gap() {
            cx.drop_all();
            let why = "reading: done, and something may be missing";
            return cx.go(why, Phase::Settling);
        }
        let (completed, partial) = (RunEnd::Completed, MessageState::Partial);
        if cx.is_whole() {
            cx.end("reading: done", completed, MessageState::Whole)
        } else if cx.transcript.said.has_finished {
            // More than is held: nothing that is stored would be either.
            cx.end("reading: done, and too large", completed, partial)
        } else {
            cx.end("reading: done without finish", RunEnd::Cancelled, partial)
        }
    }

    /// The stream has ended or broken off, or nothing more is expected of it.
    fn broke_off(&mut self, failure: Option<Failure>, cx: &mut Following, now: Now) -> Turn {
        if let Some(turn) = self.said_end(cx) {
            return turn;
        }
        cx.drop_all();
        let failure = failure.map(Arc::new);
        if let Some(failure) = &failure {
            cx.cause = Some(Arc::clone(failure) as _);
        }
        // Of a run that is over, nothing was cut.
        if cx.transcript.said.has_finished || self.grace.is_some() {
            return cx.go("reading: ended without done", Phase::Settling);
        }
        cx.transcript.say(RunEvent::Cut(failure));
        if cx.resumes.mode == Mode::Off {
            self.stream.finish(cx);
            return cx.lose(LostReason::Cut);
        }
        if cx.transcript.take_progress() {
            cx.resumes.failed = 0;
            cx.backoff.reset();
            return cx.reconnect("reading: cut");
        }
        cx.resumes.failed += 1;
        cx.reconnect_later("reading: cut before anything came", now)
    }

    /// What follows if the stream itself has said that the run has failed or was cancelled.
    fn said_end(&mut self, cx: &mut Following) -> Option<Turn> {
        let said = &cx.transcript.said;
        let end = said.end()?;
        let why = match (&end, said.failure.is_some()) {
            (RunEnd::Failed(_), _) => "reading: failed",
            (_, true) => "reading: cancelled in words",
            (_, false) => "reading: aborted",
        };
        self.stream.finish(cx);
        Some(cx.end(why, end, MessageState::Partial))
    }
}
