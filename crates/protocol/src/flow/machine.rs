use std::error::Error;
use std::fmt;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use http::response::Parts;

use crate::Body;
use crate::options::Timeouts;

/// What takes more than one exchange, a wait, or a choice after a failure: a state machine that says what to do next
/// and is told what came of it.
///
/// Whoever drives it asks [`poll`](Self::poll) and does what the [`Step`] says:
///
/// ```text
///            ┌───────────── poll(now) ◄────────────┐
///            ▼                                     │
///   Send ── begin to send the request ─────────────┤
///   Wait ── wait for what is under way:            │
///            ├─ an Event ─────► handle ────────────┤
///            └─ `until` is over ───────────────────┤
///   Close ─ drop what is under way in the slot ────┤
///   Item ── hand it to the user ───────────────────┘
///   Done ── the end; do not poll again
/// ```
///
/// A flow sees no socket, no clock and no randomness, so that every race and failure can be played in a test.
pub trait Flow {
    /// What it hands out on the way.
    type Item;
    /// What it comes to.
    type Output;

    /// What to do next.
    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output>;

    /// Takes what has come of what it has sent.
    fn handle(&mut self, event: Event);
}

/// What has come of a request that a [`Flow`] has sent.
///
/// Deliberately exhaustive: adding a variant is a breaking change, since whoever drives a flow must tell it of each.
#[derive(Debug)]
pub enum Event {
    /// The response. In [`Slot::Exchange`] with its whole body; in [`Slot::Stream`] `body` is empty, and what comes of it is
    /// [`Data`](Self::Data).
    Response {
        /// Where it belongs.
        slot: Slot,
        /// Status and headers.
        head: Parts,
        /// The whole body, or nothing.
        body: Bytes,
    },
    /// Bytes of the open body in [`Slot::Stream`].
    Data(Bytes),
    /// The end of the open body, as its framing tells.
    End,
    /// What was sent in this slot has failed, or its body broke off.
    Failure(Slot, Failure),
}

impl Event {
    /// Returns where it belongs.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Response { slot, .. } | Self::Failure(slot, _) => *slot,
            Self::Data(_) | Self::End => Slot::Stream,
        }
    }
}

/// The time, as a flow is told it.
///
/// Deliberately exhaustive: whoever drives a flow reads both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For measuring.
    pub mono: Instant,
    /// For dates that others wrote.
    pub wall: SystemTime,
}

/// What a [`Flow`] asks for.
///
/// Deliberately exhaustive: adding a variant is a breaking change, since whoever drives a flow must handle all of them.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step is handed over once and never stored"
)]
pub enum Step<I, O> {
    /// Begin to send a request, and poll again at once. What was under way in the slot is dropped before.
    Send(SendRequest),
    /// Wait for what is next: an answer, or bytes of the open body. Nothing may be under way; then only time passes.
    Wait {
        /// Poll again at this moment, if nothing has come.
        until: Option<Instant>,
    },
    /// Drop what is under way in a slot.
    Close(Slot),
    /// Hand this to the user.
    Item(I),
    /// The end. What is open in [`Slot::Stream`] belongs to the output.
    Done(O),
}

/// A request that a [`Flow`] asks to send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendRequest {
    /// Where its answer belongs.
    pub slot: Slot,
    /// The request: path and query only, without authorization. Its [`Route`](crate::Route) is among its extensions.
    pub request: Request<Body>,
    /// How long its parts may take. Whoever sends it keeps to them, and tells of a [`Failure`](Event::Failure) when one struck.
    pub timeouts: Timeouts,
    /// Which attempt at this exchange it is; the first is 1.
    pub attempt: u32,
}

/// Where an exchange of a [`Flow`] takes place.
///
/// Deliberately exhaustive: adding a variant is a breaking change, since whoever drives a flow keeps what is under way in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The exchange whose answer's body is the stream.
    Stream,
    /// An exchange beside it; its answer is read whole.
    Exchange,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    sent: Sent,
    is_permanent: bool,
    source: Box<dyn Error + Send + Sync>,
}

/// Whether a request that failed may have reached the relay.
///
/// Deliberately exhaustive: whoever reports a failure must decide, and what is not sure is `Maybe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Surely nothing of it was sent, or the server said that it has processed none of it (HTTP/2: RFC 9113, section 8.7).
    No,
    /// It may have been sent, in part or whole.
    Maybe,
}

impl Failure {
    /// A failure of whatever sends requests.
    pub fn new(sent: Sent, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            sent,
            is_permanent: false,
            source: source.into(),
        }
    }

    /// The same, where it is known that another attempt would fail the same way: so there is none.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self {
            is_permanent: true,
            ..self
        }
    }

    /// Whether another attempt would fail the same way.
    pub fn is_permanent(&self) -> bool {
        self.is_permanent
    }

    /// Whether the request may have reached the relay.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// What failed.
    pub fn into_source(self) -> Box<dyn Error + Send + Sync> {
        self.source
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sent {
            Sent::No => "the request could not be sent",
            Sent::Maybe => "the exchange broke off",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
