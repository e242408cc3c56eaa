//! Several connections of HTTP/2 to one server.

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

/// hyper's clients, which are filled one after the other.
///
/// Each has one connection of HTTP/2 to a server. A server allows only so many streams on it, and further requests wait in it until
/// one ends, which takes minutes where all are streams of events. So requests beyond a number go to another client.
pub(super) struct Clients {
    make: Box<dyn Fn() -> Client + Send + Sync>,
    /// How many requests each has at most.
    max_requests: usize,
    clients: Mutex<Vec<(Client, Place)>>,
}

/// The place of a request in its client, until its response has come to its end.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<()>);

impl Place {
    /// How many of its clones are elsewhere.
    fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl Clients {
    pub(super) fn new(max_requests: usize, make: impl Fn() -> Client + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(make),
            max_requests,
            clients: Mutex::default(),
        }
    }

    /// The first client with a free place, and that place.
    pub(super) fn take(&self) -> (Client, Place) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let free = clients
            .iter()
            .find(|(_, place)| place.taken() < self.max_requests)
            .cloned();
        free.unwrap_or_else(|| {
            let new = ((self.make)(), Place::default());
            clients.push(new.clone());
            new
        })
    }
}

/// The body of a response whose stream counts until it ends.
pub(super) struct Counted {
    body: Incoming,
    place: Option<Place>,
}

impl Counted {
    pub(super) fn new(body: Incoming, place: Place) -> Self {
        let place = Some(place);
        Self { body, place }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.place = None;
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
