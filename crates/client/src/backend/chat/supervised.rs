use std::error::Error as StdError;
use std::time::Duration;

use http::StatusCode;

use super::chat_run::ChatRun;
use super::handler::ChatHandler;
use super::recorded::{self, EndedRun, OnEnd, OpenRun, Recorded};
use crate::backend::Refusal;
use crate::error::Error;

/// # Runs that are answered for
/// A browser may leave, and an instance may die: a run goes on, and somebody has to see to its end. These are for servers that count on
/// it. They need a log; with a [store that is shared](Self::run_log), another instance takes the place of one that dies.
impl ChatHandler {
    /// Does this when a run is over, however it has ended, and whoever is still there to see: what it came to is kept, counted, sent on.
    ///
    /// It is called **at least once** for each run that this handler has started: by the instance that has recorded the end, and where that
    /// is gone by another which [supervises](Self::supervise), about 40 s later. It is called again where it fails or panics, after
    /// pauses of 1 s to 60 s, and where an instance dies while it is called: [`EndedRun::id`] tells repetitions.
    /// [`on_error`](Self::on_error) sees [each failure](Error::end_not_told). In the memory of one process, an end is told as long as
    /// the process lives.
    ///
    /// It is called for runs that the relay has refused, too: these have [no place](EndedRun::run). A message that was refused because the
    /// chat was answering is no run.
    ///
    /// What it is told stands in the log of the run; where that is gone, or does not hold all of the answer, the relay is asked. All
    /// instances of a server do the same here, as any of them may be the one that does it.
    ///
    /// ```
    /// use twentyfirst_client::backend::ChatHandler;
    /// # struct Database;
    /// # impl Database {
    /// #     async fn count(&self, run: &str, owner: &str, usd: Option<f64>) -> std::io::Result<()> { Ok(()) }
    /// # }
    ///
    /// fn counted(chats: ChatHandler, database: std::sync::Arc<Database>) -> ChatHandler {
    ///     chats.on_end(move |ended| {
    ///         let database = std::sync::Arc::clone(&database);
    ///         // Counts each run once: its id is the key.
    ///         async move { database.count(&ended.id, &ended.owner, ended.outcome.usage.total_cost_usd).await }
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn on_end<F, Fut, E>(mut self, on_end: F) -> Self
    where
        F: Fn(EndedRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(recorded) = &mut self.recorded {
            recorded.on_end(OnEnd::new(on_end));
        }
        self
    }

    /// Sets how many runs are followed here at once; no limit by default. A message beyond it is refused with 503 and `retry-after`, and
    /// what other instances have left waits for room.
    #[must_use]
    pub fn run_limit(mut self, runs: usize) -> Self {
        if let Some(recorded) = &mut self.recorded {
            recorded.limit_runs(runs);
        }
        self
    }

    /// Looks from now on for runs of instances that are gone, and goes on with them: their answers are recorded to the end, and
    /// [`on_end`](Self::on_end) is called. A run of an instance that was killed is gone on with after about 40 s, one of an instance that was
    /// [drained](Self::drain) after 5 s at most. Runs are found for 48 h, also by an instance that starts when all others are gone.
    ///
    /// A task of the client's [`Runtime`](crate::transport::Runtime) does so, until [`drain`](Self::drain). It is begun once; call it
    /// when the server starts, within the runtime. Without a [store that is shared](Self::run_log) there is nothing to find.
    pub fn supervise(&self) {
        if let Some(recorded) = &self.recorded {
            recorded.supervise();
        }
    }

    /// Lets all runs go that this instance reads, so that others go on with them at once: for a deploy, when no more requests come. Waits no
    /// longer than `deadline` until they have been let go, and until calls of [`on_end`](Self::on_end) are over that are under way; without a
    /// [store that is shared](Self::run_log), until runs have ended and their ends were told. Returns how many are left: 0 if nothing is
    /// lost when the process ends now. With a shared store, what is left is found by others, too, only later.
    ///
    /// Bodies of responses that are under way go on from the store. From now on this instance takes over no run.
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting; runs are let go all the same.
    pub async fn drain(&self, deadline: Duration) -> usize {
        match &self.recorded {
            Some(recorded) => recorded.drain(deadline).await,
            None => 0,
        }
    }

    /// Returns all runs that are not over, or whose end was not told yet: of all instances, also of those that are gone.
    ///
    /// It is for queues that must begin nothing twice: a run stands here before [`begin`](Self::begin) sends anything to the relay, and until
    /// [`on_end`](Self::on_end) has succeeded. So what neither stands here nor was told of then was never begun. Ask for the open runs
    /// first, and look then what was told: the other way round, a run can end in between.
    ///
    /// Instances write down what they answer for if they have [`on_end`](Self::on_end) or [supervise](Self::supervise).
    ///
    /// # Errors
    /// If the store is unavailable, or cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        match &self.recorded {
            Some(recorded) => recorded.open_runs().await,
            None => Ok(Vec::new()),
        }
    }

    /// Starts a turn of a chat without a browser, as from a queue, a schedule or a webhook, and returns the id of the run: the same as
    /// [`EndedRun::id`] and [`OpenRun::id`], and the one by which browsers resume it.
    ///
    /// It does what `POST` does, and is ready when the run has started. The run is recorded to its end, and
    /// [`on_end`](Self::on_end) told.
    ///
    /// # Errors
    /// What a browser would be sent: 409 where the chat is answering, 503 beyond the [limit](Self::run_limit), what the relay refuses, and
    /// 500 [without a log](Self::without_log).
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the run.
    pub async fn begin(&self, chat: &str, run: impl Into<ChatRun>) -> Result<String, Refusal> {
        let recorded = self.recorded_or_refuse()?;
        let id = recorded::new_run();
        recorded.start(&id, chat, run.into()).await?;
        Ok(id)
    }

    fn recorded_or_refuse(&self) -> Result<&Recorded, Refusal> {
        self.recorded.as_ref().ok_or_else(|| {
            let message = "a turn without a browser needs a log of answers";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        })
    }
}
