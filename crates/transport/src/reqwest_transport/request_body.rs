//! A body that reqwest sends once, and never to the target of a redirect.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::Body;
use crate::error::Error;
use crate::timeouts::Handover;

/// The body of a request, as reqwest gets it.
///
/// - reqwest cannot clone it. It clones the bodies that it can, to repeat a request and to follow redirects with 307 and 308.
/// - It does not say that it is empty by its length, by which reqwest would take it for one that can be cloned. hyper looks at
///   [`is_end_stream`](HttpBody::is_end_stream).
/// - It tells when a connection has got the request: hyper asks for the end of the body before it writes the head, and nobody before it does.
pub(super) struct RequestBody {
    /// reqwest wants its bodies to be `Sync`, and nobody ever waits for this lock.
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
        self.handover.set_given();
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.handover.set_given();
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body().size_hint();
        match hint.exact() {
            Some(0) => SizeHint::default(),
            _ => hint,
        }
    }
}
