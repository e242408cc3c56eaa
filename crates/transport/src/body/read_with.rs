use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::Poll;
use std::thread;

use bytes::{Buf as _, Bytes};
use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use pollster::block_on;

use super::{Body, PIECES};
use crate::error::Error;

impl Body {
    /// Reads the body with a function for readers of the standard library, such as a parser or a writer to disk.
    ///
    /// The function runs on its own thread. Its `read` blocks until data arrives. One or two pieces are buffered, as received from the
    /// network. If the body breaks off, `read` fails, and this method returns the body's error, whatever the function returned.
    /// Data that the function leaves unread is dropped.
    ///
    /// ```
    /// use std::io;
    /// use twentyfirst_transport::Body;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), twentyfirst_transport::Error> {
    /// let text = Body::from("a long text").read_with(|reader| io::read_to_string(reader)).await?;
    /// assert_eq!(text.unwrap(), "a long text");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - The error of the body.
    /// - An error that wraps an [`io::Error`] if no thread can be started.
    /// - An error if the function panics.
    ///
    /// # Cancel safety
    /// Dropping the future closes the body at once. The function's next `read` then fails with
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), so that the function never takes the abort for the end.
    pub async fn read_with<F, T>(self, read: F) -> Result<T, Error>
    where
        F: FnOnce(&mut dyn Read) -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.feed("body-reader", read).await {
            ReadOutcome::Done(result) => Ok(result),
            ReadOutcome::Broken(error) => Err(error),
            ReadOutcome::NoThread(error) => Err(Error::new(error)),
            ReadOutcome::Panicked => Err(Error::new("the function that reads the body panicked")),
        }
    }

    /// Runs [`read_with`](Self::read_with) on a thread with this name.
    pub(crate) async fn feed<F, T>(mut self, thread: &str, read: F) -> ReadOutcome<T>
    where
        F: FnOnce(&mut dyn Read) -> T + Send + 'static,
        T: Send + 'static,
    {
        let (mut pieces, receiver) = mpsc::channel(PIECES - 1);
        let (done, mut result) = oneshot::channel();
        let mut reader = Reader {
            pieces: receiver,
            piece: Bytes::new(),
            is_over: false,
        };
        let thread = thread::Builder::new().name(thread.to_owned());
        if let Err(error) = thread.spawn(move || done.send(read(&mut reader)).ok()) {
            return ReadOutcome::NoThread(error);
        }
        let mut returned = None;
        let broken = loop {
            let piece = poll_fn(|cx| {
                // Not only with the next piece: the body may stay silent after the function has returned.
                if let Poll::Ready(result) = Pin::new(&mut result).poll(cx) {
                    returned = Some(result);
                    return Poll::Ready(None);
                }
                self.poll_data(cx).map(Some)
            });
            let Some(piece) = piece.await else {
                break None;
            };
            let piece = match piece.transpose() {
                Ok(piece) => piece,
                Err(error) => break Some(error),
            };
            let is_end = piece.is_none();
            // Fails once the function has returned, which drops the receiver.
            let has_room = poll_fn(|cx| pieces.poll_ready(cx)).await;
            if has_room.and_then(|()| pieces.start_send(piece)).is_err() || is_end {
                break None;
            }
        };
        // Before the result is awaited: the function may still wait for the next piece.
        drop(pieces);
        drop(self);
        let result = match returned {
            Some(result) => result,
            None => result.await,
        };
        match (broken, result) {
            (Some(error), _) => ReadOutcome::Broken(error),
            (None, Ok(result)) => ReadOutcome::Done(result),
            (None, Err(_)) => ReadOutcome::Panicked,
        }
    }
}

/// The outcome of a function that reads a body.
pub(crate) enum ReadOutcome<T> {
    Done(T),
    /// The body broke off; the function's result is ignored.
    Broken(Error),
    NoThread(io::Error),
    Panicked,
}

struct Reader {
    /// `None` is the end. A channel that closes without it means that the body broke off or was dropped.
    pieces: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    is_over: bool,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.is_over {
            match block_on(poll_fn(|cx| Pin::new(&mut self.pieces).poll_next(cx))) {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.is_over = true,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
