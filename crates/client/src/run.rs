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

/// A run and the answer that it streams: from [`Threads::run`](crate::Threads::run).
///
/// The answer is there at several levels. Take the highest that tells what you need:
///
/// - [`text`](Self::text): just the text;
/// - [`message`](Self::message): the assembled message, with tool calls and metadata;
/// - [`next_chunk`](Self::next_chunk), or the [`Stream`] that a run is: the chunks as they arrive, each once;
/// - [`next_event`](Self::next_event): the chunks, and what happens to the connection;
/// - [`into_events`](Self::into_events) and [`into_body`](Self::into_body): this connection, to pass it on.
///
/// And there is what it came to: [`outcome`](Self::outcome).
///
/// # When the connection breaks off
/// A run does not end with its connection. By default what is missing is taken from the stored answer once the run is over, up to
/// 30 min after the cut; see [`FollowPolicy`](crate::FollowPolicy), a part of the [`CallOptions`](crate::CallOptions), for longer and for other ways.
/// What was delivered never disappears from the message, nothing is delivered twice, and the messages are never sent again. Where
/// something may be missing between two chunks there is a [`Gap`](crate::RunEvent::Gap); behind it, a rest that cannot be told from what
/// was delivered does not come as chunks, but only in the [`message`](Self::message). The last two levels are of one connection: there,
/// a cut is an error.
///
/// # Dropping and cancelling
/// Dropping a run only stops listening, and sends nothing: the run goes on in its sandbox, costs, and is stored in its thread.
/// [`cancel`](Self::cancel) ends it; what it cost until then is spent, and nothing of it is stored. A run is `Send` and not `Sync`:
/// move it into the task that reads it, and take the future of `cancel`, or a clone of [`run_ref`](Self::run_ref), before.
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
/// println!("{}: {:?} US dollars", outcome.end, outcome.usage.total_cost_usd);
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
    /// Boxed: it is known when a run has been read for minutes.
    outcome: Option<Box<Outcome>>,
    /// Whether the end was told to who reads chunks.
    told: bool,
    watch: Watch,
}

impl Run {
    /// A run whose stream is this body.
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

    /// A run that was started elsewhere.
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

    /// The slug of the agent.
    pub fn agent(&self) -> &str {
        &self.run.agent
    }

    /// The sandbox in which it runs.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.run.sandbox_id
    }

    /// The thread in which it runs.
    pub fn thread_id(&self) -> &ThreadId {
        &self.run.thread_id
    }

    /// What was created for it.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// Names this run. Store it to follow or to cancel the run from elsewhere, and its [`session`](RunRef::session) to continue the
    /// conversation.
    pub fn run_ref(&self) -> &RunRef {
        &self.run
    }

    /// Where the stream of this sandbox can be joined (GET) and its run be ended (DELETE), both with the key.
    pub fn resume_url(&self) -> &Uri {
        &self.resume_url
    }

    /// The next chunk; `None` when the run is over. Surrogate halves that were cut apart are joined.
    ///
    /// Of a run that has lost its connection, chunks may be missing in the middle: [`next_event`](Self::next_event) tells where.
    /// The [`message`](Self::message) has them.
    ///
    /// This operation is cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// An event that is not a chunk, after which it goes on; or the run is lost, which is the last item. A run that fails
    /// says so by a chunk: [`Chunk::Error`].
    pub async fn next_chunk(&mut self) -> Option<Result<Chunk<'static>, Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// What happens next: a chunk, or something about the connection; `None` when the run is over.
    ///
    /// This operation is cancel-safe: dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Option<RunEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The whole message: reads on until the run has finished. Chunks that do not fit are passed over.
    ///
    /// A run that was stopped by one of its limits, such as `maxTurns`, has a message all the same: see
    /// [`Outcome::is_success`]. And where the relay has stored an answer incompletely, as it can after
    /// [`FollowPolicy::live`](crate::FollowPolicy::live), the message is what there is: see [`Outcome::message_state`].
    ///
    /// This operation is cancel-safe: what has been read stays in the run, see [`message_so_far`](Self::message_so_far).
    ///
    /// # Errors
    /// A run that failed, was cancelled or is lost, or whose message is longer than 256 MiB. What came before stays in
    /// [`message_so_far`](Self::message_so_far).
    pub async fn message(&mut self) -> Result<UiMessage, Error> {
        while !self.driver.flow().has_message() {
            if self.next_event().await.is_none() {
                break;
            }
        }
        let flow = self.driver.flow();
        let is_partial = |outcome: &Outcome| outcome.message_state == MessageState::Partial;
        let outcome = flow.outcome().map(|outcome| self.redacted(outcome.clone()));
        if let Some(outcome) = &outcome {
            // Its moments may be left unread.
            self.watch.ended(outcome);
        }
        match outcome.as_ref().map(|outcome| &outcome.end) {
            Some(RunEnd::Cancelled) => return Err(Error::run_cancelled()),
            Some(RunEnd::Failed(text)) => return Err(Error::run_failed(text.clone())),
            Some(RunEnd::Lost(lost)) if outcome.as_ref().is_some_and(is_partial) => {
                return Err(Error::run_lost(lost.clone()));
            }
            // Lost behind its `finish`, it has its message all the same.
            Some(RunEnd::Lost(_) | RunEnd::Completed) => {}
            // At `finish` this is known already, though the end has not come.
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

    /// The text of the whole message: reads on until the run has finished. All text parts, one after the other.
    ///
    /// This operation is cancel-safe, as [`message`](Self::message) is.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub async fn text(&mut self) -> Result<String, Error> {
        Ok(self.message().await?.text())
    }

    /// The message as far as it has been read; when the run is over, the one that counts. Of a run that did not complete, parts may be
    /// open: a text whose state is `streaming`, a tool call without its output.
    pub fn message_so_far(&mut self) -> &UiMessage {
        self.driver.flow_mut().message()
    }

    /// What the run came to: reads on until it is over, which can be a moment after its message is whole.
    ///
    /// This operation is cancel-safe, as [`message`](Self::message) is.
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

    /// What the run came to, if that is known.
    pub(crate) fn known_outcome(&self) -> Option<&Outcome> {
        self.outcome.as_deref()
    }

    /// The events of this connection, undecoded. Take them before anything is read: what has been read is not among them,
    /// and the rest may begin within an event. Of a run that was joined there are none.
    pub fn into_events(self) -> SseEvents<Body> {
        self.into_body().sse_events()
    }

    /// The body of this connection, to be passed on as it is. Take it before anything is read: what has been read is not in
    /// it, and the rest may begin within an event. Of a run that was joined it is empty.
    pub fn into_body(self) -> Body {
        self.watch.over(self.driver.into_stream().into_body())
    }

    /// Ends this run, and no other. Who reads it then sees that it was cancelled. It can be awaited while the run is read.
    ///
    /// The relay knows no runs, only sandboxes, and ends the newest created thread that streams: where that is another one, an
    /// error names it and nothing is sent. A run that is still starting cannot be ended yet: it is tried until the
    /// [deadline](crate::CallOptions::deadline) of the call, or for 5 min. The answer is
    /// [`Idle`](twentyfirst_protocol::runs::CancelStatus::Idle) for a run that is over; one whose end this run has told sends nothing.
    ///
    /// # Errors
    /// [`Error::other_run`] where another run would be ended, and all of [`Error`].
    pub fn cancel(&self) -> impl Future<Output = Result<Cancelled, Error>> + Send + use<> {
        let client = self.client.clone();
        let run = self.run.clone();
        let end = self.outcome.as_ref().map(|outcome| &outcome.end);
        let is_over = end.is_some_and(|end| !matches!(end, RunEnd::Lost(_)));
        async move {
            match is_over {
                true => Ok(Cancelled::new(CancelStatus::Idle, None)),
                false => client.threads().cancel(run).await,
            }
        }
    }

    /// Notes that another instance reads on.
    pub(crate) fn hand_over(&mut self) {
        self.watch.hand_over();
    }

    fn redacted(&self, outcome: Outcome) -> Outcome {
        let secrets = self.client.relay().secrets();
        let secrets: Vec<&str> = secrets.iter().map(ApiKey::expose).collect();
        outcome.redacted(&secrets)
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<RunEvent>> {
        if self.outcome.is_some() {
            return Poll::Ready(None);
        }
        let driver = &mut self.driver;
        let event = self.watch.in_scope(|| driver.poll_event(cx));
        self.watch.bytes(driver.take_bytes());
        match ready!(event) {
            Event::Item(moment) => {
                self.watch.moment(&moment);
                Poll::Ready(Some(moment))
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
