use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Body;
use crate::error::Error;

impl Body {
    /// Announces the length of the body, in bytes. The body fails if it turns out to be longer or shorter.
    ///
    /// Requests then announce the length. HTTP alone would silently cut off a longer body, and wait for the rest of a shorter one.
    #[must_use]
    pub fn with_exact_length(self, length: u64) -> Self {
        if let Some(bytes) = self.as_bytes()
            && bytes.len() as u64 == length
        {
            return self;
        }
        Self::wrap(ExactLength {
            body: self,
            length,
            left: length,
            last: None,
        })
    }
}

struct ExactLength {
    body: Body,
    length: u64,
    left: u64,
    /// The data that completes the length. HTTP libraries stop reading there, so it is held back until the body is known to have ended.
    last: Option<Bytes>,
}

impl ExactLength {
    fn longer(&self) -> Error {
        Error::longer(self.length)
    }
}

impl http_body::Body for ExactLength {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match ready!(self.body.poll_data(cx)) {
                // Skipped, so that an empty piece at the end does not replace `last`.
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => match self.left.checked_sub(data.len() as u64) {
                    None => return Poll::Ready(Some(Err(self.longer()))),
                    Some(left) => {
                        self.left = left;
                        if left > 0 {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        self.last = Some(data);
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.left > 0 => {
                    let sent = self.length - self.left;
                    return Poll::Ready(Some(Err(Error::shorter(self.length, sent))));
                }
                None => return Poll::Ready(self.last.take().map(|data| Ok(Frame::data(data)))),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let last = self.last.as_ref().map_or(0, Bytes::len) as u64;
        SizeHint::with_exact(self.left + last)
    }
}
