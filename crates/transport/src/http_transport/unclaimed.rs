//! Requests that hyper never hands back.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use hyper_util::client::legacy::connect::CaptureConnection;

use super::connector::Open;
use crate::runtime::Runtime;

/// Notices that a request lies in the queue of a connection that is gone.
///
/// hyper gives a request to the task of its connection through a queue, and when the connection ends, hands back what
/// it finds in there. But one thread can drop the queue while another is still putting a request into it. That request
/// stays where it is for as long as somebody waits for its response, and nobody is left to give one
/// (hyperium/hyper#4122).
pub(super) struct Unclaimed {
    request: Weak<Whole>,
    connection: CaptureConnection,
    /// The connection that was given the request last.
    given_to: Option<Open>,
    /// When that is gone, and the time to hand the request back, too.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    runtime: Arc<dyn Runtime>,
}

/// An extension of the request. hyper drops it with all others when it has taken the request from the queue, before it
/// writes any of it.
struct Whole;

/// Longer than hyper needs: it drops the queue right after the stream or, with HTTP/2, in the task that comes next.
const TIME_TO_HAND_BACK: Duration = Duration::from_secs(1);

impl Unclaimed {
    pub(super) fn watch<B>(
        request: &mut Request<B>,
        connection: CaptureConnection,
        runtime: &Arc<dyn Runtime>,
    ) -> Self {
        let whole = Arc::new(Whole);
        let watched = Arc::downgrade(&whole);
        request.extensions_mut().insert(whole);
        Self {
            request: watched,
            connection,
            given_to: None,
            over: None,
            runtime: Arc::clone(runtime),
        }
    }

    /// Ready when the request will have no response. Not one byte of it has left then, or ever will.
    ///
    /// To be called after each poll of the exchange, with whether hyper began to make a connection in it. Then the
    /// request waits for that one, and not for an earlier one that handed it back. A connection that is made and given
    /// the request within the same poll is not noticed; one that takes any time is.
    pub(super) fn poll(&mut self, connects: bool, cx: &mut Context<'_>) -> Poll<()> {
        let given_to = self.connection();
        if connects {
            self.over = None;
        } else if let Some(connection) = &given_to
            && !self
                .given_to
                .as_ref()
                .is_some_and(|it| it.is_same(connection))
        {
            let ended = connection.clone().ended();
            let runtime = Arc::clone(&self.runtime);
            self.over = Some(Box::pin(async move {
                ended.await;
                runtime.sleep(TIME_TO_HAND_BACK).await;
            }));
        }
        self.given_to = given_to;
        let Some(over) = &mut self.over else {
            return Poll::Pending;
        };
        ready!(over.as_mut().poll(cx));
        self.over = None;
        if self.request.strong_count() > 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn connection(&self) -> Option<Open> {
        let mut extras = http::Extensions::new();
        self.connection
            .connection_metadata()
            .as_ref()?
            .get_extras(&mut extras);
        extras.remove()
    }
}
