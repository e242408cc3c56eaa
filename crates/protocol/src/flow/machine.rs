use std::error::Error;
use std::fmt;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use http::response::Parts;

use crate::Body;
use crate::options::Timeouts;

/// A sans-IO state machine for work that takes several requests, delays, or decisions after a failure. It returns the next step
/// and handles the events that result from it.
///
/// A driver calls [`poll`](Self::poll) and executes the returned [`Step`]:
///
/// ```text
///            ┌───────────── poll(now) ◄────────────┐
///            ▼                                     │
///   Send ── begin to send the request ─────────────┤
///   Wait ── wait for what is under way:            │
///            ├─ an Event ─────► handle ────────────┤
///            └─ `until` has passed ───────────────┤
///   Close ─ drop what is under way in the slot ────┤
///   Item ── pass it to the user ───────────────────┘
///   Done ── the end; do not poll again
/// ```
///
/// A flow has no socket, no clock and no randomness, so tests can reproduce every race and failure.
pub trait Flow {
    /// The item that it yields on the way.
    type Item;
    /// The final result.
    type Output;

    /// Returns the next step.
    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output>;

    /// Handles an event of a request that the flow has sent.
    fn handle(&mut self, event: Event);
}

/// An event of a request that a [`Flow`] has sent.
///
/// Deliberately exhaustive: adding a variant is a breaking change, since a driver must report every event.
#[derive(Debug)]
pub enum Event {
    /// The response. In [`Slot::Exchange`] it contains the whole body. In [`Slot::Stream`] `body` is empty, and the body arrives
    /// as [`Data`](Self::Data).
    Response {
        /// The slot of the request.
        slot: Slot,
        /// Status and headers.
        head: Parts,
        /// The whole body, or nothing.
        body: Bytes,
    },
    /// Bytes of the open body in [`Slot::Stream`].
    Data(Bytes),
    /// The end of the open body, according to its framing.
    End,
    /// The request in this slot has failed, or its body broke off.
    Failure(Slot, Failure),
}

impl Event {
    /// Returns the slot that the event belongs to.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Response { slot, .. } | Self::Failure(slot, _) => *slot,
            Self::Data(_) | Self::End => Slot::Stream,
        }
    }
}

/// The current time, as passed to a flow.
///
/// Deliberately exhaustive: a driver reads both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, for durations.
    pub mono: Instant,
    /// The wall clock, for dates from other systems.
    pub wall: SystemTime,
}

/// A step that a [`Flow`] requests from its driver.
///
/// Deliberately exhaustive: adding a variant is a breaking change, since a driver must handle all of them.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step is handed over once and never stored"
)]
pub enum Step<I, O> {
    /// Start to send a request, and poll again at once. First drop whatever is under way in the slot.
    Send(SendRequest),
    /// Wait for an event: a response, or bytes of the open body. If nothing is under way, only time passes.
    Wait {
        /// The time to poll again if no event has come before.
        until: Option<Instant>,
    },
    /// Drop whatever is under way in a slot.
    Close(Slot),
    /// Pass this item to the user.
    Item(I),
    /// The end. Whatever is open in [`Slot::Stream`] belongs to the output.
    Done(O),
}

/// A request that a [`Flow`] asks to send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendRequest {
    /// The slot that the response belongs to.
    pub slot: Slot,
    /// The request: path and query only, without authorization. Its [`Route`](crate::Route) is among its extensions.
    pub request: Request<Body>,
    /// The limits for its stages. The sender enforces them, and reports a [`Failure`](Event::Failure) when one is exceeded.
    pub timeouts: Timeouts,
    /// The number of this attempt; the first is 1.
    pub attempt: u32,
}

/// The place of a request of a [`Flow`].
///
/// Deliberately exhaustive: adding a variant is a breaking change, since a driver tracks what is under way in each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The request whose response body is the stream.
    Stream,
    /// A request beside the stream; its response is read whole.
    Exchange,
}

/// The reason why there is no response.
#[derive(Debug)]
pub struct Failure {
    sent: Sent,
    is_permanent: bool,
    source: Box<dyn Error + Send + Sync>,
}

/// Whether a failed request may have reached the relay.
///
/// Deliberately exhaustive: the sender must decide, and reports `Maybe` when it is not certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Nothing of it was sent, or the server reported that it processed none of it (HTTP/2: RFC 9113, section 8.7).
    No,
    /// It may have been sent, in part or whole.
    Maybe,
}

impl Failure {
    /// Creates a failure of the sender.
    pub fn new(sent: Sent, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            sent,
            is_permanent: false,
            source: source.into(),
        }
    }

    /// Marks the failure as permanent: another attempt would fail in the same way, so there is none.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self {
            is_permanent: true,
            ..self
        }
    }

    /// Returns whether another attempt would fail in the same way.
    pub fn is_permanent(&self) -> bool {
        self.is_permanent
    }

    /// Returns whether the request may have reached the relay.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Returns the cause.
    pub fn into_source(self) -> Box<dyn Error + Send + Sync> {
        self.source
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sent {
            Sent::No => "the request could not be sent",
            Sent::Maybe => "the request was interrupted",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
