use std::error::Error as StdError;
use std::time::Duration;

use http::StatusCode;

use super::chat_run::ChatRun;
use super::handler::ChatHandler;
use super::recorded::{self, EndedRun, OnEnd, OpenRun, Recorded};
use crate::backend::Refusal;
use crate::error::Error;

/// # Supervised runs
/// A browser may leave and an instance may die while the run goes on. These methods are for servers that must see every run to
/// its end. They need a log. With a [shared store](Self::run_log), another instance takes the place of one that dies.
impl ChatHandler {
    /// Sets a function that is called when a run is over, however it ended and whether or not a browser is still connected. Use
    /// it to store or count the outcome, or to pass it on.
    ///
    /// It is called **at least once** for each run that this handler has started: by the instance that recorded the end or, if
    /// that is gone, by one that [supervises](Self::supervise), about 40 s later. It is called again if it fails or panics, after
    /// delays of 1 s to 60 s, and if an instance dies during the call. Use [`EndedRun::id`] to recognize repetitions.
    /// [`on_error`](Self::on_error) is called with [each failure](Error::on_end_failed). With the log in the memory of one
    /// process, the calls end with that process.
    ///
    /// It is also called for runs that the relay refused; these have [no run](EndedRun::run). A message that was refused because
    /// the chat was answering is not a run.
    ///
    /// The outcome comes from the log of the run. If the log is gone, or does not hold the whole answer, the relay is asked. Set
    /// the same function on all instances of a server, as any of them may call it.
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
        self.recorded.on_end(OnEnd::new(on_end));
        self
    }

    /// Limits the runs that this instance records at once; unlimited by default. Further messages are refused with 503 and
    /// `retry-after`, and runs left by other instances wait for room. A message that [waits](ChatRun::turn_order) does not count,
    /// and starts when its turn comes, even beyond the limit.
    #[must_use]
    pub fn run_limit(mut self, runs: usize) -> Self {
        self.recorded.limit_runs(runs);
        self
    }

    /// Starts to look for runs of instances that are gone, and takes them over: it records their answers to the end, and calls
    /// [`on_end`](Self::on_end). Runs of an instance that was killed are taken over after about 40 s, those of an instance that
    /// was [drained](Self::drain) after at most 5 s. Runs are found for 48 h, even by an instance that starts after all others
    /// are gone.
    ///
    /// A task of the client's [`Runtime`](crate::transport::Runtime) does this until [`drain`](Self::drain). Call it within the
    /// runtime when the server starts; only the first call starts the task. Without a [shared store](Self::run_log) there is
    /// nothing to find.
    pub fn supervise(&self) {
        if let Some(recorded) = self.recorded() {
            recorded.supervise();
        }
    }

    /// Releases all runs that this instance reads, so that other instances take them over at once. Call it during a deployment,
    /// when no more requests arrive. It waits for at most `deadline` until the runs are released and current calls of
    /// [`on_end`](Self::on_end) have returned. Without a [shared store](Self::run_log) it waits until the runs and those calls
    /// have ended. Returns the number of runs that are left: with 0, nothing is lost if the process ends now. With a shared store
    /// other instances find the rest as well, only later.
    ///
    /// Bodies of responses under way continue from the store. From now on this instance takes over no run.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting; the runs are released all the same.
    pub async fn drain(&self, deadline: Duration) -> usize {
        match self.recorded() {
            Some(recorded) => recorded.drain(deadline).await,
            None => 0,
        }
    }

    /// Returns all runs that are not over or whose end was not reported yet, of all instances, even those that are gone.
    ///
    /// It is for queues that must not start anything twice. A run is listed before [`begin`](Self::begin) sends anything to the
    /// relay, and until [`on_end`](Self::on_end) has succeeded. So a run that is neither listed nor reported by then was never
    /// started. List the open runs first, and then check the reported ones: in the other order, a run can end in between.
    ///
    /// The runs of other instances are listed if those have [`on_end`](Self::on_end) or [supervise](Self::supervise): only then do
    /// they register their runs in the store.
    ///
    /// # Errors
    /// If the store is unavailable, or its entries cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        match self.recorded() {
            Some(recorded) => recorded.open_runs().await,
            None => Ok(Vec::new()),
        }
    }

    /// Starts a turn of a chat without a browser, for example from a queue, a schedule or a webhook. Returns the id of the run,
    /// which is also in [`EndedRun::id`] and [`OpenRun::id`], and with which browsers resume it.
    ///
    /// It does the same as a `POST`, and returns when the run has started or [waits](ChatRun::turn_order) for its turn. The run is
    /// recorded to its end, and reported to [`on_end`](Self::on_end).
    ///
    /// # Errors
    /// The refusal that a browser would get: 409 if the chat is answering, 503 beyond the [limit](Self::run_limit), the relay's
    /// refusals, and 500 [without a log](Self::without_log).
    ///
    /// # Cancel safety
    /// Dropping the future during the check of the [budget](Self::budget) starts nothing. Later it does not stop the run.
    pub async fn begin(&self, chat: &str, run: impl Into<ChatRun>) -> Result<String, Refusal> {
        let recorded = self.recorded_or_refuse()?;
        let id = recorded::new_run();
        recorded.start(&id, chat, run.into()).await?;
        Ok(id)
    }

    fn recorded_or_refuse(&self) -> Result<&Recorded, Refusal> {
        self.recorded().ok_or_else(|| {
            let message = "a turn without a browser needs a run log";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        })
    }
}
