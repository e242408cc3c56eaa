//! Erases the type of a transport.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{ResponseFuture, Transport};
use crate::body::Body;
use crate::error::Error;

/// Any transport behind one type, as a client holds it. Cheap to clone.
///
/// It is a transport itself, so layers can wrap it.
// The type is erased once, here: the stack below is the user's choice and would otherwise be a type parameter of
// the client, of every handle and stream made from it, and of all code that names one.
// The price is one allocation and one virtual call per exchange, little beside a network round trip.
#[derive(Clone)]
pub struct SharedTransport {
    transport: Arc<dyn Transport>,
}

impl SharedTransport {
    /// Erases the type of a transport.
    pub fn new(transport: impl Transport) -> Self {
        Self {
            transport: Arc::new(transport),
        }
    }

    pub(super) fn send_within(&self, request: Request<Body>) -> ResponseFuture {
        self.transport.send(request)
    }
}

impl Service<Request<Body>> for SharedTransport {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    // Always ready: the exchange itself waits, with the clone that makes the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        self.send_within(request)
    }
}

impl fmt::Debug for SharedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTransport").finish_non_exhaustive()
    }
}
