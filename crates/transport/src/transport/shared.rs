//! Any transport behind one type.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{ResponseFuture, Transport};
use crate::body::Body;
use crate::error::Error;

/// Any transport behind one type, cheap to clone: what a client holds.
///
/// It is a transport itself, so layers can go around it.
// The type of the service is erased here, once, because the stack below is the user's choice and would otherwise
// spread as a type parameter to the client, to every handle and stream made from it, and to all code that names one.
// The price is one allocation and one virtual call an exchange, next to a network round trip.
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

    // Readiness is asked for within the exchange, by the clone that makes the call.
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
