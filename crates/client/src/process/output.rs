use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use twentyfirst_protocol::processes::{ExitStatus, FollowOutput, Offsets, OutputChunk, ProcessRef};

use crate::client::{AgentClient, seed};
use crate::driver::{Driver, Event};
use crate::error::Error;

/// The output of a [`Process`](crate::Process), as a [`Stream`] of chunks. It ends when the process has ended and all output is
/// read.
///
/// At most 1 MiB of each of the two outputs is held in memory. A failed request is retried from the same offset, as often as the
/// [`RetryPolicy`](crate::RetryPolicy) allows. After that an error ends the stream, and [`offsets`](Self::offsets) says where to
/// continue. The order between standard output and standard error is unknown. Nothing is sent until the output is read.
///
/// ```no_run
/// use twentyfirst_client::Process;
/// use twentyfirst_client::protocol::processes::OutputStream;
///
/// # async fn example(process: Process) -> Result<(), twentyfirst_client::Error> {
/// let mut output = process.output();
/// while let Some(chunk) = output.next_chunk().await {
///     let chunk = chunk?;
///     match chunk.stream {
///         OutputStream::Stdout => print!("{}", String::from_utf8_lossy(&chunk.bytes)),
///         OutputStream::Stderr => eprint!("{}", String::from_utf8_lossy(&chunk.bytes)),
///     }
/// }
/// println!("{:?}", output.exit_status());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent until the output is read"]
pub struct Output {
    state: State,
    offsets: Offsets,
    exit_status: Option<ExitStatus>,
}

#[derive(Debug)]
enum State {
    Reading(Box<Driver<FollowOutput>>),
    /// The request is invalid. The first read returns the error, so that `output` itself needs no `?`.
    Refused(Option<Error>),
    Ended,
}

impl Output {
    pub(super) fn new(client: AgentClient, process: ProcessRef, offsets: Offsets) -> Self {
        let flow = process.output(offsets, client.options(), seed());
        Self {
            state: match flow {
                Ok(flow) => State::Reading(Box::new(Driver::new(client.relay(), flow))),
                Err(error) => State::Refused(Some(error.into())),
            },
            offsets,
            exit_status: None,
        }
    }

    /// Returns the next chunk, or `None` when the process has ended and all output is read.
    ///
    /// # Errors
    /// [`ProcessError::Gone`](crate::protocol::processes::ProcessError::Gone) after the remaining output, if its machine has
    /// restarted; and those of [`Process`](crate::Process). An error ends the stream.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_chunk(&mut self) -> Option<Result<OutputChunk, Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Returns the offsets up to which both outputs were returned. Store them to continue with
    /// [`output_from`](crate::Process::output_from).
    pub fn offsets(&self) -> Offsets {
        match &self.state {
            State::Reading(driver) => driver.flow().offsets(),
            State::Refused(_) | State::Ended => self.offsets,
        }
    }

    /// Returns the exit status, once all output is read.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit_status
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<OutputChunk, Error>>> {
        let driver = match &mut self.state {
            State::Reading(driver) => driver,
            State::Refused(error) => return Poll::Ready(error.take().map(Err)),
            State::Ended => return Poll::Ready(None),
        };
        let result = match ready!(driver.poll_event(cx)) {
            Event::Item(chunk) => return Poll::Ready(Some(Ok(chunk))),
            Event::Done(result) => result,
        };
        // Kept, because the driver is dropped here and its connection with it.
        self.offsets = driver.flow().offsets();
        let result = result.map_err(|error| Error::from(error).redacted(driver.relay()));
        self.state = State::Ended;
        Poll::Ready(match result {
            Ok(status) => {
                self.exit_status = Some(status);
                None
            }
            Err(error) => Some(Err(error)),
        })
    }
}

impl Stream for Output {
    type Item = Result<OutputChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl FusedStream for Output {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ended | State::Refused(None))
    }
}
