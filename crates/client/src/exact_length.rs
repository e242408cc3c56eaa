use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use twentyfirst_transport::{Body, Error};

/// A body that fails if it is not as long as was announced: HTTP would cut a longer one off without a word.
pub(crate) struct ExactLength {
    body: Body,
    left: u64,
}

impl ExactLength {
    pub(crate) fn new(body: Body, length: u64) -> Self {
        Self { body, left: length }
    }
}

impl http_body::Body for ExactLength {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok())
            .and_then(Frame::data_ref)
            .map(Bytes::len);
        Poll::Ready(
            match (
                frame,
                self.left.checked_sub(length.unwrap_or_default() as u64),
            ) {
                (_, None) => Some(Err(Error::new("the content is longer than its length"))),
                (None, Some(1..)) => {
                    Some(Err(Error::new("the content is shorter than its length")))
                }
                (frame, Some(left)) => {
                    self.left = left;
                    frame.map(|frame| frame.map_err(Error::new))
                }
            },
        )
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
