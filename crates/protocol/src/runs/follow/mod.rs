//! Following a run until its end, whatever the network does.
//!
//! ```text
//! Joining ──► Settling ◄──────────┐           verdict(thread, answer) is a pure table:
//!    │                            │           one row, one name, one test
//!    ▼        cut                 │ over
//! Reading ─────► Reconnecting ────┤
//!    ▲               │ ours is the newest: 200
//!    │ still ours    ▼
//!    └────────── Verifying ──► (not ours) Reconnecting
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
//! | [`Reconnecting`](reconnecting) | the list says that it is over | `Settling` |
//! | | a look finds our answer stored | by the verdict |
//! | | ours is the newest stream, and the budget allows it | resumes: 200 `Verifying`, else again |
//! | [`Verifying`](verifying) | still ours, and not stored | `Reading` |
//! | | not ours | `Reconnecting` |
//! | [`Settling`](settling) | the thread is known | by the verdict, or again after a pause |
//!
//! Each phase owns what only it needs, and consumes itself: what a phase leaves behind cannot be forgotten in the next. What lives
//! through all of them is in [`Following`].

#![expect(
    clippy::large_enum_variant,
    clippy::result_large_err,
    reason = "turns and steps are handed over once, and never stored"
)]

mod clock;
mod following;
mod identity;
mod joining;
mod policy;
mod reading;
mod reconnecting;
mod run;
mod settling;
mod stream;
mod verdict;
mod verifying;

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;

pub(in crate::runs) use identity::position_of_answer;
pub use policy::Follow;
pub use run::FollowRun;

use self::following::{Following, refusal};
use self::joining::Joining;
use self::reading::Reading;
use self::reconnecting::Reconnecting;
use self::settling::Settling;
use self::stream::Stream;
use self::verifying::Verifying;
use super::Outcome;
use crate::flow::{Failure, Flow, Now, Slot, Step, UnderWay};
use crate::threads::ThreadStatus;
use crate::ui::{AssembleError, Chunk, DecodeError, UiMessage};

/// What happens while a run is followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Moment {
    /// A chunk of the answer. Each comes once. Halves of surrogate pairs are joined.
    Chunk(Chunk<'static>),
    /// An event that is not a chunk was passed over. [`Gap`](Self::Gap) follows, except while it is not clear yet whether a stream
    /// that was opened again repeats what was delivered: such a stream is given up.
    NotAChunk(DecodeError),
    /// The stream broke off, with this failure, or its body has ended before the run did.
    Cut(Option<Arc<Failure>>),
    /// The relay was asked, and says this of the thread. It can come twice in a row, as at the end: the list of the threads was
    /// read, and then the thread.
    Asked(ThreadStatus),
    /// The stream of the run is open again.
    Resumed,
    /// What comes next need not follow what came before: something may be missing here. The message is settled with the
    /// stored answer at the end.
    ///
    /// Behind a gap, what the stored answer has more is delivered only where it is certain that it was not delivered yet. The place
    /// where delivering has stopped is looked for by the end of the texts that were delivered: at least 16 bytes of UTF-8 of it, spaces and
    /// U+FFFD not counted, have to stand in the stored answer, or it has to begin with fewer. Where they share less, as with texts
    /// of a few words, **the rest does not come as chunks**. It is only in the message, where
    /// [`message_state`](super::Outcome::message_state) is [`Whole`](super::MessageState::Whole): whoever shows chunks shows the
    /// message in their place at the end. Nothing is delivered twice.
    Gap,
}

/// The [`Flow`] of [`FollowRun`]: hands out what happens, and comes to an [`Outcome`].
#[derive(Debug)]
pub struct FollowFlow {
    /// `None` only while a phase is being polled.
    phase: Option<Phase>,
    cx: Following,
}

#[derive(Debug)]
enum Phase {
    Joining(Box<Joining>),
    Reading(Box<Reading>),
    Reconnecting(Box<Reconnecting>),
    Verifying(Box<Verifying>),
    Settling(Box<Settling>),
    Done(Outcome),
}

/// What a phase has come to.
enum Turn {
    /// It stays, and asks this of the driver.
    Stay(Phase, Step<Moment, Outcome>),
    /// Something has changed: what is to be handed out comes first, then this phase.
    Go(Phase),
}

impl FollowFlow {
    fn new(cx: Following, phase: impl Into<Phase>) -> Self {
        Self {
            phase: Some(phase.into()),
            cx,
        }
    }

    /// Returns the message as far as it was delivered, moments included that are about to be handed out; from the end on the one that
    /// counts.
    pub fn message(&mut self) -> &UiMessage {
        self.cx.transcript.message()
    }

    /// Whether the message is the one that counts: at `finish`, if nothing is missing, or else at the end. It changes no more.
    pub fn has_message(&self) -> bool {
        self.cx.is_whole() || self.outcome().is_some()
    }

    /// Returns why the message does not hold everything that was delivered, if it was too much.
    pub fn too_large(&self) -> Option<&AssembleError> {
        self.cx.transcript.too_large()
    }

    /// Returns what the relay says of a run that has failed, as soon as it does.
    pub fn failure(&self) -> Option<&str> {
        self.cx.transcript.failure()
    }

    /// Returns what the run came to, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Some(Phase::Done(outcome)) => Some(outcome),
            _ => None,
        }
    }

    /// Returns the transition that was made last, by name: for logs, and for whoever asks why a run has ended so. The names may
    /// change.
    pub fn transition(&self) -> &'static str {
        self.cx.transition
    }
}

impl Flow for FollowFlow {
    type Item = Moment;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<Moment, Outcome> {
        self.cx.clock.begin(now);
        loop {
            if let Some(moment) = self.cx.transcript.next() {
                return Step::Item(moment);
            }
            if let Some(slot) = self.cx.to_close.pop() {
                return Step::Close(slot);
            }
            let turn = match self.phase.take() {
                Some(phase) => phase.poll(&mut self.cx, now),
                None => return Step::Read { until: None },
            };
            match turn {
                Turn::Go(phase) => self.phase = Some(phase),
                Turn::Stay(phase, step) => {
                    self.phase = Some(phase);
                    return step;
                }
            }
        }
    }

    fn handle_answer(&mut self, slot: Slot, head: Parts, body: Bytes) {
        match (slot, &mut self.phase) {
            (Slot::Exchange, Some(phase)) => {
                if let Some(call) = phase.call() {
                    call.handle_answer(&head, &body);
                }
            }
            (Slot::Stream, Some(Phase::Reconnecting(phase))) => {
                if phase.opened(&head, &mut self.cx) == Opened::No {
                    self.cx.to_close.push(Slot::Stream);
                }
            }
            (Slot::Stream, _) | (_, None) => {}
        }
    }

    fn handle_data(&mut self, data: Bytes) {
        let is_verified = matches!(self.phase, Some(Phase::Reading(_)));
        if let Some(stream) = self.phase.as_mut().and_then(Phase::stream) {
            stream.push(data, is_verified);
        }
    }

    fn handle_end(&mut self) {
        if let Some(stream) = self.phase.as_mut().and_then(Phase::stream) {
            stream.end = Some(None);
        }
    }

    fn handle_failure(&mut self, slot: Slot, failure: Failure) {
        let Some(phase) = &mut self.phase else {
            return;
        };
        match (slot, phase.stream()) {
            (Slot::Stream, Some(stream)) => stream.end = Some(Some(failure)),
            (Slot::Stream, None) => {
                if let Phase::Reconnecting(phase) = phase {
                    phase.not_opened(failure);
                }
            }
            (Slot::Exchange, _) => {
                if let Some(call) = phase.call() {
                    call.handle_failure(failure);
                }
            }
        }
    }
}

/// Whether a stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Yes,
    No,
}

impl Phase {
    fn poll(mut self, cx: &mut Following, now: Now) -> Turn {
        let has_heard = self.stream().is_some_and(Stream::take_heard);
        if has_heard {
            cx.clock.news(now);
        }
        match (self, cx.clock.is_over(now)) {
            (Self::Done(outcome), _) => {
                let done = Step::Done(outcome.clone());
                Turn::Stay(Self::Done(outcome), done)
            }
            // What has come is delivered first.
            (Self::Reading(phase), _) => phase.poll(has_heard, cx, now),
            (_, Some(reason)) => cx.lose(reason),
            (Self::Joining(phase), None) => phase.poll(cx, now),
            (Self::Reconnecting(phase), None) => phase.poll(cx, now),
            (Self::Verifying(phase), None) => phase.poll(cx, now),
            (Self::Settling(phase), None) => phase.poll(cx, now),
        }
    }

    /// The call that is under way in [`Slot::Exchange`].
    fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match self {
            Self::Joining(phase) => phase.call(),
            Self::Reading(phase) => phase.call(),
            Self::Reconnecting(phase) => phase.call(),
            Self::Verifying(phase) => phase.call(),
            Self::Settling(phase) => phase.call(),
            Self::Done(_) => None,
        }
    }

    /// The stream that is open.
    fn stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Reading(phase) => Some(&mut phase.stream),
            Self::Verifying(phase) => Some(&mut phase.stream),
            Self::Reconnecting(phase) => phase.stream(),
            Self::Joining(_) | Self::Settling(_) | Self::Done(_) => None,
        }
    }
}

macro_rules! phases {
    ($($name:ident)*) => {
        $(
            impl From<Box<$name>> for Phase {
                fn from(phase: Box<$name>) -> Self {
                    Self::$name(phase)
                }
            }

            impl From<$name> for Phase {
                fn from(phase: $name) -> Self {
                    Self::$name(Box::new(phase))
                }
            }
        )*
    };
}

phases!(Joining Reading Reconnecting Verifying Settling);
