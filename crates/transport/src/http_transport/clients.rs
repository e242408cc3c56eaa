//! Several HTTP/2 connections to one server.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy;

use super::connector::Connector;
use crate::body::Body;

pub(super) type Client = legacy::Client<Connector, Body>;

/// Several clients of hyper, filled one after the other.
///
/// Each client holds one HTTP/2 connection to a server. A server limits the streams of a connection, and further requests wait until
/// a stream ends, which takes minutes for event streams. So requests beyond a limit go to another client.
///
/// The list never shrinks: it has as many clients as the most concurrent requests needed. The connections of idle clients close after
/// the idle timeout.
pub(super) struct Clients {
    make: Box<dyn Fn() -> Client + Send + Sync>,
    /// The maximum number of requests of each client.
    max_requests: usize,
    clients: Mutex<Vec<(Client, Slot)>>,
}

/// A request's slot in its client. It is free again when the response has ended.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<()>);

impl Slot {
    /// Returns the number of slots in use: the clones elsewhere.
    fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl Clients {
    pub(super) fn new(
        max_requests: usize,
        make: impl Fn() -> Client + Send + Sync + 'static,
    ) -> Self {
        Self {
            make: Box::new(make),
            max_requests,
            clients: Mutex::default(),
        }
    }

    /// Returns the first client with a free slot, and the slot.
    pub(super) fn take(&self) -> (Client, Slot) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Always the first: the later clients become idle, and their connections close.
        let free = clients
            .iter()
            .find(|(_, slot)| slot.taken() < self.max_requests)
            .cloned();
        free.unwrap_or_else(|| {
            let new = ((self.make)(), Slot::default());
            clients.push(new.clone());
            new
        })
    }
}

/// A response's body that holds its slot until it ends.
pub(super) struct SlotBody {
    body: Incoming,
    slot: Option<Slot>,
}

impl SlotBody {
    pub(super) fn new(body: Incoming, slot: Slot) -> Self {
        let slot = Some(slot);
        Self { body, slot }
    }
}

impl HttpBody for SlotBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // Free the slot at the end, not at the drop: the reader may keep the finished body.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.slot = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
