//! A body that reqwest sends once, and never to the target of a redirect.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::Body;
use crate::error::Error;
use crate::timeouts::Handover;

/// The body of a request for reqwest.
///
/// - reqwest cannot clone it. It clones bodies if it can, to retry requests and to follow redirects with 307 and 308.
/// - Its length never says that it is empty, because reqwest takes such a body for one that can be cloned. hyper checks
///   [`is_end_stream`](HttpBody::is_end_stream) instead.
/// - It records when a connection has taken the request: hyper checks for the end of the body before it writes the head, and nothing
///   checks earlier.
/// - It fails if the request was withdrawn before that. hyper reads the first piece before it sends the head, and gives up if that fails.
pub(super) struct RequestBody {
    /// A mutex because reqwest requires `Sync` bodies. It is never contended.
    body: Mutex<Body>,
    handover: Handover,
}

impl RequestBody {
    pub(super) fn new(body: Body, handover: Handover) -> Self {
        let body = Mutex::new(body);
        Self { body, handover }
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.handover.set_given() {
            let withdrawn = Error::not_sent("its time was over before there was a connection");
            return Poll::Ready(Some(Err(withdrawn)));
        }
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.handover.set_given() && self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body().size_hint();
        match hint.exact() {
            Some(0) => SizeHint::default(),
            _ => hint,
        }
    }
}
