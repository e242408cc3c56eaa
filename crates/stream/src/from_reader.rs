use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

/// The size of one read, in bytes.
const PIECE: usize = 16 << 10;

/// Creates a body from a reader: a file, standard input, the response of a blocking HTTP library, or bytes in memory (`&[u8]`).
///
/// Each poll reads at most 16 KiB and blocks the thread until the reader returns. The body is never pending, so any executor can run
/// it. If other tasks must not wait meanwhile, use an asynchronous reader: [`from_stream`](crate::from_stream) takes it as a
/// stream, for example a `tokio_util::io::ReaderStream`.
///
/// An interrupted read is repeated. Any other error ends the stream.
///
/// ```no_run
/// use std::fs::File;
/// use twentyfirst_stream::{BodyStreamExt, from_reader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut messages = from_reader(File::open("answer.sse")?).ui_messages();
/// while let Some(message) = messages.next().await {
///     message?;
/// }
/// println!("{}", messages.into_message().text());
/// # Ok(())
/// # }
/// ```
pub fn from_reader<R: Read>(reader: R) -> FromReader<R> {
    FromReader { reader }
}

/// A body that reads from a reader. Created by [`from_reader`].
#[derive(Clone, Copy, Debug)]
#[must_use = "bodies do nothing unless polled"]
pub struct FromReader<R> {
    reader: R,
}

impl<R> FromReader<R> {
    /// Returns the reader, positioned after the bytes that were read.
    pub fn into_inner(self) -> R {
        self.reader
    }
}

// The reader itself is never pinned, so it need not be `Unpin`.
impl<R> Unpin for FromReader<R> {}

impl<R: Read> Body for FromReader<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut piece = vec![0; PIECE];
        loop {
            return Poll::Ready(match self.reader.read(&mut piece) {
                Ok(0) => None,
                Ok(length) => {
                    piece.truncate(length);
                    Some(Ok(Frame::data(piece.into())))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(Err(error)),
            });
        }
    }
}
