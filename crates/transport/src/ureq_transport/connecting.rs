//! Tracks whether a request had a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

/// Whether the exchange of a [`Lane`](super::lanes::Lane) is still connecting. It is read when the thread of the exchange has finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Connecting(Arc<AtomicBool>);

impl Connecting {
    /// Records that the request waits for a connection, and so was not sent.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Records that there is a connection.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Returns whether no connection was made.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// `ureq`'s default connector, which also records when it connects.
#[derive(Debug, Default)]
pub(super) struct TrackedConnector {
    connector: DefaultConnector,
    connecting: Connecting,
    /// The depth of nested calls: to connect through a proxy, `ureq` calls the connector for the proxy within the call for the server.
    depth: AtomicUsize,
}

impl TrackedConnector {
    pub(super) fn new(connecting: Connecting) -> Self {
        Self {
            connecting,
            ..Self::default()
        }
    }
}

impl Connector for TrackedConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Box<dyn Transport>>, Error> {
        self.connecting.begin();
        let depth = self.depth.fetch_add(1, Ordering::Relaxed);
        let connection = self.connector.connect(details, chained);
        self.depth.fetch_sub(1, Ordering::Relaxed);
        // The outermost connection is ready: from now on the request may be written.
        if depth == 0 && matches!(connection, Ok(Some(_))) {
            self.connecting.end();
        }
        connection
    }
}
