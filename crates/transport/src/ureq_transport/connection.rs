//! Tracks whether bytes of a request were written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};

/// Whether bytes of the lane's current request may have been written. Read when its thread has finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub(super) fn set(&self, sent: bool) {
        self.0.store(sent, Ordering::Release);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// `ureq`'s default connector, whose connections record when they are written to.
#[derive(Debug)]
pub(super) struct TrackedConnector {
    /// Shared by all lanes: it holds the root certificates and the sessions of TLS.
    pub(super) connector: Arc<DefaultConnector>,
    pub(super) sent: Sent,
}

impl Connector for TrackedConnector {
    type Out = TrackedConnection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<TrackedConnection>, Error> {
        let connection = self.connector.connect(details, chained);
        // What was written so far went to a proxy: `ureq` calls the connector for it within the call for the server.
        self.sent.set(false);
        Ok(connection?.map(|connection| TrackedConnection {
            connection,
            sent: self.sent.clone(),
        }))
    }
}

/// A connection to a server, with its TLS and through any proxy.
#[derive(Debug)]
pub(super) struct TrackedConnection {
    connection: Box<dyn Transport>,
    sent: Sent,
}

impl Transport for TrackedConnection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.sent.set(true);
        self.connection.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let input = self.connection.await_input(timeout);
        input.map_err(|error| match error {
            // `ureq` would take it for the end of a body that has no length, and so lose the rest.
            Error::Io(error) => Error::Io(io::Error::other(error)),
            error => error,
        })
    }

    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}
