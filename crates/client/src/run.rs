use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use http::Uri;
use twentyfirst_protocol::runs::{CancelStream, Cancelled, Created, ResumeStream, Started};
use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk, End, Joiner, UiMessage};
use twentyfirst_protocol::{Endpoint, SandboxId, ThreadId};
use twentyfirst_stream::{BodyStreamExt, SseEvents, UiChunks};
use twentyfirst_transport::Body;

use crate::client::AgentClient;
use crate::error::Error;

/// A run and the answer that it streams: from [`Threads::run`](crate::Threads::run).
///
/// The answer is there at four levels. Take the highest that tells what you need:
///
/// - [`text`](Self::text): just the text;
/// - [`message`](Self::message): the assembled message, with tool calls and metadata;
/// - [`next_chunk`](Self::next_chunk), or the [`Stream`] that a run is: the chunks as they arrive;
/// - [`into_events`](Self::into_events) and [`into_body`](Self::into_body): this connection, to pass it on.
///
/// Dropping a run only stops listening. It goes on in its sandbox, costs, and is stored in its thread;
/// [`cancel`](Self::cancel) ends it.
///
/// ```no_run
/// use twentyfirst_client::{AgentClient, Chunk, StartRun};
///
/// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
/// let mut run = client.threads().run(StartRun::new("my-agent", "Find bugs in /src")).await?;
/// while let Some(chunk) = run.next_chunk().await {
///     if let Chunk::TextDelta(text) = chunk? {
///         print!("{}", text.delta);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a run that nobody reads goes on and costs"]
pub struct Run {
    client: AgentClient,
    agent: String,
    started: Started,
    resume_url: Uri,
    chunks: UiChunks<Body>,
    joiner: Joiner,
    assembler: Assembler,
    /// Joined and assembled, to be handed out.
    ready: VecDeque<Chunk<'static>>,
    /// What the relay says of a run that failed or was cancelled.
    failure: Option<String>,
    /// The message is longer than is held.
    too_long: Option<AssembleError>,
    ended: bool,
}

impl Run {
    pub(crate) fn new(
        client: AgentClient,
        agent: String,
        started: Started,
        body: Body,
    ) -> Result<Self, Error> {
        let resume = ResumeStream::new(agent.clone(), &started.sandbox_id).to_request()?;
        Ok(Self {
            resume_url: client.base_url().join(resume.uri())?,
            client,
            agent,
            started,
            chunks: body.ui_chunks(),
            joiner: Joiner::new(),
            assembler: Assembler::new().lenient(true),
            ready: VecDeque::new(),
            failure: None,
            too_long: None,
            ended: false,
        })
    }

    /// The slug of the agent.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The sandbox in which it runs.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.started.sandbox_id
    }

    /// The thread in which it runs.
    pub fn thread_id(&self) -> &ThreadId {
        &self.started.thread_id
    }

    /// What was created for it.
    pub fn created(&self) -> &Created {
        &self.started.created
    }

    /// Where the stream of this sandbox can be joined (GET) and its run be ended (DELETE), both with the key.
    pub fn resume_url(&self) -> &Uri {
        &self.resume_url
    }

    /// The next chunk; `None` at the end of the stream. Surrogate halves that were cut apart are joined.
    ///
    /// This operation is cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// An event that is not a chunk, after which it goes on; a connection that broke off or ended before the run did,
    /// which is the last item. A run that fails says so by a chunk: [`Chunk::Error`].
    pub async fn next_chunk(&mut self) -> Option<Result<Chunk<'static>, Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The whole message: reads on until the run has finished. Chunks that do not fit are passed over.
    ///
    /// A run that was stopped by one of its limits, such as `maxTurns`, has a message all the same: `resultSubtype` in its
    /// metadata then begins with `error`.
    ///
    /// This operation is cancel-safe: what has been read stays in the run, see [`message_so_far`](Self::message_so_far).
    ///
    /// # Errors
    /// A run that failed, was cancelled, whose stream broke off, or whose message is longer than 256 MiB. What came before stays in
    /// [`message_so_far`](Self::message_so_far).
    pub async fn message(&mut self) -> Result<UiMessage, Error> {
        while !self.chunks.saw_finish() || !self.ready.is_empty() {
            match self.next_chunk().await {
                // An event that is no chunk says nothing of the run.
                Some(Err(error)) if self.ended => return Err(error),
                Some(_) => {}
                None => break,
            }
        }
        match &self.failure {
            // So a run ends that was cancelled through another instance of the relay.
            Some(text) if text == "cancelled" => return Err(Error::run_cancelled()),
            Some(text) => return Err(Error::run_failed(self.client.mask(text))),
            None => {}
        }
        if let Some(error) = &self.too_long {
            return Err(Error::message_too_long(error.clone()));
        }
        match self.chunks.end() {
            _ if self.chunks.saw_finish() => Ok(self.message_so_far().clone()),
            Some(End::Finished | End::Aborted) => Err(Error::run_cancelled()),
            _ => Err(Error::run_cut()),
        }
    }

    /// The text of the whole message: reads on until the run has finished. All text parts, one after the other.
    ///
    /// This operation is cancel-safe, as [`message`](Self::message) is.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub async fn text(&mut self) -> Result<String, Error> {
        Ok(self.message().await?.text())
    }

    /// The message as far as it has been read.
    pub fn message_so_far(&mut self) -> &UiMessage {
        self.assembler.message()
    }

    /// How the stream of this connection has ended; `None` as long as it has not. A message is whole from
    /// [`message`](Self::message) on, which does not wait for the end.
    pub fn end(&self) -> Option<End> {
        self.chunks.end()
    }

    /// The events of this connection, undecoded. Take them before anything is read: what has been read is not among them,
    /// and the rest may begin within an event.
    pub fn into_events(self) -> SseEvents<Body> {
        self.into_body().sse_events()
    }

    /// The body of this connection, to be passed on as it is. Take it before anything is read: what has been read is not in
    /// it, and the rest may begin within an event.
    pub fn into_body(self) -> Body {
        self.chunks.into_body().unwrap_or_default()
    }

    /// Ends the run that is under way in this sandbox. The stream then ends without a `finish`. It can be awaited while the
    /// run is read.
    ///
    /// The relay knows no runs, only sandboxes: where several threads stream, it ends the newest created. While a run is
    /// still starting, it answers [`Idle`](twentyfirst_protocol::runs::CancelStatus::Idle) and the run goes on.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn cancel(&self) -> impl Future<Output = Result<Cancelled, Error>> + Send + use<> {
        let client = self.client.clone();
        let cancel = CancelStream::new(self.agent.clone(), self.sandbox_id());
        async move { client.execute(&cancel).await }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk<'static>, Error>>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.chunks).poll_next(cx)) {
                Some(Ok(chunk)) => {
                    let joined = self.joiner.push(chunk);
                    self.take(joined);
                }
                Some(Err(error)) => {
                    self.ended = error.is_fatal();
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    let joined = self.joiner.finish();
                    self.take(joined);
                    self.ended = true;
                    let cut = self.chunks.end().is_none_or(|end| end == End::Cut)
                        && !self.chunks.saw_finish();
                    if cut {
                        return Poll::Ready(Some(Err(Error::run_cut())));
                    }
                }
            }
        }
    }

    fn take(&mut self, joined: impl IntoIterator<Item = Chunk<'static>>) {
        for chunk in joined {
            if let Chunk::Error(error) = &chunk {
                let text = || error.error_text.to_string_lossy().into_owned();
                self.failure.get_or_insert_with(text);
            }
            // A chunk that does not fit is handed out all the same; the message stays as it was.
            if let Err(error @ AssembleError::TooLarge { .. }) = self.assembler.apply(&chunk) {
                self.too_long.get_or_insert(error);
            }
            self.ready.push_back(chunk);
        }
    }
}

impl Stream for Run {
    type Item = Result<Chunk<'static>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl FusedStream for Run {
    fn is_terminated(&self) -> bool {
        self.ended && self.ready.is_empty()
    }
}
