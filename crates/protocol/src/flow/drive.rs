//! Driving flows over any HTTP library.

use std::time::Instant;

use super::{Event, Flow, Now, SendRequest, Slot, Step};

/// What sends the requests of a flow. At most one is under way in each [`Slot`].
pub trait Io {
    /// Begins to send a request, and drops before what is under way in its slot. What comes of it is an [`Event`].
    fn send(&mut self, send: SendRequest);

    /// Drops what is under way in this slot. No event of it comes any more.
    fn close(&mut self, slot: Slot);
}

/// An [`Io`] that can wait: for libraries that block, and for tests in a time of their own.
pub trait BlockingIo: Io {
    /// Returns the time.
    fn now(&mut self) -> Now;

    /// Waits for what comes next of all that is under way, but no longer than until this moment; `None` when it has come.
    fn wait(&mut self, until: Option<Instant>) -> Option<Event>;
}

/// How far a flow has gone.
///
/// Deliberately exhaustive: whoever drives a flow must handle each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced<I, O> {
    /// It hands this out; go on.
    Item(I),
    /// It waits for an [`Event`].
    Waits {
        /// Until this moment, if nothing has come before.
        until: Option<Instant>,
    },
    /// It has ended. What is open in [`Slot::Stream`] belongs to the output.
    Done(O),
}

/// Takes a flow on until it hands something out, waits, or has ended. It never blocks.
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

/// Takes a flow on until it hands out an item, or has ended with its output, which is the error.
///
/// # Errors
/// The output, at the end. Do not call it again then.
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

/// Takes a flow on until it has ended, and passes over what it hands out.
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
/// let threads = finish(&mut Execute::new(&list, &CallOptions::new(), 7)?, &mut Empty::default())?;
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
