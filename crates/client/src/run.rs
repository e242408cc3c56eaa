use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use http::Uri;
use twentyfirst_protocol::runs::{
    CancelStatus, Cancelled, Created, FollowFlow, FollowRun, MessageState, Outcome, ResumeStream,
    RunEnd, RunEvent, RunRef, Started,
};
use twentyfirst_protocol::ui::{Chunk, UiMessage};
use twentyfirst_protocol::{ApiKey, Endpoint, SandboxId, ThreadId};
use twentyfirst_stream::{BodyStreamExt, SseEvents};
use twentyfirst_transport::Body;

use crate::client::AgentClient;
use crate::driver::{Driver, Event};
use crate::error::Error;
use crate::telemetry::Watch;

/// A run and the answer that it streams. [`Threads::run`](crate::Threads::run) returns it.
///
/// The answer is available at several levels. Use the highest one that gives you what you need:
///
/// - [`text`](Self::text): just the text;
/// - [`message`](Self::message): the assembled message, with tool calls and metadata;
/// - [`next_chunk`](Self::next_chunk), or the run itself as a [`Stream`]: the chunks as they arrive, each once;
/// - [`next_event`](Self::next_event): the chunks, and what happens to the connection;
/// - [`into_events`](Self::into_events) and [`into_body`](Self::into_body): this one connection, to pass it on.
///
/// [`outcome`](Self::outcome) waits for the end of the run, and returns how it ended and what it cost.
///
/// # When the connection is cut
/// A run does not end with its connection. By default the missing rest is read from the stored answer once the run is over, up to
/// 30 min after the cut. For a longer time, or another way to go on, set a [`FollowPolicy`](crate::FollowPolicy) in the
/// [`CallOptions`](crate::CallOptions). Delivered content never disappears from the message, nothing is delivered twice, and the
/// user's messages are never sent again. A [`Gap`](crate::RunEvent::Gap) marks a place where chunks may be missing. If the rest
/// after a gap cannot be matched with the delivered chunks, it does not come as chunks but only in the
/// [`message`](Self::message). For [`into_events`](Self::into_events) and [`into_body`](Self::into_body), which cover a single
/// connection, a cut is an error.
///
/// # Dropping and cancelling
/// Dropping a run only stops reading and sends nothing: the run goes on in its sandbox, costs money, and is stored in its
/// thread. [`cancel`](Self::cancel) ends it. The cost up to then is spent, and nothing of the run is stored. To cancel a run that
/// another task reads, call `cancel` or clone the [`run_ref`](Self::run_ref) before you move the run into that task.
///
/// # Cancel safety
/// All methods of a run are cancel-safe. Everything that has been read stays in the run, so dropping a future loses nothing.
///
/// ```no_run
/// use twentyfirst_client::{AgentClient, Chunk, StartRun};
///
/// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
/// let mut run = client.threads().run("my-agent", "Find bugs in /src").await?;
/// while let Some(chunk) = run.next_chunk().await {
///     if let Chunk::TextDelta(text) = chunk? {
///         print!("{}", text.delta);
///     }
/// }
/// let outcome = run.outcome().await;
/// if let Some(dollars) = outcome.usage.total_cost_usd {
///     println!("{outcome}: ${dollars:.4}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a run that nobody reads goes on and costs"]
pub struct Run {
    client: AgentClient,
    run: RunRef,
    created: Created,
    resume_url: Uri,
    driver: Driver<FollowFlow>,
    /// Boxed, because it is known only at the end and would make every move of the run larger.
    outcome: Option<Box<Outcome>>,
    /// Whether the reader of chunks got the last item.
    told: bool,
    watch: Watch,
}

impl Run {
    /// Creates a run that was just started, and whose stream is this body.
    pub(crate) fn reading(
        client: AgentClient,
        started: Started,
        body: Body,
        seed: u64,
        watch: Watch,
    ) -> Result<Self, Error> {
        let flow = started.run.clone().follow().read(client.options(), seed)?;
        Self::new(
            Driver::with_stream(client.relay(), flow, body),
            client,
            started.run,
            started.created,
            watch,
        )
    }

    /// Creates a run that was started elsewhere. It sends its first request when it is first read.
    pub(crate) fn joining(
        client: AgentClient,
        run: FollowRun,
        seed: u64,
        watch: fn(&AgentClient, &RunRef) -> Watch,
    ) -> Result<Self, Error> {
        let started = run.run.clone();
        let flow = run.join(client.options(), seed)?;
        let watch = watch(&client, &started);
        let driver = Driver::new(client.relay(), flow);
        Self::new(driver, client, started, Created::default(), watch)
    }

    fn new(
        driver: Driver<FollowFlow>,
        client: AgentClient,
        run: RunRef,
        created: Created,
        watch: Watch,
    ) -> Result<Self, Error> {
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id).to_request()?;
        Ok(Self {
            resume_url: client.base_url().join(resume.uri())?,
            driver: driver.in_sandbox(&run.sandbox_id),
            client,
            run,
            created,
            outcome: None,
            told: false,
            watch,
        })
    }

    /// Returns the slug of the agent.
    pub fn agent(&self) -> &str {
        &self.run.agent
    }

    /// Returns the id of the sandbox in which it runs.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.run.sandbox_id
    }

    /// Returns the id of the thread in which it runs.
    pub fn thread_id(&self) -> &ThreadId {
        &self.run.thread_id
    }

    /// Returns the ids of the sandbox and the thread that the call created for this run.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// Returns the ids that identify this run. Store them to follow or to cancel the run from elsewhere, and the
    /// [`session`](RunRef::session) to continue the conversation.
    pub fn run_ref(&self) -> &RunRef {
        &self.run
    }

    /// Returns the relay's URL for the stream of this sandbox: GET joins the stream, DELETE cancels its run. Both need the key.
    pub fn resume_url(&self) -> &Uri {
        &self.resume_url
    }

    /// Returns the next chunk, or `None` when the run is over. The run is also a [`Stream`](futures_core::Stream) of chunks. Surrogate halves that were cut apart are joined.
    ///
    /// If the connection was cut, chunks may be missing in the middle. [`next_event`](Self::next_event) says where, and the
    /// [`message`](Self::message) has the missing content.
    ///
    /// # Errors
    /// - An event of the stream is not a chunk. Reading can go on after this error.
    /// - The run is lost. This error is the last item.
    ///
    /// A run that fails is not an error here: it delivers a chunk, [`Chunk::Error`].
    #[doc(alias = "chunks")]
    pub async fn next_chunk(&mut self) -> Option<Result<Chunk<'static>, Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Returns the next event: a chunk, or a change of the connection. Returns `None` when the run is over.
    pub async fn next_event(&mut self) -> Option<RunEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Reads until the run has finished, and returns the whole message. Chunks that fit nowhere in it are skipped.
    ///
    /// A run that was stopped by one of its limits, such as `maxTurns`, has a message too: see [`Outcome::is_success`]. The message
    /// is incomplete if the relay stored the answer incompletely, as can happen with
    /// [`FollowPolicy::live`](crate::FollowPolicy::live): see [`Outcome::message_state`].
    ///
    /// # Errors
    /// If the run failed, was cancelled or is lost, or if its message is longer than 256 MiB. Everything read before stays in
    /// [`message_so_far`](Self::message_so_far).
    pub async fn message(&mut self) -> Result<UiMessage, Error> {
        while !self.driver.flow().has_message() {
            if self.next_event().await.is_none() {
                break;
            }
        }
        // The flow knows the end before the driver reports it, which it does only after all earlier events were read.
        let flow = self.driver.flow();
        let is_partial = |outcome: &Outcome| outcome.message_state == MessageState::Partial;
        let outcome = flow.outcome().map(|outcome| self.redacted(outcome.clone()));
        if let Some(outcome) = &outcome {
            // Report the end here: the caller may never read the remaining events.
            self.watch.ended(outcome);
        }
        match outcome.as_ref().map(|outcome| &outcome.end) {
            Some(RunEnd::Cancelled) => return Err(Error::run_cancelled()),
            Some(RunEnd::Failed(text)) => return Err(Error::run_failed(text.clone())),
            Some(RunEnd::Lost(lost)) if outcome.as_ref().is_some_and(is_partial) => {
                return Err(Error::run_lost(lost.clone()));
            }
            // A run that was lost after its `finish` chunk has a complete message.
            Some(RunEnd::Lost(_) | RunEnd::Completed) => {}
            // The message is complete, but the end of the run has not arrived yet. A failure is known from an earlier chunk.
            None => match flow.failure() {
                Some("cancelled") => return Err(Error::run_cancelled()),
                Some(text) => {
                    return Err(Error::run_failed(self.client.relay().mask(text)));
                }
                None => {}
            },
        }
        match self.driver.flow().too_large() {
            Some(error) => Err(Error::message_too_long(error.clone())),
            None => Ok(self.message_so_far().clone()),
        }
    }

    /// Reads until the run has finished, and returns the text of the whole message: its text parts, joined without a separator.
    ///
    /// It returns a moment before the thread is free: await [`outcome`](Self::outcome) before the next message to the thread.
    ///
    /// # Errors
    /// The same as for [`message`](Self::message).
    pub async fn text(&mut self) -> Result<String, Error> {
        Ok(self.message().await?.text())
    }

    /// Returns the message as far as it has been read, or the final message when the run is over. If the run did not complete,
    /// some parts may be unfinished: a text whose state is `streaming`, or a tool call without its output.
    pub fn message_so_far(&mut self) -> &UiMessage {
        self.driver.flow_mut().message()
    }

    /// Reads until the run is over, and returns its outcome. The end can come a moment after the message is complete.
    pub async fn outcome(&mut self) -> Outcome {
        poll_fn(|cx| {
            loop {
                if let Some(outcome) = &self.outcome {
                    return Poll::Ready((**outcome).clone());
                }
                ready!(self.poll_event(cx));
            }
        })
        .await
    }

    /// Returns the outcome, if the run is over.
    pub(crate) fn known_outcome(&self) -> Option<&Outcome> {
        self.outcome.as_deref()
    }

    /// Returns the undecoded events of this connection. Call it before you read anything: events that were read are not included,
    /// and the rest may begin in the middle of an event. A run from [`Threads::follow`](crate::Threads::follow) has no connection
    /// yet, so it has no events.
    pub fn into_events(self) -> SseEvents<Body> {
        self.into_body().sse_events()
    }

    /// Returns the body of this connection, to be passed on unchanged. Call it before you read anything: data that was read is
    /// not included, and the rest may begin in the middle of an event. A run from [`Threads::follow`](crate::Threads::follow) has
    /// no connection yet, so its body is empty.
    pub fn into_body(self) -> Body {
        self.watch.over(self.driver.into_stream().into_body())
    }

    /// Cancels this run, and no other. Its readers then see that it was cancelled. The future does not borrow the run, so it can
    /// be awaited while the run is being read.
    ///
    /// The relay has no ids for runs, only for sandboxes, and ends the run of the newest thread that is streaming. If that is
    /// another thread, the error names it and nothing is sent. A run that is still starting cannot be ended yet: the call retries
    /// until the [deadline](crate::CallOptions::deadline) of the call, or for 5 min without one. The result is
    /// [`Idle`](twentyfirst_protocol::runs::CancelStatus::Idle) for a run that is over. If this handle has already reported the
    /// end, nothing is sent.
    ///
    /// # Errors
    /// [`Error::other_run`] if another run would be ended, and every kind of [`Error`].
    pub fn cancel(&self) -> impl Future<Output = Result<Cancelled, Error>> + Send + use<> {
        let client = self.client.clone();
        let run = self.run.clone();
        let end = self.outcome.as_ref().map(|outcome| &outcome.end);
        // A lost run may still go on at the relay. After any other end, a cancel could only hit the next run.
        let is_over = end.is_some_and(|end| !matches!(end, RunEnd::Lost(_)));
        async move {
            match is_over {
                true => Ok(Cancelled::new(CancelStatus::Idle, None)),
                false => client.threads().cancel(run).await,
            }
        }
    }

    /// Records that another instance continues to read the run.
    pub(crate) fn hand_over(&mut self) {
        self.watch.hand_over();
    }

    fn redacted(&self, outcome: Outcome) -> Outcome {
        let secrets = self.client.relay().secrets();
        let secrets: Vec<&str> = secrets.iter().map(ApiKey::expose).collect();
        outcome.redacted(&secrets)
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<RunEvent>> {
        // The driver must not be polled after its output.
        if self.outcome.is_some() {
            return Poll::Ready(None);
        }
        let driver = &mut self.driver;
        let event = self.watch.in_scope(|| driver.poll_event(cx));
        // Counted even if there is no event yet: bytes of an incomplete event have been read, too.
        self.watch.bytes(driver.take_bytes());
        match ready!(event) {
            Event::Item(event) => {
                self.watch.event(&event);
                Poll::Ready(Some(event))
            }
            Event::Done(outcome) => {
                let outcome = self.redacted(outcome);
                self.watch.ended(&outcome);
                self.outcome = Some(Box::new(outcome));
                Poll::Ready(None)
            }
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk<'static>, Error>>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(RunEvent::Chunk(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Some(RunEvent::NotAChunk(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(_) => {}
                None => break,
            }
        }
        // A lost run ends with an error, once. Any other end has a chunk of its own, or is told by `outcome`.
        let is_first = !std::mem::replace(&mut self.told, true);
        Poll::Ready(match self.outcome.as_ref().map(|outcome| &outcome.end) {
            Some(RunEnd::Lost(lost)) if is_first => Some(Err(Error::run_lost(lost.clone()))),
            _ => None,
        })
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
        self.told
    }
}
