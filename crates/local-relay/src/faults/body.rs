use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use super::active::Due;
use super::connection::Breaker;
use super::fault::{After, Effect};
use super::progress::Progress;
use crate::responses::ResponseBody;

/// The body of a response, with the faults that strike it.
///
/// ```text
///   Open ─┬─ the body ends, or End without a length ─► Ended
///         └─ Silence ─► Silent        Cut, End with a length, or the body fails ─► Silent, and the breaker ends the connection
/// ```
pub(crate) struct FaultyBody {
    state: State,
    /// Whether the headers announce the length. Such a body cannot end early, so its connection is cut instead.
    has_length: bool,
    /// The bytes that were taken out of the body and are not sent yet.
    rest: Bytes,
    sent: Progress,
    due: Vec<Due<Effect>>,
    alarm: Option<Pin<Box<Sleep>>>,
    breaker: Breaker,
}

enum State {
    Open(ResponseBody),
    Silent,
    Ended,
}

impl FaultyBody {
    pub(crate) fn new(body: ResponseBody, due: Vec<Due<Effect>>, breaker: Breaker) -> Self {
        Self {
            has_length: body.size_hint().exact().is_some(),
            state: State::Open(body),
            rest: Bytes::new(),
            sent: Progress::new(),
            due,
            alarm: None,
            breaker,
        }
    }

    /// Returns the effect that strikes now, if any. Events are inserted between two others, never within one.
    fn next_effect(&mut self) -> Option<Effect> {
        loop {
            let (sent, is_between_events) = (&self.sent, self.rest.is_empty());
            let is_now = |due: &Due<Effect>| {
                sent.has_reached(due.after)
                    && (is_between_events || !matches!(due.what, Effect::Event(_)))
            };
            let at = self.due.iter().position(is_now)?;
            // Removed even if it does not strike: its strikes are used up, or the faults were cleared.
            let due = self.due.remove(at);
            if due.strike() {
                return Some(due.what);
            }
        }
    }

    /// Takes the bytes up to the next byte count at which a fault is due.
    fn next_piece(&mut self) -> Bytes {
        let limits = self.due.iter().filter_map(|due| match due {
            // An event is inserted only between two others, so it cuts no piece.
            Due {
                what: Effect::Event(_),
                ..
            } => None,
            due => self.sent.bytes_until(due.after),
        });
        let length = limits
            .min()
            .and_then(|limit| usize::try_from(limit).ok())
            .map_or(self.rest.len(), |limit| limit.min(self.rest.len()));
        let piece = self.rest.split_to(length);
        // Each frame of a run's stream is one event, and its last piece completes it.
        if self.rest.is_empty() {
            self.sent.add_event(piece.len());
        } else {
            self.sent.add_bytes(piece.len());
        }
        piece
    }

    /// Waits for the earliest time at which a fault is due.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let times = self.due.iter().filter_map(|due| match due.after {
            After::Time(time) => self.sent.begun.checked_add(time),
            _ => None,
        });
        let Some(first) = times.min() else {
            return Poll::Pending;
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(first)));
        // The fault that was the earliest may be done.
        if alarm.deadline() != first {
            alarm.as_mut().reset(first);
        }
        alarm.as_mut().poll(context)
    }
}

impl Body for FaultyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let State::Open(_) = self.state {
                match self.next_effect() {
                    Some(Effect::End) if !self.has_length => self.state = State::Ended,
                    Some(Effect::Cut | Effect::End) => {
                        self.state = State::Silent;
                        self.breaker.break_off();
                        // The break takes effect when the server flushes the connection, which it does after the next poll.
                        context.waker().wake_by_ref();
                    }
                    Some(Effect::Silence) => self.state = State::Silent,
                    Some(Effect::Event(event)) => {
                        self.sent.add_event(event.len());
                        return Poll::Ready(Some(Ok(Frame::data(event))));
                    }
                    None => {}
                }
            }
            if let (State::Open(_), false) = (&self.state, self.rest.is_empty()) {
                let piece = self.next_piece();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let polled = match &mut self.state {
                State::Open(body) => Pin::new(body).poll_frame(context),
                State::Silent => return Poll::Pending,
                State::Ended => return Poll::Ready(None),
            };
            match polled {
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                // Not passed to the server, which would drop the bytes that it has not written yet.
                Poll::Ready(Some(Err(_))) => {
                    self.state = State::Silent;
                    self.breaker.break_off();
                    context.waker().wake_by_ref();
                }
                Poll::Ready(None) => self.state = State::Ended,
                // Only a silent body needs the alarm: each poll of one that goes on checks the time.
                Poll::Pending => ready!(self.poll_alarm(context)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Open(body) => self.rest.is_empty() && body.is_end_stream(),
            State::Silent => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Open(body) if self.rest.is_empty() => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
