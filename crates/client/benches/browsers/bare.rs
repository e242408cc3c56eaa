use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::load::{Load, delta};

/// The time for which all streams are open before the first delta, and the interval of checks whether they are.
const SILENCE: Duration = Duration::from_secs(1);

/// Says the deltas itself, at the moments at which the relay does, with as little memory as there can be: what hyper takes for a
/// browser, whatever its answer comes from.
#[derive(Clone)]
pub(crate) struct Bare(Arc<Streams>);

struct Streams {
    load: Load,
    begun: AtomicUsize,
    /// Since when all are open.
    complete: OnceLock<Instant>,
}

pub(crate) struct Said {
    streams: Arc<Streams>,
    place: usize,
    number: u32,
    sleep: Pin<Box<Sleep>>,
}

impl Bare {
    pub(crate) fn new(load: Load) -> Self {
        Self(Arc::new(Streams {
            load,
            begun: AtomicUsize::new(0),
            complete: OnceLock::new(),
        }))
    }

    pub(crate) fn begin(&self) -> Said {
        let place = self.0.begun.fetch_add(1, Ordering::Relaxed);
        if place + 1 == self.0.load.streams {
            self.0.complete.get_or_init(Instant::now);
        }
        Said {
            streams: Arc::clone(&self.0),
            place,
            number: 0,
            sleep: Box::pin(sleep(SILENCE / 10)),
        }
    }
}

impl Said {
    /// Returns the time at which the delta with this number is due, or `None` while not all streams are open.
    fn due(&self, number: u32) -> Option<Instant> {
        let Load {
            streams, interval, ..
        } = self.streams.load;
        let share = self.place as f64 / streams as f64;
        let first = *self.streams.complete.get()? + SILENCE + interval.mul_f64(share);
        Some(first + interval * number)
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let deltas = self.streams.load.deltas;
        loop {
            if self.number > deltas {
                return Poll::Ready(None);
            }
            ready!(self.sleep.as_mut().poll(cx));
            let number = self.number;
            match self.due(number) {
                None => self.sleep = Box::pin(sleep(SILENCE / 10)),
                Some(due) if due > Instant::now() => self.sleep = Box::pin(sleep_until(due)),
                Some(_) => {
                    self.number += 1;
                    let said = match number == deltas {
                        true => "data: [DONE]\n\n".to_owned(),
                        false => format!(
                            "data: {{\"type\":\"text-delta\",\"id\":\"text\",\"delta\":\"{}\"}}\n\n",
                            delta(number)
                        ),
                    };
                    return Poll::Ready(Some(Ok(Frame::data(said.into()))));
                }
            }
        }
    }
}
