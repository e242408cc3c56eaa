use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use pin_project::pin_project;

/// The data of a body. The body is dropped as soon as it ends, fails or is closed, which frees its connection early.
#[pin_project]
#[derive(Debug)]
pub(crate) struct Source<B> {
    #[pin]
    body: Option<B>,
}

impl<B> Source<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body: Some(body) }
    }

    /// Returns whether the body has ended or failed, or the source was closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.body.is_none()
    }

    /// Returns the unread rest of the body.
    pub(crate) fn into_body(self) -> Option<B> {
        self.body
    }

    /// Drops the body.
    pub(crate) fn close(self: Pin<&mut Self>) {
        self.project().body.set(None);
    }
}

impl<B: Body> Source<B> {
    /// Polls for the next piece; `None` after the last one and after an error.
    pub(crate) fn poll_piece(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let mut this = self.project();
        loop {
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match ready!(body.poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers carry no stream data.
                    if let Ok(mut data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data.copy_to_bytes(data.remaining()))));
                    }
                }
                Some(Err(error)) => {
                    this.body.set(None);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.body.set(None);
                    return Poll::Ready(None);
                }
            }
        }
    }
}
