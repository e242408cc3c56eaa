//! Driving flows over any HTTP library.

use std::time::Instant;

use super::{Event, Flow, Now, SendRequest, Slot, Step};

/// A sender of the requests of a flow. At most one is under way in each [`Slot`].
pub trait Io {
    /// Starts to send a request. It first drops whatever is under way in the same slot. The result arrives as an [`Event`].
    fn send(&mut self, send: SendRequest);

    /// Drops whatever is under way in this slot. No further event of it may arrive.
    fn close(&mut self, slot: Slot);
}

/// An [`Io`] that can wait: for blocking libraries, and for tests with simulated time.
pub trait BlockingIo: Io {
    /// Returns the time.
    fn now(&mut self) -> Now;

    /// Waits for the next event of anything under way, until `until` at most. Returns `None` when that time has come.
    fn wait(&mut self, until: Option<Instant>) -> Option<Event>;
}

/// The state of a flow after [`advance`].
///
/// Deliberately exhaustive: drivers must handle each variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced<I, O> {
    /// The flow has yielded this item; continue.
    Item(I),
    /// The flow waits for an [`Event`].
    Waits {
        /// The time to continue if no event has come before.
        until: Option<Instant>,
    },
    /// The flow has ended. Whatever is open in [`Slot::Stream`] belongs to the output.
    Done(O),
}

/// Advances a flow until it yields an item, waits, or ends. Never blocks.
pub fn advance<F: Flow + ?Sized>(
    flow: &mut F,
    now: Now,
    io: &mut (impl Io + ?Sized),
) -> Advanced<F::Item, F::Output> {
    loop {
        match flow.poll(now) {
            Step::Send(send) => io.send(send),
            Step::Close(slot) => io.close(slot),
            Step::Wait { until } => return Advanced::Waits { until },
            Step::Item(item) => return Advanced::Item(item),
            Step::Done(output) => return Advanced::Done(output),
        }
    }
}

/// Advances a flow until it yields an item or ends, and blocks while it waits.
///
/// # Errors
/// Returns the flow's output as the error when the flow has ended. Do not call this function again then.
pub fn next<F: Flow + ?Sized>(
    flow: &mut F,
    io: &mut (impl BlockingIo + ?Sized),
) -> Result<F::Item, F::Output> {
    loop {
        let now = io.now();
        match advance(flow, now, io) {
            Advanced::Item(item) => return Ok(item),
            Advanced::Done(output) => return Err(output),
            Advanced::Waits { until } => {
                if let Some(event) = io.wait(until) {
                    flow.handle(event);
                }
            }
        }
    }
}

/// Advances a flow until it ends, and ignores the items that it yields.
///
/// ```
/// # use std::time::{Instant, SystemTime};
/// use twentyfirst_protocol::flow::drive::{BlockingIo, Io, finish};
/// use twentyfirst_protocol::flow::{Event, ExecuteFlow, Now, SendRequest, Slot};
/// use twentyfirst_protocol::threads::ListThreads;
/// use twentyfirst_protocol::{CallOptions, SandboxId};
///
/// /// A relay that responds at once, and has no threads.
/// #[derive(Default)]
/// struct Empty(Option<Event>);
///
/// impl Io for Empty {
///     fn send(&mut self, send: SendRequest) {
///         let (head, ()) = http::Response::new(()).into_parts();
///         self.0 = Some(Event::Response { slot: send.slot, head, body: "[]".into() });
///     }
///
///     fn close(&mut self, _: Slot) {
///         self.0 = None;
///     }
/// }
///
/// impl BlockingIo for Empty {
///     fn now(&mut self) -> Now {
///         Now { mono: Instant::now(), wall: SystemTime::now() }
///     }
///
///     fn wait(&mut self, _: Option<Instant>) -> Option<Event> {
///         self.0.take()
///     }
/// }
///
/// let list = ListThreads::new(SandboxId::new("sbx_abc123")?);
/// let threads = finish(&mut ExecuteFlow::new(&list, &CallOptions::new(), 7)?, &mut Empty::default())?;
/// assert!(threads.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn finish<F: Flow + ?Sized>(flow: &mut F, io: &mut (impl BlockingIo + ?Sized)) -> F::Output {
    loop {
        if let Err(output) = next(flow, io) {
            return output;
        }
    }
}
