//! The connection that hears of appends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream as _;
use redis::aio::PubSubSink;
use redis::{Msg, RedisResult};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::link::Link;
use super::wait::Waits;

/// How often channels that nobody needs are given up, and the connection is tried where nothing was heard.
const ROUND: Duration = Duration::from_secs(5);

/// How long to wait until another connection is made: at first, and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Hears of appends to all logs that are waited for, over one connection, as long as there are some.
pub(super) async fn listen(waits: Arc<Waits>, link: Arc<Link>) {
    let mut pause = PAUSE;
    loop {
        while !waits.has_new() {
            waits.asked().await;
        }
        let mut listener = Listener {
            waits: &waits,
            link: &link,
            has_heard: false,
        };
        // Its end is told to those who wait by dropping it.
        let _ = listener.hear().await;
        let has_heard = listener.has_heard;
        drop(listener);
        pause = match has_heard {
            true => PAUSE,
            false => (2 * pause).min(LONGEST_PAUSE),
        };
        sleep(pause).await;
    }
}

/// One connection. Dropping it, also with the runtime, says that nothing is heard any more.
struct Listener<'a> {
    waits: &'a Waits,
    link: &'a Link,
    /// Whether a channel was subscribed to.
    has_heard: bool,
}

/// What there is to do.
enum Next {
    Hear(Msg),
    Subscribe,
    Round,
    /// The connection is lost.
    End,
}

impl Listener<'_> {
    /// Hears until the connection is lost.
    async fn hear(&mut self) -> RedisResult<()> {
        let (mut sink, messages) = self.link.listen().await?.split();
        let mut messages = pin!(messages);
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_quiet = false;
        loop {
            let next = self.next(messages.as_mut(), &mut rounds).await;
            match next {
                Next::Hear(message) => {
                    is_quiet = false;
                    let at = str::from_utf8(message.get_payload_bytes()).ok();
                    // Whatever else somebody publishes there is none of ours.
                    if let Some(at) = at.and_then(|at| at.parse().ok()) {
                        self.waits.wake(message.get_channel_name(), at);
                    }
                }
                Next::Subscribe => {
                    let new = self.waits.take_new();
                    if !new.is_empty() {
                        self.subscribe(&mut sink, &new).await?;
                        self.has_heard = true;
                        self.waits.heard(&new);
                    }
                }
                Next::Round => {
                    let left = self.waits.take_left();
                    if !left.is_empty() {
                        self.in_time(sink.unsubscribe(&left)).await?;
                    } else if is_quiet && let Some(heard) = self.waits.any_heard() {
                        // Once more changes nothing, and a server that is gone without a word does not reply. A PING would take
                        // another permission.
                        self.subscribe(&mut sink, &[heard]).await?;
                    }
                    is_quiet = true;
                }
                Next::End => return Ok(()),
            }
        }
    }

    async fn next(
        &self,
        mut messages: Pin<&mut redis::aio::PubSubStream>,
        rounds: &mut Interval,
    ) -> Next {
        if self.waits.has_new() {
            return Next::Subscribe;
        }
        let mut asked = pin!(self.waits.asked());
        poll_fn(|cx| {
            if asked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Subscribe);
            }
            if let Poll::Ready(message) = messages.as_mut().poll_next(cx) {
                return Poll::Ready(message.map_or(Next::End, Next::Hear));
            }
            rounds.poll_tick(cx).map(|_| Next::Round)
        })
        .await
    }

    async fn subscribe(&self, sink: &mut PubSubSink, channels: &[String]) -> RedisResult<()> {
        self.in_time(sink.subscribe(channels)).await
    }

    async fn in_time(&self, work: impl Future<Output = RedisResult<()>>) -> RedisResult<()> {
        let done = timeout(self.link.timeout(), work).await;
        done.unwrap_or_else(|_| Err(self.link.no_response()))
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.waits.unheard();
    }
}
