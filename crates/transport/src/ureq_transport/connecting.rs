//! Whether a connection was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

/// How far the exchange of a lane is. It is asked when its thread is done with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Connecting(Arc<AtomicBool>);

impl Connecting {
    /// Notes that the request waits for a connection, and cannot have left.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Notes that there is a connection.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether no connection was made.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The connector that `ureq` has by default, which tells when it connects.
#[derive(Debug, Default)]
pub(super) struct TellingConnector {
    connector: DefaultConnector,
    connecting: Connecting,
    /// To connect through a proxy is to connect to the proxy, too: `ureq` then calls this within itself.
    depth: AtomicUsize,
}

impl TellingConnector {
    pub(super) fn new(connecting: Connecting) -> Self {
        Self {
            connecting,
            ..Self::default()
        }
    }
}

impl Connector for TellingConnector {
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
        // From here on the request may be written.
        if depth == 0 && matches!(connection, Ok(Some(_))) {
            self.connecting.end();
        }
        connection
    }
}
