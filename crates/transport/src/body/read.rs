//! Reading bodies into memory, always with a limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, mem};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;

use super::Body;
use crate::error::Error;

/// The future of [`Body::collect_up_to`].
#[must_use = "futures do nothing unless polled"]
pub struct Collect {
    body: Body,
    collected: BytesMut,
    limit: usize,
}

impl Collect {
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self {
            body,
            collected: BytesMut::new(),
            limit,
        }
    }

    fn poll_collect(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        loop {
            let room = self.limit.saturating_sub(self.collected.len());
            // An announced length beyond the limit is refused before anything is read.
            if self.body.size_hint().lower() > room as u64 {
                return Poll::Ready(Err(Error::body_limit(self.limit)));
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) if data.len() > room => {
                    return Poll::Ready(Err(Error::body_limit(self.limit)));
                }
                Some(Ok(data)) => self.collected.extend_from_slice(&data),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(mem::take(&mut self.collected).freeze())),
            }
        }
    }
}

impl Future for Collect {
    type Output = Result<Bytes, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.poll_collect(cx));
        // Close the body now: the caller may keep the finished future for a while.
        self.body = Body::empty();
        Poll::Ready(result)
    }
}

/// The future of [`Body::read_beginning`].
#[must_use = "futures do nothing unless polled"]
pub struct ReadBeginning {
    body: Body,
    beginning: BytesMut,
    limit: usize,
}

/// The first bytes of a body, from [`Body::read_beginning`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beginning {
    /// The first bytes, at most as many as the limit.
    pub bytes: Bytes,
    /// Whether the end of the body was not reached: there may be more of it, or it broke off.
    pub truncated: bool,
}

impl ReadBeginning {
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self {
            body,
            beginning: BytesMut::new(),
            limit,
        }
    }

    /// Reads until the end or the limit; returns whether the end was not reached.
    fn poll_truncated(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let room = self.limit.saturating_sub(self.beginning.len());
            // Do not poll once more to learn whether the body ends here: a stream may stay silent for long.
            if room == 0 {
                return Poll::Ready(!self.body.is_end_stream());
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(mut data)) => {
                    let more = data.len() > room;
                    data.truncate(room);
                    self.beginning.extend_from_slice(&data);
                    if more {
                        return Poll::Ready(true);
                    }
                }
                Some(Err(_broke_off)) => return Poll::Ready(true),
                None => return Poll::Ready(false),
            }
        }
    }
}

impl Future for ReadBeginning {
    type Output = Beginning;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Beginning> {
        let truncated = ready!(self.poll_truncated(cx));
        self.body = Body::empty();
        Poll::Ready(Beginning {
            bytes: mem::take(&mut self.beginning).freeze(),
            truncated,
        })
    }
}

// Written by hand, because the data must not be printed.

impl fmt::Debug for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect")
            .field("collected", &self.collected.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReadBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBeginning")
            .field("read", &self.beginning.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginning")
            .field("bytes", &self.bytes.len())
            .field("truncated", &self.truncated)
            .finish()
    }
}
