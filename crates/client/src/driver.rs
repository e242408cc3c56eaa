use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body::Body as _;
use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::flow::{self, Failure, Flow, Now, Sent, Slot, Step};
use twentyfirst_transport::{Body, Collect, ReadBeginning, ResponseFuture};

use crate::credentials::TokenError;
use crate::relay::{ERROR_BODY, Relay};
use crate::thread_lists::{Follower, SharedError};

/// Drives a [`Flow`] over the client's transport.
///
/// ```text
///   flow ── Step::Send ──► follower or relay ──► transport ──► `stream` or `exchange` ── flow::Event ──► flow
///        ── Step::Wait ──► polls `exchange`, `stream` and `timer`, in this order, until one has an event for the flow
///        ── Step::Item, Step::Done ──► the caller of `poll_event`
/// ```
///
/// Everything under way is a field here and not a local variable of a future. So a future that polls the driver can be dropped
/// without losing anything.
pub(crate) struct Driver<F> {
    relay: Arc<Relay>,
    flow: F,
    stream: Stream,
    exchange: Exchange,
    timer: Option<Timer>,
    /// The number of bytes received from the stream since [`take_bytes`](Self::take_bytes) was last called.
    bytes: u64,
    /// Set for a run that is followed: shares lists of threads with the other runs in its sandbox.
    follower: Option<Follower>,
}

/// A result of polling the driver.
pub(crate) enum Event<I, O> {
    Item(I),
    Done(O),
}

enum Stream {
    None,
    Sent(ResponseFuture),
    Open(Response<Body>),
}

enum Exchange {
    None,
    Sent(ResponseFuture),
    // Boxed to keep the driver small: while a run is read for minutes, exchanges are rare.
    Reading(Box<(Parts, Collect)>),
    ReadingError(Box<(Parts, ReadBeginning)>),
}

struct Timer {
    at: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl<F: Flow> Driver<F> {
    pub(crate) fn new(relay: &Arc<Relay>, flow: F) -> Self {
        Self {
            relay: Arc::clone(relay),
            flow,
            stream: Stream::None,
            exchange: Exchange::None,
            timer: None,
            bytes: 0,
            follower: None,
        }
    }

    /// Marks the driver as following a run in this sandbox.
    pub(crate) fn in_sandbox(mut self, sandbox: &SandboxId) -> Self {
        self.follower = Some(self.relay.thread_lists.follow(sandbox));
        self
    }

    /// Creates a driver for a flow whose stream is already open.
    pub(crate) fn with_stream(relay: &Arc<Relay>, flow: F, body: Body) -> Self {
        Self {
            stream: Stream::Open(Response::new(body)),
            ..Self::new(relay, flow)
        }
    }

    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    pub(crate) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn flow(&self) -> &F {
        &self.flow
    }

    pub(crate) fn flow_mut(&mut self) -> &mut F {
        &mut self.flow
    }

    /// Returns the next item or the output. It must not be polled again after the output.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<F::Item, F::Output>> {
        loop {
            match self.flow.poll(self.now()) {
                Step::Send(send) => {
                    let slot = send.slot;
                    // Dropped first, so that an old connection never stays open beside the new one.
                    self.close(slot);
                    let sent = match &self.follower {
                        Some(follower) => follower.begin(&self.relay, send),
                        None => self.relay.begin(send),
                    };
                    match sent {
                        Ok(sent) => match slot {
                            Slot::Stream => self.stream = Stream::Sent(sent),
                            Slot::Exchange => self.exchange = Exchange::Sent(sent),
                        },
                        // Another attempt would build the same invalid request.
                        Err(error) => self.flow.handle(flow::Event::Failure(
                            slot,
                            Failure::new(Sent::No, error).permanent(),
                        )),
                    }
                }
                Step::Wait { until } => {
                    // The timer comes last: data that has arrived counts before a deadline that has passed meanwhile. The flow is
                    // asked after each event, so at `Pending` all three have registered the waker.
                    let has_event = self.poll_exchange(cx)
                        || self.poll_stream(cx)
                        || self.poll_timer(until, cx);
                    if !has_event {
                        return Poll::Pending;
                    }
                }
                Step::Close(slot) => self.close(slot),
                Step::Item(item) => return Poll::Ready(Event::Item(item)),
                Step::Done(output) => return Poll::Ready(Event::Done(output)),
            }
        }
    }

    /// Returns the stream that is open at the end of the flow, with its head. Returns an empty response if none is open.
    pub(crate) fn into_stream(self) -> Response<Body> {
        match self.stream {
            Stream::Open(response) => response,
            Stream::None | Stream::Sent(_) => Response::default(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.relay.runtime.now(),
            wall: SystemTime::now(),
        }
    }

    fn close(&mut self, slot: Slot) {
        match slot {
            Slot::Stream => self.stream = Stream::None,
            Slot::Exchange => self.exchange = Exchange::None,
        }
    }

    /// Returns whether the flow was given an event.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> bool {
        let (head, result) = match &mut self.exchange {
            Exchange::None => return false,
            Exchange::Sent(sent) => match Pin::new(sent).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    // An error stays an error if its body breaks off or is too long, so only its beginning is read.
                    self.exchange = if head.status.is_success() {
                        let limit = self.relay.response_limit;
                        Exchange::Reading(Box::new((head, body.collect_up_to(limit))))
                    } else {
                        Exchange::ReadingError(Box::new((head, body.read_beginning(ERROR_BODY))))
                    };
                    return self.poll_exchange(cx);
                }
                Poll::Ready(Err(error)) => (None, Err(error)),
            },
            Exchange::Reading(reading) => match Pin::new(&mut reading.1).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(result) => (Some(reading.0.clone()), result),
            },
            Exchange::ReadingError(reading) => match Pin::new(&mut reading.1).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(beginning) => (Some(reading.0.clone()), Ok(beginning.bytes)),
            },
        };
        self.exchange = Exchange::None;
        match (head, result) {
            (Some(head), Ok(body)) => self.flow.handle(flow::Event::Response {
                slot: Slot::Exchange,
                head,
                body,
            }),
            (_, Err(error)) => self
                .flow
                .handle(flow::Event::Failure(Slot::Exchange, failure(error))),
            (None, Ok(_)) => {}
        }
        true
    }

    /// Returns whether the flow was given an event.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.stream {
            Stream::None => return false,
            Stream::Sent(sent) => match Pin::new(sent).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    // Kept open: a flow that has no use for the stream closes it, and one that ends leaves it to its caller.
                    self.stream = Stream::Open(Response::from_parts(head.clone(), body));
                    self.flow.handle(flow::Event::Response {
                        slot: Slot::Stream,
                        head,
                        body: Bytes::new(),
                    });
                }
                Poll::Ready(Err(error)) => {
                    self.stream = Stream::None;
                    self.flow
                        .handle(flow::Event::Failure(Slot::Stream, failure(error)));
                }
            },
            Stream::Open(response) => match Pin::new(response.body_mut()).poll_frame(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers carry nothing that a flow uses.
                    if let Ok(data) = frame.into_data() {
                        self.bytes += data.len() as u64;
                        self.flow.handle(flow::Event::Data(data));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.stream = Stream::None;
                    self.flow
                        .handle(flow::Event::Failure(Slot::Stream, failure(error)));
                }
                Poll::Ready(None) => {
                    self.stream = Stream::None;
                    self.flow.handle(flow::Event::End);
                }
            },
        }
        true
    }

    /// Returns whether the deadline has passed.
    fn poll_timer(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(at) = until else {
            self.timer = None;
            return false;
        };
        let runtime = &self.relay.runtime;
        loop {
            // Most deadlines move further away with every piece of a stream. So an earlier timer is kept, and replaced only when
            // it fires: it may fire too early, but never too late.
            let timer = match &mut self.timer {
                Some(timer) if timer.at <= at => timer,
                timer => timer.insert(Timer {
                    at,
                    sleep: runtime.sleep(at.saturating_duration_since(runtime.now())),
                }),
            };
            if timer.sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            let has_come = timer.at == at;
            self.timer = None;
            if has_come {
                return true;
            }
        }
    }
}

/// Converts an error of the transport for a flow, which decides about retries.
fn failure(error: twentyfirst_transport::Error) -> Failure {
    let sent = if error.maybe_sent() {
        Sent::Maybe
    } else {
        Sent::No
    };
    // The error of a shared list is wrapped. The kind of the original decides.
    let original = SharedError::of(&error);
    let token_error: Option<&TokenError> =
        original.source().and_then(|source| source.downcast_ref());
    let is_refused = token_error.is_some_and(TokenError::is_permanent);
    // A refused token and a response beyond the limit would be the same again, so a flow must not retry them.
    let is_permanent = is_refused || original.is_body_limit();
    let failure = Failure::new(sent, error);
    if is_permanent {
        failure.permanent()
    } else {
        failure
    }
}

impl<F> fmt::Debug for Driver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
