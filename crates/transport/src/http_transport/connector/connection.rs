//! A connection over any stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt;
use hyper_util::client::legacy::connect;
use tokio::sync::watch;

/// A stream of bytes in both directions, as hyper reads and writes it.
pub(super) trait Io: rt::Read + rt::Write + Send + Unpin {}

impl<T: rt::Read + rt::Write + Send + Unpin> Io for T {}

/// A connection and its properties.
// The type of the stream is erased: through a proxy, TLS goes within TLS, and a connector may bring a stream of its
// own. A virtual call is little beside the system call, or the encryption, that it makes.
pub(in crate::http_transport) struct Connection {
    // Declared first, so that it is dropped first and reports the end at once: dropping the stream may take a while.
    open: watch::Sender<()>,
    io: Box<dyn Io>,
    http2: bool,
    proxied: bool,
}

impl Connection {
    pub(super) fn new(io: impl Io + 'static) -> Self {
        Self {
            open: watch::Sender::new(()),
            io: Box::new(io),
            http2: false,
            proxied: false,
        }
    }

    /// Marks the connection as HTTP/2, negotiated or known in advance.
    pub(super) fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Marks the connection as one to a proxy that reads the requests and needs their whole URI.
    pub(super) fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }
}

/// Reports when hyper has dropped a connection, after which nothing can be written on it.
#[derive(Clone)]
pub(in crate::http_transport) struct Open(watch::Receiver<()>);

impl Open {
    pub(in crate::http_transport) fn is_same(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    pub(in crate::http_transport) async fn ended(mut self) {
        // Nothing is ever sent: the channel ends when the connection drops its sender.
        while self.0.changed().await.is_ok() {}
    }
}

impl connect::Connection for Connection {
    fn connected(&self) -> connect::Connected {
        let connected = connect::Connected::new()
            .proxy(self.proxied)
            .extra(Open(self.open.subscribe()));
        if self.http2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl rt::Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl rt::Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
