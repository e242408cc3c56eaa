//! Bodies from streams, readers, files and functions that write.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Seek as _, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use bytes::{Bytes, BytesMut};
use futures_channel::mpsc;
use futures_core::Stream;
use futures_io::AsyncRead;
use http_body::Frame;
use pollster::block_on;

use super::{Body, PIECE, PIECES};
use crate::error::BoxError;

impl Body {
    /// Creates a body from a stream of pieces. It holds one piece at a time.
    ///
    /// For example, `tokio_util::io::ReaderStream` makes such a stream from a `tokio::fs::File`. The length is unknown: see
    /// [`with_exact_length`](Self::with_exact_length). An error of the stream ends the body and becomes the
    /// [source](std::error::Error::source) of its error.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::wrap(Streamed(Box::pin(stream)))
    }

    /// Creates a body from a reader of the standard library. It is read on its own thread, which starts when the body is first polled.
    ///
    /// Each `read` becomes a piece of at most 64 KiB, and about 256 KiB are read ahead. The length is unknown: see
    /// [`with_exact_length`](Self::with_exact_length), and [`from_file`](Self::from_file) for files. Dropping the body ends the thread, at
    /// the latest after the current call of `read`.
    pub fn from_reader<R: Read + Send + 'static>(mut reader: R) -> Self {
        Self::write_with(move |writer| {
            let mut buffer = vec![0; PIECE];
            loop {
                let length = match reader.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                writer.write_all(&buffer[..length])?;
                // Hand over each read at once: a socket or a pipe may deliver nothing more for a long time.
                writer.flush()?;
            }
        })
    }

    /// Creates a body from an asynchronous reader of `futures-io`, which most runtimes use. `tokio_util::compat` converts
    /// tokio's readers.
    ///
    /// The length is unknown: see [`with_exact_length`](Self::with_exact_length).
    pub fn from_async_reader<R: AsyncRead + Send + 'static>(reader: R) -> Self {
        Self::wrap(AsyncReader {
            reader: Box::pin(reader),
            buffer: BytesMut::new(),
        })
    }

    /// Creates a body from a file, read from its position to its end as by [`from_reader`](Self::from_reader).
    ///
    /// The length of a regular file is taken now: the body fails if the file grows or shrinks before it has been read.
    ///
    /// # Errors
    /// If the file's metadata or position cannot be read.
    pub fn from_file(mut file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // A pipe or a device has no length that could be announced.
        if !metadata.is_file() {
            return Ok(Self::from_reader(file));
        }
        let length = metadata.len().saturating_sub(file.stream_position()?);
        Ok(Self::from_reader(file).with_exact_length(length))
    }

    /// Creates a body from the output of a function, sent while the function writes it.
    ///
    /// The function runs on its own thread, which starts when the body is first polled. Its `write` blocks while
    /// about 256 KiB wait to be read, and fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe) once the body was dropped. An
    /// error that the function returns ends the body and becomes the [source](std::error::Error::source) of its error. The length
    /// is unknown: see [`with_exact_length`](Self::with_exact_length).
    ///
    /// ```
    /// use std::io::Write as _;
    /// use twentyfirst_transport::Body;
    ///
    /// let numbers = Body::write_with(|out| (0..1_000_000).try_for_each(|number| writeln!(out, "{number}")));
    /// # let _ = numbers;
    /// ```
    pub fn write_with<F>(write: F) -> Self
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    {
        Self::wrap(Written::Waiting(Some(Box::new(write))))
    }
}

struct Streamed<S>(Pin<Box<S>>);

impl<S, E> http_body::Body for Streamed<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let piece = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

struct AsyncReader<R> {
    reader: Pin<Box<R>>,
    buffer: BytesMut,
}

impl<R: AsyncRead> http_body::Body for AsyncReader<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        // `split_to` gave the last piece away. This uses its memory again once the reader has dropped it.
        this.buffer.resize(PIECE, 0);
        Poll::Ready(
            match ready!(this.reader.as_mut().poll_read(cx, &mut this.buffer)) {
                Ok(0) => None,
                Ok(length) => Some(Ok(Frame::data(
                    this.buffer.split_to(length.min(PIECE)).freeze(),
                ))),
                Err(error) => Some(Err(error)),
            },
        )
    }
}

type WriteFunction = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A message from the writing thread to its body.
enum Message {
    Data(Bytes),
    /// The end, as a message of its own: a thread that panicked also closes the channel, and must not look like one that is done.
    End(io::Result<()>),
}

enum Written {
    Waiting(Option<WriteFunction>),
    Running(mpsc::Receiver<Message>),
    Over,
}

impl Written {
    fn start(write: WriteFunction) -> io::Result<mpsc::Receiver<Message>> {
        let (sender, receiver) = mpsc::channel(PIECES - 1);
        thread::Builder::new()
            .name("body-writer".to_owned())
            .spawn(move || {
                let mut writer = Writer {
                    messages: sender,
                    buffer: BytesMut::new(),
                };
                let end = write(&mut writer).and_then(|()| writer.flush());
                // A failure means that the body was dropped and needs no end.
                send(&mut writer.messages, Message::End(end)).ok();
            })?;
        Ok(receiver)
    }
}

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Self::Waiting(write) = &mut *self
            && let Some(write) = write.take()
        {
            *self = match Self::start(write) {
                Ok(messages) => Self::Running(messages),
                Err(error) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            };
        }
        let Self::Running(messages) = &mut *self else {
            return Poll::Ready(None);
        };
        let end = match ready!(Pin::new(messages).poll_next(cx)) {
            Some(Message::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Message::End(Ok(()))) => None,
            Some(Message::End(Err(error))) => Some(Err(error)),
            None => Some(Err(io::Error::other(
                "the function that writes the body panicked",
            ))),
        };
        *self = Self::Over;
        Poll::Ready(end)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Over)
    }
}

struct Writer {
    messages: mpsc::Sender<Message>,
    buffer: BytesMut,
}

impl Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.buffer.len();
        let data = &data[..data.len().min(room)];
        self.buffer.extend_from_slice(data);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        send(&mut self.messages, Message::Data(piece))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the body was dropped"))
    }
}

/// Sends a message and blocks until there is room for it.
fn send(messages: &mut mpsc::Sender<Message>, message: Message) -> Result<(), mpsc::SendError> {
    block_on(poll_fn(|cx| messages.poll_ready(cx)))?;
    messages.start_send(message)
}
