//! The run's stream is open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::identity::Reader;
use super::policy::Mode;
use super::queries::{NoResult, refusal};
use super::stream::{Decoded, Stream};
use super::{Following, Phase, Transition};
use crate::flow::{Failure, Now};
use crate::runs::{LostReason, MessageState, RunEnd, RunEvent};
use crate::threads::ThreadStatus;

/// The relay sends `[DONE]` within 1.5 s after `finish`, and within 0.5 s after an error. After this long, the relay is queried.
const LONGEST_CLOSING: Duration = Duration::from_secs(10);

/// The longest time to wait for the end of the body after `[DONE]`. A body that is read to its end lets the connection be reused.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);

/// The shortest silence after which the relay is queried.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stream: Stream,
    /// The time of the next query because of silence. `None` once the relay has reported the end of the run.
    ask_at: Option<Instant>,
    /// The length of that silence.
    silence: Duration,
    /// The time by which the stream should end, since the run is over.
    grace: Option<Instant>,
    /// The time at which `[DONE]` came.
    done: Option<Instant>,
    /// Whether the phase has not been polled yet, so that its time limits are not set.
    is_new: bool,
}

impl Reading {
    /// Creates the phase for a run that goes on.
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

    /// Creates the phase for a run that is over, so that its stream ends soon.
    pub(super) fn ending(stream: Stream, now: Now) -> Self {
        let mut reading = Self {
            is_new: false,
            ..Self::of(stream)
        };
        reading.expect_end(now);
        reading
    }

    /// Advances the phase. `has_heard` says whether data has arrived since the last poll.
    pub(super) fn poll(&mut self, has_heard: bool, cx: &mut Following, now: Now) -> Transition {
        if std::mem::take(&mut self.is_new) || has_heard {
            // The stream delivers, so earlier conclusions from its silence are void.
            cx.clock.news(now);
            self.grace = None;
            self.silence = cx.options.follow_policy().ask_after.max(SHORTEST_SILENCE);
            self.ask_at = now.mono.checked_add(self.silence);
        }
        if self.stream.decode(cx) == Decoded::Useless {
            // Another stream would repeat the same chunks.
            cx.resumes.is_useless = true;
            cx.drop_all();
            return cx.reconnect("reading: it cannot be told apart");
        }
        // Events are yielded before time limits are judged, so that data that has arrived is never lost to a deadline.
        if cx.transcript.has_news() {
            return Transition::Again;
        }
        if let Some(reason) = cx.clock.expired(now) {
            // Nothing more will be read, so a half character gets no other half.
            self.stream.finish(cx);
            return cx.lose(reason);
        }
        if self.stream.is_done() {
            // The answer is complete. Only the connection is worth a short wait.
            let done = *self.done.get_or_insert(now.mono);
            let drained = done.checked_add(LONGEST_DRAIN);
            if self.stream.end.is_some() || cx.clock.has_come(drained, now) {
                return self.on_done(cx);
            }
            return Transition::Stay(cx.clock.wait([drained], now));
        }
        if let Some(failure) = self.stream.end.take() {
            return self.on_end(failure, cx, now);
        }
        let is_closing =
            cx.transcript.reported.has_finished || cx.transcript.reported.failure.is_some();
        // After `finish` or an error, `[DONE]` is due. A stream that stays open without it tells nothing more.
        let news = cx.clock.last_news().filter(|_| is_closing);
        let closing = news.and_then(|news| news.checked_add(LONGEST_CLOSING));
        let end = [closing, self.grace].into_iter().flatten().min();
        if cx.clock.has_come(end, now) {
            return self.on_end(None, cx, now);
        }
        self.ask(end, cx, now)
    }

    /// Queries the relay during silence if the run still streams.
    fn ask(&mut self, end: Option<Instant>, cx: &mut Following, now: Now) -> Transition {
        if !cx.queries.is_listing() && !cx.clock.has_come(self.ask_at, now) {
            return Transition::Stay(cx.clock.wait([self.ask_at, end], now));
        }
        match cx.list(end, now) {
            // The list says that the run is over, or does not contain the thread any more.
            Ok(target) if target.status().is_none_or(ThreadStatus::is_end) => self.expect_end(now),
            Err(NoResult::Failed(error)) if refusal(&error) == Some(LostReason::Deleted) => {
                self.expect_end(now);
            }
            // Other statuses and errors do not matter, since the stream is open.
            Ok(_) | Err(NoResult::Failed(_)) => self.ask_later(now),
            Err(NoResult::Pending(step)) => return Transition::Stay(step),
        }
        Transition::Again
    }

    /// Sets the time of the next query; the intervals double.
    fn ask_later(&mut self, now: Now) {
        self.silence = self.silence.saturating_mul(2);
        self.ask_at = now.mono.checked_add(self.silence);
    }

    /// Notes that the run is over. Data on its way may still arrive.
    fn expect_end(&mut self, now: Now) {
        self.ask_at = None;
        self.grace = now.mono.checked_add(LONGEST_CLOSING);
    }

    /// Handles `[DONE]`.
    fn on_done(&mut self, cx: &mut Following) -> Transition {
        self.stream.finish(cx);
        if let Some(transition) = self.reported_end(cx) {
            return transition;
        }
        // Only a first stream without a gap proves that everything was delivered; otherwise the stored answer decides.
        if self.stream.reader != Reader::First || cx.transcript.has_gap() {
            cx.drop_all();
            let why = "reading: done, and something may be missing";
            return cx.go(why, Phase::Settling);
        }
        let (completed, partial) = (RunEnd::Completed, MessageState::Partial);
        if cx.is_whole() {
            cx.end("reading: done", completed, MessageState::Whole)
        } else if cx.transcript.reported.has_finished {
            // The answer exceeds the memory limit, and a stored one would too.
            cx.end("reading: done, and too large", completed, partial)
        } else {
            cx.end("reading: done without finish", RunEnd::Cancelled, partial)
        }
    }

    /// Handles a stream that has ended or broken off, or from which nothing more is expected.
    fn on_end(&mut self, failure: Option<Failure>, cx: &mut Following, now: Now) -> Transition {
        // The run's own word for its end counts, however the stream ended.
        if let Some(transition) = self.reported_end(cx) {
            return transition;
        }
        cx.drop_all();
        let failure = failure.map(Arc::new);
        if let Some(failure) = &failure {
            cx.cause = Some(Arc::clone(failure) as _);
        }
        // The run is over, so the missing `[DONE]` is not a cut.
        if cx.transcript.reported.has_finished || self.grace.is_some() {
            return cx.go("reading: ended without done", Phase::Settling);
        }
        cx.transcript.emit(RunEvent::Cut(failure));
        if cx.resumes.mode == Mode::Off {
            // No stored answer will be read that could contain the other half of a character.
            self.stream.finish(cx);
            return cx.lose(LostReason::Cut);
        }
        // Only streams that bring nothing use up the budget: a long run may be cut any number of times.
        if cx.transcript.take_progress() {
            cx.resumes.failed = 0;
            cx.backoff.reset();
            return cx.reconnect("reading: cut");
        }
        cx.resumes.failed += 1;
        cx.reconnect_later("reading: cut before anything came", now)
    }

    /// Returns the transition if the stream itself has reported that the run failed or was cancelled.
    fn reported_end(&mut self, cx: &mut Following) -> Option<Transition> {
        let reported = &cx.transcript.reported;
        let end = reported.end()?;
        let why = match (&end, reported.failure.is_some()) {
            (RunEnd::Failed(_), _) => "reading: failed",
            (_, true) => "reading: cancelled in words",
            (_, false) => "reading: aborted",
        };
        self.stream.finish(cx);
        Some(cx.end(why, end, MessageState::Partial))
    }
}
