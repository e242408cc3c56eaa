use http::Response;
use twentyfirst_protocol::runs::{
    CancelStream, Cancelled, FollowRun, Mode, RunRef, SendMessages, StartRun, Started,
};
use twentyfirst_protocol::threads::{
    CreateThread, DeleteThread, GetThread, ListThreads, Thread, ThreadSummary,
};
use twentyfirst_protocol::{Endpoint, SandboxId, ThreadId};
use twentyfirst_transport::Body;

use crate::client::{AgentClient, seed};
use crate::error::Error;
use crate::run::Run;
use crate::telemetry::Watch;

/// Threads, and running agents in them: from [`AgentClient::threads`].
#[derive(Debug, Clone)]
pub struct Threads {
    client: AgentClient,
}

impl Threads {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Lists the threads of a sandbox, the newest first.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown sandbox, and all of [`Error`].
    pub async fn list(&self, sandbox_id: &SandboxId) -> Result<Vec<ThreadSummary>, Error> {
        self.client.execute(&ListThreads::new(sandbox_id)).await
    }

    /// Creates a thread without a name. See [`CreateThread`] for one with a name.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown sandbox, and all of [`Error`].
    pub async fn create(&self, sandbox_id: &SandboxId) -> Result<ThreadSummary, Error> {
        self.client.execute(&CreateThread::new(sandbox_id)).await
    }

    /// Reads a thread with the messages that are stored.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown one, and all of [`Error`].
    pub async fn get(&self, sandbox_id: &SandboxId, thread_id: &ThreadId) -> Result<Thread, Error> {
        self.client
            .execute(&GetThread::new(sandbox_id, thread_id))
            .await
    }

    /// Deletes a thread.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for one that is deleted already, and all of [`Error`].
    pub async fn delete(&self, sandbox_id: &SandboxId, thread_id: &ThreadId) -> Result<(), Error> {
        self.client
            .execute(&DeleteThread::new(sandbox_id, thread_id))
            .await
    }

    /// Runs an agent, and returns when its answer begins. What is missing, a sandbox or a thread, is created first.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, StartRun};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let mut run = client.threads().run(StartRun::new("my-agent", "Find bugs in /src")).await?;
    /// println!("{}", run.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The answer begins when the sandbox is ready and the agent has been reached, which can take minutes. A call that is
    /// dropped while it waits may leave a sandbox or a thread behind, and a run that goes on and costs.
    ///
    /// # Errors
    /// All of [`Error`]. Where a later step fails, [`Error::created`] names what the earlier ones have made.
    pub async fn run(&self, run: StartRun) -> Result<Run, Error> {
        let (started, stream, watch) = self.start(run).await?;
        let body = stream.into_body();
        Run::reading(self.client.clone(), started, body, seed(), watch)
    }

    /// Follows a run that was started elsewhere: in the background, or by another process. Nothing is sent until the run is read.
    ///
    /// With [`Follow::wait`](crate::Follow::wait), the default, its end is waited for, and its stored answer delivered. With
    /// [`Follow::live`](crate::Follow::live) and [`Follow::off`](crate::Follow::off) its stream is joined, which can cost stored
    /// history.
    ///
    /// A run whose runtime has died streams for ever. So without a [`deadline`](crate::Follow::deadline) waiting may never end; and
    /// only cancelling such a run frees its thread.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use twentyfirst_client::{AgentClient, Follow, RunRef, StartRun};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), Box<dyn std::error::Error>> {
    /// // Start it, and store what it takes to find it again.
    /// let started = client.threads().run_in_background(StartRun::new("my-agent", "Find bugs in /src")).await?;
    /// let row = serde_json::to_string(&started.run)?;
    ///
    /// // After a restart, or in another process: follow it, and cancel it if it takes too long.
    /// let run: RunRef = serde_json::from_str(&row)?;
    /// let hour = Follow::wait().deadline(Duration::from_secs(3600));
    /// let client = client.with_options(client.options().follow(hour));
    /// let mut following = client.threads().follow(run.clone())?;
    /// match following.text().await {
    ///     Ok(text) => println!("{text}"),
    ///     Err(error) if error.is_run_lost() => {
    ///         eprintln!("{error}");
    ///         client.threads().cancel(run).await?;
    ///     }
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What is stored behind the call is not there if the process dies during it. To find the run all the same, make its sandbox and
    /// its thread first, give its turn an id, and store the three before the call. The id has to be unique among the user messages
    /// of the thread, since a run is known by it.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, Session, UiMessage};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let sandbox = client.sandboxes().create("my-agent").await?;
    /// let thread = client.threads().create(&sandbox.id).await?;
    /// let (session, turn) = (Session::new("my-agent").sandbox_id(&sandbox.id).thread_id(&thread.id), "turn-1");
    /// // Store both here.
    /// let message = UiMessage::user("Find bugs in /src").with_id(turn);
    /// client.threads().run_in_background(session.run(message)).await?;
    ///
    /// // After a restart. A run that never began is lost: `LostReason::NotStored`.
    /// let mut run = client.threads().follow(session.current_run()?.user_message_id(turn))?;
    /// println!("{}", run.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the request would be refused. Later failures are reported by the run.
    pub fn follow(&self, run: impl Into<FollowRun>) -> Result<Run, Error> {
        Run::joining(self.client.clone(), run.into(), seed(), Watch::follow)
    }

    /// Ends a run, and no other: see [`Run::cancel`].
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// [`Error::other_run`] where another run would be ended, and all of [`Error`].
    pub async fn cancel(&self, run: RunRef) -> Result<Cancelled, Error> {
        let flow = run.cancel(self.client.options(), seed())?;
        let (cancelled, _) = self.client.drive(&CancelStream::ROUTE, flow).await?;
        Ok(cancelled)
    }

    /// Starts a run whose answer is not streamed but only stored, and returns when it is accepted: it may still be starting. See
    /// [`follow`](Self::follow) for its end, or for its stream.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_in_background(&self, run: StartRun) -> Result<Started, Error> {
        let mode = Some(Mode::Background);
        let flow = run.flow(mode, self.client.options(), seed())?;
        let (started, _) = self.client.drive(&SendMessages::ROUTE, flow).await?;
        Ok(started)
    }

    /// Starts a run: the response with its stream, and who watches it.
    pub(crate) async fn start(
        &self,
        run: StartRun,
    ) -> Result<(Started, Response<Body>, Watch), Error> {
        let mut watch = Watch::start(&self.client, &run);
        let starting = async {
            let flow = run.flow(None, self.client.options(), seed())?;
            self.client.drive(&SendMessages::ROUTE, flow).await
        };
        match watch.around(starting).await {
            Ok((started, stream)) => {
                watch.started(&started);
                Ok((started, stream, watch))
            }
            Err(error) => {
                watch.not_started(&error);
                Err(error)
            }
        }
    }
}
