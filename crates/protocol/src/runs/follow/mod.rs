//! Following a run until its end, whatever the network does.
//!
//! ```text
//! Joining ──► by the verdict ◄─── Settling ◄──┐       the verdict is a pure table:
//!    │                                        │       each row has a name and a test
//!    ▼        cut                             │ over
//! Reading ─────► Reconnecting ────────────────┤
//!    ▲              │    ▲ none, or not ours
//!    │              ▼    │
//!    │           Resuming ──► Verifying
//!    └──────── still ours ────────┘
//! any ── deadline or silence ──► Done(Lost)      Reading ── clean [DONE], error, abort ──► Done
//! ```
//!
//! | from | event | to |
//! |---|---|---|
//! | [`Joining`](joining) | over, or our answer is stored | by the verdict |
//! | | streaming | `Reconnecting`: it waits, or opens the stream, as the policy says |
//! | [`Reading`](reading) | `[DONE]` and nothing missing; an `error` or `abort` chunk | `Done` |
//! | | `[DONE]` behind a gap; a cut behind `finish`; nothing comes though the run is over | `Settling` |
//! | | a cut | `Reconnecting`, or `Done` where following is off |
//! | | repeated chunks that cannot be told from new ones | `Reconnecting`, and no other stream is opened |
//! | [`Reconnecting`](reconnecting) | the list says that it is over | `Settling` |
//! | | a look finds our answer stored | by the verdict |
//! | | ours is the newest stream, and the budget allows it | `Resuming` |
//! | [`Resuming`](resuming) | 200 | `Verifying` |
//! | | 204, or an error | `Reconnecting` |
//! | [`Verifying`](verifying) | still ours, and not stored | `Reading` |
//! | | not ours | `Reconnecting` |
//! | [`Settling`](settling) | the thread is known | by the verdict, or again after a pause |
//!
//! Each phase owns the state that only it needs. That state is dropped when the next phase begins, so nothing of it can affect a
//! later phase. [`Following`] holds the state that all phases share. All queries beside the stream go through [`queries`], which
//! also decides when to repeat them.

#![expect(
    clippy::large_enum_variant,
    clippy::result_large_err,
    reason = "a flow has one phase, which changes a few times; transitions and steps are handed over once, and never stored"
)]

mod clock;
mod following;
mod identity;
mod joining;
mod policy;
mod queries;
mod reading;
mod reconnecting;
mod resuming;
mod run;
mod settling;
mod stream;
mod verdict;
mod verifying;

use std::fmt;
use std::sync::Arc;

pub(in crate::runs) use identity::position_of_answer;
pub use policy::FollowPolicy;
pub use run::FollowRun;

use self::following::Following;
use self::reading::Reading;
use self::resuming::Resuming;
use self::stream::Stream;
use self::verifying::Verifying;
use super::Outcome;
use crate::flow::{Event, Failure, Flow, Now, Slot, Step};
use crate::threads::ThreadStatus;
use crate::ui::{AssembleError, Chunk, DecodeError, UiMessage};

/// An event while a run is followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent {
    /// A chunk of the answer. Each is delivered once. Halves of surrogate pairs are joined.
    Chunk(Chunk<'static>),
    /// An event that is not a chunk was skipped. A [`Gap`](Self::Gap) follows, unless the answer has ended or nothing has come
    /// since the last gap. While it is unclear if a reopened stream repeats what was delivered, no gap follows: such a stream is
    /// closed.
    NotAChunk(DecodeError),
    /// The stream broke off with this failure, or its body ended before the run did.
    Cut(Option<Arc<Failure>>),
    /// The relay was queried and reported this status of the thread. It can come twice in a row, as at the end, when first the
    /// list of threads and then the thread is read.
    Asked(ThreadStatus),
    /// The stream of the run is open again.
    Resumed,
    /// Something may be missing here: the next chunk need not continue the previous one. The message is reconciled with the
    /// stored answer at the end.
    ///
    /// After a gap, the rest of the stored answer is delivered only if it certainly was not delivered before. To find the place
    /// where delivery stopped, the end of the delivered texts is searched in the stored answer. At least 16 bytes of UTF-8 must
    /// match, not counting spaces and U+FFFD, or the stored answer must begin with a shorter match. If they share less, as texts
    /// of a few words do, **the rest is not delivered as chunks**. It is only in the message, where
    /// [`message_state`](super::Outcome::message_state) is [`Whole`](super::MessageState::Whole): a program that shows chunks
    /// should replace them with the message at the end. Nothing is delivered twice.
    Gap,
}

/// The [`Flow`] of [`FollowRun`]: yields [`RunEvent`]s and returns an [`Outcome`].
#[must_use = "a flow does nothing until it is driven"]
pub struct FollowFlow {
    phase: Phase,
    cx: Following,
}

#[derive(Debug)]
enum Phase {
    Joining,
    Reading(Reading),
    Reconnecting,
    // Boxed: a run is read for minutes and rarely reopened, so the phase should stay small.
    Resuming(Box<Resuming>),
    Verifying(Box<Verifying>),
    Settling,
    Done(Outcome),
}

/// The result of polling a phase.
enum Transition {
    /// Stays in the phase; the driver must do this step.
    Stay(Step<RunEvent, Outcome>),
    /// Stays in the phase and polls again; queued events are yielded first.
    Again,
    /// Changes to this phase and polls again; queued events are yielded first.
    Go(Phase),
}

/// Shows the run and the progress of following, without any contents.
impl fmt::Debug for FollowFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowFlow")
            .field("run", &self.cx.run)
            .field("transition", &self.cx.transition)
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}

impl FollowFlow {
    fn new(cx: Following, phase: Phase) -> Self {
        Self { phase, cx }
    }

    /// Returns the message as far as it was delivered, including events that are queued. From the end on, returns the final
    /// message.
    pub fn message(&mut self) -> &UiMessage {
        self.cx.transcript.message()
    }

    /// Returns whether the message is final: at `finish` if nothing is missing, and otherwise at the end.
    pub fn has_message(&self) -> bool {
        self.cx.is_whole() || self.outcome().is_some()
    }

    /// Returns the error if the message exceeded its limit and does not contain everything that was delivered.
    pub fn too_large(&self) -> Option<&AssembleError> {
        self.cx.transcript.too_large()
    }

    /// Returns the relay's reason for a failure, as soon as it has reported one.
    pub fn failure(&self) -> Option<&str> {
        self.cx.transcript.reported.failure.as_deref()
    }

    /// Returns the outcome of the run, once it is over.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Returns the name of the last transition, for logs and to find out why a run ended as it did. The names may change.
    pub fn transition(&self) -> &'static str {
        self.cx.transition
    }
}

impl Flow for FollowFlow {
    type Item = RunEvent;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<RunEvent, Outcome> {
        self.cx.clock.begin(now);
        loop {
            if let Some(event) = self.cx.transcript.next() {
                return Step::Item(event);
            }
            // Before the phase sends anything, so that it never closes what it has just opened.
            if let Some(slot) = self.cx.to_close.pop() {
                return Step::Close(slot);
            }
            match self.phase.poll(&mut self.cx, now) {
                Transition::Stay(step) => return step,
                Transition::Again => {}
                Transition::Go(phase) => self.phase = phase,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match (event.slot(), event, &mut self.phase) {
            // A response to a query of an earlier phase finds no call, and is ignored.
            (Slot::Exchange, event, _) => {
                if let Some(call) = self.cx.queries.under_way() {
                    call.handle(event);
                }
            }
            (_, Event::Response { head, .. }, Phase::Resuming(phase)) => {
                match phase.opened(&head, &mut self.cx) {
                    Some(Transition::Go(phase)) => self.phase = phase,
                    // The head has said everything, so the rest of the body is not read.
                    _ => self.cx.to_close.push(Slot::Stream),
                }
            }
            (_, Event::Failure(_, failure), Phase::Resuming(phase)) => {
                phase.exchange.handle(failure);
            }
            (_, event, phase) => {
                // Bytes of a stream that is not known to be ours are only kept.
                let is_verified = matches!(phase, Phase::Reading(_));
                if let Some(stream) = phase.stream() {
                    stream.handle(event, is_verified);
                }
            }
        }
    }
}

impl Phase {
    fn poll(&mut self, cx: &mut Following, now: Now) -> Transition {
        // `handle` gets no time, so bytes count as news at the next poll.
        let has_heard = self.stream().is_some_and(Stream::take_heard);
        if has_heard {
            cx.clock.news(now);
        }
        match self {
            Self::Done(outcome) => return Transition::Stay(Step::Done(outcome.clone())),
            // Data that has arrived is delivered before time limits are judged.
            Self::Reading(phase) => return phase.poll(has_heard, cx, now),
            _ => {}
        }
        if let Some(reason) = cx.clock.expired(now) {
            return cx.lose(reason);
        }
        if let Some(pausing) = cx.pausing(now) {
            return pausing;
        }
        match self {
            Self::Joining => joining::poll(cx, now),
            Self::Reconnecting => reconnecting::poll(cx, now),
            Self::Resuming(phase) => phase.poll(cx, now),
            Self::Verifying(phase) => phase.poll(cx, now),
            Self::Settling => settling::poll(cx, now),
            // Both were polled above.
            Self::Reading(_) | Self::Done(_) => Transition::Again,
        }
    }

    /// Returns the open stream.
    fn stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Reading(phase) => Some(&mut phase.stream),
            Self::Verifying(phase) => Some(&mut phase.stream),
            _ => None,
        }
    }
}
