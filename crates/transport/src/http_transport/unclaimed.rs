//! Detects requests that hyper never hands back.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use hyper_util::client::legacy::connect::CaptureConnection;

use super::connector::Open;
use crate::runtime::Runtime;

/// Detects that a request is stuck in the queue of a connection that no longer exists.
///
/// hyper passes a request to the task of its connection through a queue. When the connection ends, hyper hands back the requests
/// in the queue. But one thread can drop the queue while another is still adding a request. Then hyper neither sends that request
/// nor hands it back, and its caller would wait for ever (hyperium/hyper#4122).
pub(super) struct Unclaimed {
    /// Alive while the request is in the queue.
    request: Weak<QueueMarker>,
    connection: CaptureConnection,
    /// The connection that took the request last.
    given_to: Option<Open>,
    /// Completes when that connection has ended and the time to hand the request back has passed.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    runtime: Arc<dyn Runtime>,
}

/// An extension of the request. hyper drops the extensions after it has taken the request from the queue and before it writes any of
/// it. So while the marker exists, nothing was sent.
struct QueueMarker;

/// Longer than hyper needs: it drops the queue right after the stream or, with HTTP/2, in the next task.
const TIME_TO_HAND_BACK: Duration = Duration::from_secs(1);

impl Unclaimed {
    pub(super) fn watch<B>(
        request: &mut Request<B>,
        connection: CaptureConnection,
        runtime: &Arc<dyn Runtime>,
    ) -> Self {
        let marker = Arc::new(QueueMarker);
        let watched = Arc::downgrade(&marker);
        request.extensions_mut().insert(marker);
        Self {
            request: watched,
            connection,
            given_to: None,
            over: None,
            runtime: Arc::clone(runtime),
        }
    }

    /// Completes when the request will get no response: no byte of it was sent, or ever will be.
    ///
    /// Call it after each poll of the exchange. `connects` says whether hyper began to make a connection in that poll. If so, an
    /// earlier connection has handed the request back, and the request waits for the new one. Only a new connection that is made and
    /// takes the request within the same poll goes unnoticed.
    pub(super) fn poll(&mut self, connects: bool, cx: &mut Context<'_>) -> Poll<()> {
        let given_to = self.connection();
        if connects {
            // Connecting may take longer than the time to hand back, and the request is safe with hyper meanwhile.
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
        // Without the marker, hyper took the request in time, and a response or an error follows.
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
