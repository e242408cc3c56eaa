use http::Response;
use twentyfirst_protocol::runs::{
    CancelStream, Cancelled, FollowRun, Messages, Mode, RunRef, SendMessages, StartRun, Started,
};
use twentyfirst_protocol::threads::{
    CreateThread, DeleteThread, GetThread, ListThreads, Thread, ThreadSummary,
};
use twentyfirst_protocol::{Endpoint, IntoId, SandboxId, ThreadId};
use twentyfirst_transport::Body;

use crate::call::Call;
use crate::client::{AgentClient, seed};
use crate::error::Error;
use crate::in_sandbox::{InSandbox, in_sandbox};
use crate::run::Run;
use crate::telemetry::Watch;

/// The calls on threads, and on the runs of agents in them. [`AgentClient::threads`] returns it.
#[derive(Debug, Clone)]
pub struct Threads {
    client: AgentClient,
}

impl Threads {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Runs an agent, and returns when its answer begins. A missing sandbox or thread is created first.
    ///
    /// `messages` is a text, a [`UiMessage`](crate::UiMessage), or several messages. If you have a [`StartRun`] already, such as
    /// from a [`Session`](crate::Session), use [`start`](Self::start).
    ///
    /// ```no_run
    /// use twentyfirst_client::AgentClient;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let mut run = client.threads().run("my-agent", "Find bugs in /src").max_turns(25).max_budget_usd(1.0).await?;
    /// println!("{}", run.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Its setters are those of [`StartRun`] and of its options.
    ///
    /// The answer begins when the sandbox is ready and the agent has been reached, which can take minutes.
    /// [`in_background`](Call::in_background) starts the run without streaming its answer.
    ///
    /// # Errors
    /// If a later step fails, [`Error::created`] names what the earlier steps created.
    ///
    /// # Cancel safety
    /// A call that is dropped while it waits may leave a sandbox or a thread behind, and a run that goes on and costs money.
    pub fn run(
        &self,
        agent: impl Into<String>,
        messages: impl Into<Messages>,
    ) -> Call<StartRun, Run> {
        self.start(StartRun::new(agent, messages))
    }

    /// Starts this run, in the same way as [`run`](Self::run).
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, Session};
    ///
    /// # async fn example(client: AgentClient, session: Session) -> Result<(), twentyfirst_client::Error> {
    /// let mut run = client.threads().start(session.run("And in the tests?")).await?;
    /// println!("{}", run.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as for [`run`](Self::run).
    pub fn start(&self, run: StartRun) -> Call<StartRun, Run> {
        Call::new(self.client.clone(), Ok(run), |client, run| async move {
            let (started, stream, watch) = start(&client, run).await?;
            Run::reading(client, started, stream.into_body(), seed(), watch)
        })
    }

    /// Follows a run that was started elsewhere: in the background, or by another process. Nothing is sent until the run is read.
    ///
    /// With [`FollowPolicy::wait`](crate::FollowPolicy::wait), the default, it waits for the end of the run and then delivers the
    /// stored answer. With [`FollowPolicy::live`](crate::FollowPolicy::live) and [`FollowPolicy::off`](crate::FollowPolicy::off)
    /// it joins the stream, which can cost stored history.
    ///
    /// If the runtime of a run has died, the relay reports the run as streaming for ever. So waiting may never end unless a
    /// [`deadline`](crate::FollowPolicy::deadline) is set, and only cancelling such a run frees its thread.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use twentyfirst_client::{AgentClient, FollowPolicy, RunRef};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), Box<dyn std::error::Error>> {
    /// // Start it, and store the ids that find it again.
    /// let started = client.threads().run("my-agent", "Find bugs in /src").in_background().await?;
    /// let row = serde_json::to_string(&started.run)?;
    ///
    /// // After a restart, or in another process: follow it, and cancel it if it takes too long.
    /// let run: RunRef = serde_json::from_str(&row)?;
    /// let hour = FollowPolicy::wait().deadline(Duration::from_secs(3600));
    /// let client = client.with_options(client.options().follow(hour));
    /// let mut following = client.threads().follow(&run)?;
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
    /// If the process dies during the call that starts the run, it has not stored those ids. To find the run all the same, create
    /// its sandbox and its thread first, give its message an id, and store all three ids before the call. The message's id
    /// identifies the run, so it must be unique among the user messages of the thread.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, Session, UiMessage};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let sandbox = client.sandboxes().create("my-agent").await?;
    /// let thread = client.threads().create(&sandbox).await?;
    /// let (session, turn) = (Session::new("my-agent").sandbox_id(&sandbox).thread_id(&thread), "turn-1");
    /// // Store the session and the turn here.
    /// let message = UiMessage::user("Find bugs in /src").with_id(turn);
    /// client.threads().start(session.run(message)).in_background().await?;
    ///
    /// // After a restart. A run that never began is lost: `LostReason::NotStored`.
    /// let mut run = client.threads().follow(session.current_run()?.user_message_id(turn))?;
    /// println!("{}", run.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the request is invalid. The run reports later failures.
    pub fn follow(&self, run: impl Into<FollowRun>) -> Result<Run, Error> {
        Run::joining(self.client.clone(), run.into(), seed(), Watch::follow)
    }

    /// Cancels this run, and no other: see [`Run::cancel`].
    ///
    /// # Errors
    /// [`Error::other_run`] if the relay would end another run instead.
    pub fn cancel(&self, run: impl Into<RunRef>) -> Call<RunRef, Cancelled> {
        let run = Ok(run.into());
        Call::new(self.client.clone(), run, |client, run| async move {
            let flow = run.cancel(client.options(), seed())?;
            let (cancelled, _) = client.drive(&CancelStream::ROUTE, flow).await?;
            Ok(cancelled)
        })
    }
}

impl Call<StartRun, Run> {
    /// Starts the run without streaming its answer: the relay only stores it. The call returns when the relay has accepted the
    /// run, which may still be starting then. To wait for its end or to join its stream, see [`Threads::follow`].
    pub fn in_background(self) -> Call<StartRun, Started> {
        self.run_with(|client, run| async move {
            let flow = run.flow(Some(Mode::Background), client.options(), seed())?;
            let (started, _) = client.drive(&SendMessages::ROUTE, flow).await?;
            Ok(started)
        })
    }
}

/// The calls on the threads of one sandbox. [`SandboxHandle::threads`](crate::SandboxHandle::threads) returns it.
#[derive(Debug, Clone)]
pub struct SandboxThreads(pub(crate) InSandbox);

in_sandbox! {
    Threads, SandboxThreads;

    /// Lists the threads of a sandbox, newest first.
    ///
    /// # Errors
    /// 404 for an unknown sandbox.
    pub fn list(&self) -> Call<ListThreads, Vec<ThreadSummary>> {
        self.0.call(ListThreads::new)
    }

    /// Creates a thread. It has no name, unless the setter `name` sets one.
    ///
    /// # Errors
    /// 404 for an unknown sandbox.
    pub fn create(&self) -> Call<CreateThread, ThreadSummary> {
        self.0.call(CreateThread::new)
    }

    /// Returns a thread with its stored messages.
    ///
    /// # Errors
    /// 404 for an unknown thread.
    pub fn get(&self, thread_id: impl IntoId<ThreadId>) -> Call<GetThread, Thread> {
        self.0.call_in(thread_id, GetThread::new)
    }

    /// Deletes a thread.
    ///
    /// # Errors
    /// 404 if the thread was already deleted.
    pub fn delete(&self, thread_id: impl IntoId<ThreadId>) -> Call<DeleteThread, ()> {
        self.0.call_in(thread_id, DeleteThread::new)
    }
}

/// Starts a run. Returns its ids, the response with its stream, and its telemetry.
pub(crate) async fn start(
    client: &AgentClient,
    run: StartRun,
) -> Result<(Started, Response<Body>, Watch), Error> {
    let mut watch = Watch::start(client, &run);
    let starting = async {
        let flow = run.flow(None, client.options(), seed())?;
        client.drive(&SendMessages::ROUTE, flow).await
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
