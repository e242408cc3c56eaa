//! The connection that receives the announcements of appends.
//!
//! ```text
//!   wait for the first waiting read ─► connect ─► SUBSCRIBE new channels ─► messages wake reads
//!      ▲                                              ▲      every 5 s: UNSUBSCRIBE idle channels, or test a quiet connection
//!      │                                              └──────────────────┘
//!      └── pause 50 ms … 2 s ◄── connection lost: all reads poll until it is back
//! ```

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

/// The interval at which idle channels are left and a quiet connection is tested.
const ROUND: Duration = Duration::from_secs(5);

/// The first and the longest pause before a new connection.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Receives the announcements of appends to all logs with waiting reads, over one connection. Never returns.
pub(super) async fn listen(waits: Arc<Waits>, link: Arc<Link>) {
    let mut pause = PAUSE;
    loop {
        while !waits.has_new() {
            waits.new_channels().await;
        }
        let mut listener = Listener {
            waits: &waits,
            link: &link,
            has_subscribed: false,
        };
        let _ = listener.receive().await;
        let has_subscribed = listener.has_subscribed;
        drop(listener);
        // Without a subscription, the connection was of no use: the server may be down, or refuse the user the channels.
        pause = match has_subscribed {
            true => PAUSE,
            false => (2 * pause).min(LONGEST_PAUSE),
        };
        sleep(pause).await;
    }
}

/// One connection. Dropping it, also together with the runtime, makes all waiting reads poll.
struct Listener<'a> {
    waits: &'a Waits,
    link: &'a Link,
    /// Whether a subscription succeeded.
    has_subscribed: bool,
}

/// The next task of a listener.
enum Next {
    Wake(Msg),
    Subscribe,
    Round,
    /// The connection is lost.
    End,
}

impl Listener<'_> {
    /// Subscribes and receives until the connection is lost.
    async fn receive(&mut self) -> RedisResult<()> {
        let (mut sink, messages) = self.link.listen().await?.split();
        let mut messages = pin!(messages);
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_quiet = false;
        loop {
            let next = self.next(messages.as_mut(), &mut rounds).await;
            match next {
                Next::Wake(message) => {
                    is_quiet = false;
                    let at = str::from_utf8(message.get_payload_bytes()).ok();
                    // Other programs may publish to the channel: a message that is no position is ignored.
                    if let Some(at) = at.and_then(|at| at.parse().ok()) {
                        self.waits.wake(message.get_channel_name(), at);
                    }
                }
                Next::Subscribe => {
                    let new = self.waits.take_new();
                    if !new.is_empty() {
                        self.subscribe(&mut sink, &new).await?;
                        self.has_subscribed = true;
                        self.waits.subscribed(&new);
                    }
                }
                Next::Round => {
                    // Removed from the list first: a reader that comes meanwhile adds its channel anew, and `SUBSCRIBE` follows
                    // `UNSUBSCRIBE`.
                    let idle = self.waits.take_idle();
                    if !idle.is_empty() {
                        self.in_time(sink.unsubscribe(&idle)).await?;
                    } else if is_quiet && let Some(channel) = self.waits.any_subscribed() {
                        // Tests the connection: a second SUBSCRIBE changes nothing, and a server that is gone does not reply. For a
                        // PING, the user would need another permission.
                        self.subscribe(&mut sink, &[channel]).await?;
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
        let mut new_channels = pin!(self.waits.new_channels());
        poll_fn(|cx| {
            if new_channels.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Subscribe);
            }
            if let Poll::Ready(message) = messages.as_mut().poll_next(cx) {
                return Poll::Ready(message.map_or(Next::End, Next::Wake));
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
        self.waits.disconnected();
    }
}
