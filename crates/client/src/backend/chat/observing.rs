use std::task::{Context, Poll, ready};

use twentyfirst_protocol::runs::{Outcome, RunEnd, RunEvent};
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::Data;

use super::chat_run::{Observed, Observer};
use crate::backend::on_error::OnError;
use crate::error::Error;
use crate::run::Run;

/// A run with its observer.
pub(super) struct Observing {
    pub(super) run: Run,
    observer: Option<Observer>,
    on_error: OnError,
}

impl Observing {
    pub(super) fn new(run: Run, observer: Option<Observer>, on_error: OnError) -> Self {
        Self {
            run,
            observer,
            on_error,
        }
    }

    /// Returns the next event, after the observer has seen it.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<RunEvent>> {
        let event = ready!(self.run.poll_event(cx));
        match (&event, &mut self.observer) {
            (Some(RunEvent::Chunk(chunk)), Some(observer)) => observer(Observed::Chunk(chunk)),
            (None, observer) => {
                // Taken, because the end is its last event: `leave` must not find it again.
                let observer = observer.take();
                if let Some(outcome) = self.outcome() {
                    self.end(observer, &outcome);
                }
            }
            _ => {}
        }
        Poll::Ready(event)
    }

    /// Returns the next chunk, or one that tells the page that content may be missing.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk<'static>>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(RunEvent::Chunk(chunk)) => return Poll::Ready(Some(chunk)),
                Some(RunEvent::Gap) => return Poll::Ready(Some(gap())),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    fn end(&mut self, observer: Option<Observer>, outcome: &Outcome) {
        if let RunEnd::Lost(lost) = &outcome.end {
            self.on_error.report(&Error::run_lost(lost.clone()));
        }
        if let Some(mut observer) = observer {
            let message = self.run.message_so_far();
            observer(Observed::End { message, outcome });
        }
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.run.known_outcome().cloned()
    }

    /// Notifies the observer that nobody reads on.
    pub(super) fn leave(&mut self) {
        if let Some(mut observer) = self.observer.take() {
            let message = self.run.message_so_far();
            observer(Observed::Left { message });
        }
    }
}

/// Creates a chunk that tells the page that content may be missing.
pub(super) fn gap() -> Chunk<'static> {
    // Transient, so that it reaches the page's `onData` and is not stored in the message.
    let gap = Data::new("gap").data(serde_json::Value::Null);
    Chunk::Data(gap.transient(true))
}
