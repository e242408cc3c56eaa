//! Following a run until its end, whatever the network does.
//!
//! ```text
//! Joining ──► by the verdict ◄─── Settling ◄──┐       verdict(thread, answer) is a pure table:
//!    │                                        │       one row, one name, one test
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
//! | [`Reconnecting`](reconnecting) | the list says that it is over | `Settling` |
//! | | a look finds our answer stored | by the verdict |
//! | | ours is the newest stream, and the budget allows it | `Resuming` |
//! | [`Resuming`](resuming) | 200 | `Verifying` |
//! | | 204, or an error | `Reconnecting` |
//! | [`Verifying`](verifying) | still ours, and not stored | `Reading` |
//! | | not ours | `Reconnecting` |
//! | [`Settling`](settling) | the thread is known | by the verdict, or again after a pause |
//!
//! Each phase owns what only it needs, and all of it is dropped when the next begins: what a phase leaves behind cannot be forgotten. What
//! lives through all of them is in [`Following`]. What is asked of the relay beside the stream is [asked](asking) in one place, where it is
//! also decided when to ask again.

#![expect(
    clippy::large_enum_variant,
    clippy::result_large_err,
    reason = "there is one phase, and it changes a few times; turns and steps are handed over once, and never stored"
)]

mod asking;
mod clock;
mod following;
mod identity;
mod joining;
mod policy;
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

/// What happens while a run is followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent {
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
    // Boxed: a run is read for minutes, and opened again rarely.
    Resuming(Box<Resuming>),
    Verifying(Box<Verifying>),
    Settling,
    Done(Outcome),
}

/// What a phase has come to.
enum Turn {
    /// It stays, and asks this of the driver.
    Stay(Step<RunEvent, Outcome>),
    /// It stays, and something has changed: what is to be handed out comes first.
    Again,
    /// The same, and this phase takes its place.
    Go(Phase),
}

/// The run, and how far following it is: nothing of what was said.
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
        self.cx.transcript.said.failure.as_deref()
    }

    /// Returns what the run came to, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Done(outcome) => Some(outcome),
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
    type Item = RunEvent;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<RunEvent, Outcome> {
        self.cx.clock.begin(now);
        loop {
            if let Some(moment) = self.cx.transcript.next() {
                return Step::Item(moment);
            }
            if let Some(slot) = self.cx.to_close.pop() {
                return Step::Close(slot);
            }
            match self.phase.poll(&mut self.cx, now) {
                Turn::Stay(step) => return step,
                Turn::Again => {}
                Turn::Go(phase) => self.phase = phase,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match (event.slot(), event, &mut self.phase) {
            (Slot::Exchange, event, _) => {
                if let Some(call) = self.cx.asking.under_way() {
                    call.handle(event);
                }
            }
            (_, Event::Response { head, .. }, Phase::Resuming(phase)) => {
                match phase.opened(&head, &mut self.cx) {
                    Some(Turn::Go(phase)) => self.phase = phase,
                    _ => self.cx.to_close.push(Slot::Stream),
                }
            }
            (_, Event::Failure(_, failure), Phase::Resuming(phase)) => {
                phase.exchange.handle(failure);
            }
            (_, event, phase) => {
                let is_verified = matches!(phase, Phase::Reading(_));
                if let Some(stream) = phase.stream() {
                    stream.handle(event, is_verified);
                }
            }
        }
    }
}

impl Phase {
    fn poll(&mut self, cx: &mut Following, now: Now) -> Turn {
        let has_heard = self.stream().is_some_and(Stream::take_heard);
        if has_heard {
            cx.clock.news(now);
        }
        match self {
            Self::Done(outcome) => return Turn::Stay(Step::Done(outcome.clone())),
            // What has come is delivered first.
            Self::Reading(phase) => return phase.poll(has_heard, cx, now),
            _ => {}
        }
        if let Some(reason) = cx.clock.is_over(now) {
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
            Self::Reading(_) | Self::Done(_) => Turn::Again,
        }
    }

    /// The stream that is open.
    fn stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Reading(phase) => Some(&mut phase.stream),
            Self::Verifying(phase) => Some(&mut phase.stream),
            _ => None,
        }
    }
}
