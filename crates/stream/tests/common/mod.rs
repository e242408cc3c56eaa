//! A body that plays a script, and a way to read streams without a runtime.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};

/// The result of one poll of a [`Script`].
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Data(Bytes),
    Trailers,
    /// Pending; wakes the task at once.
    Wait,
    Fail(&'static str),
}

/// A body that plays its events in order, then ends.
#[derive(Debug)]
pub(crate) struct Script {
    events: VecDeque<Event>,
    /// Whether the body still exists.
    pub(crate) alive: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) &'static str);

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Failure {}

pub(crate) fn script(events: impl IntoIterator<Item = Event>) -> Script {
    Script {
        events: events.into_iter().collect(),
        alive: Rc::new(Cell::new(true)),
    }
}

pub(crate) fn data(text: impl AsRef<[u8]>) -> Event {
    Event::Data(Bytes::copy_from_slice(text.as_ref()))
}

impl Body for Script {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.events.pop_front() {
            None => Poll::Ready(None),
            Some(Event::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Event::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(Default::default())))),
            Some(Event::Fail(text)) => Poll::Ready(Some(Err(Failure(text)))),
            Some(Event::Wait) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.alive.set(false);
    }
}

/// Polls until the future is ready. It needs no wake-up, because a [`Script`] is never pending twice for the same event.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Polls once.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
