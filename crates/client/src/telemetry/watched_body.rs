use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use twentyfirst_protocol::ui::{DecodeError, Decoder};
use twentyfirst_transport::{Body, Error};

use super::watch::Watch;

/// A stream from the relay that is passed on byte for byte, and decoded on the way to report its chunks.
pub(super) struct WatchedBody {
    body: Body,
    watch: Watch,
    decoder: Decoder,
}

impl WatchedBody {
    pub(super) fn new(body: Body, watch: Watch) -> Self {
        Self {
            body,
            watch,
            decoder: Decoder::new(),
        }
    }

    fn read(&mut self, data: &Bytes) {
        self.watch.bytes(data.len() as u64);
        self.decoder.push(data.clone());
        while let Some(chunk) = self.decoder.next_chunk() {
            match chunk {
                Ok(chunk) => self.watch.chunk(&chunk),
                // An event is too long, after which a decoder returns nothing more. A new one counts later events, at the price
                // of the rest of this piece.
                Err(DecodeError::Sse(_)) => {
                    self.decoder = Decoder::new();
                    return;
                }
                // An event that is not a chunk. It matters to the reader of the body, not here.
                Err(_) => {}
            }
        }
    }
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let body = &mut this.body;
        // Within the span, so that events of the transport belong to the run.
        let frame = ready!(this.watch.in_scope(|| Pin::new(body).poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let data = data.clone();
                    this.read(&data);
                }
            }
            Some(Err(_)) => this.watch.at_end(false),
            None => this.watch.at_end(this.decoder.is_done()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
