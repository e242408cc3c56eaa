use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Run, Script, echo, shell};

/// How a run ends: what goes wrong is the text of the `error` chunk.
pub type RunResult = Result<(), Box<dyn Error + Send + Sync>>;

type RunFuture = Pin<Box<dyn Future<Output = RunResult> + Send>>;

/// An agent of a [`LocalRelay`](crate::LocalRelay): a closure, a [`Script`], or one of those built in.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_local_relay::{Agent, LocalRelay, Run};
///
/// let reviewer = Agent::new(async |run: Run| {
///     let files = run.sandbox().exec("ls /home/user").await?;
///     run.say(format!("There are {} files.", files.stdout.lines().count())).await;
///     Ok(())
/// });
///
/// let relay = LocalRelay::builder()
///     .agent("reviewer", reviewer.pace(Duration::from_millis(20)))
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Agent {
    behaviour: Arc<dyn Fn(Run) -> RunFuture + Send + Sync>,
    pub(crate) name: Option<String>,
    pub(crate) start_up: Duration,
    pub(crate) pace: Duration,
    pub(crate) envs: BTreeMap<String, String>,
    pub(crate) max_sandbox_budget_usd: Option<f64>,
}

impl Agent {
    /// An agent that does what the closure does.
    ///
    /// The future is dropped where it waits when the run is cancelled. An error fails the run, and so does a panic.
    ///
    /// Runs go on side by side, so each takes its own share of what the closure has captured:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twentyfirst_local_relay::{Agent, Run};
    ///
    /// let answers = Arc::new(["Yes.", "No."]);
    /// let agent = Agent::new(move |run: Run| {
    ///     let answers = Arc::clone(&answers);
    ///     async move {
    ///         run.say(answers[run.history().len() / 2 % 2]).await;
    ///         Ok(())
    ///     }
    /// });
    /// # let _ = agent;
    /// ```
    pub fn new<F, R>(behaviour: F) -> Self
    where
        F: Fn(Run) -> R + Send + Sync + 'static,
        R: Future<Output = RunResult> + Send + 'static,
    {
        Self {
            behaviour: Arc::new(move |run| Box::pin(behaviour(run))),
            name: None,
            start_up: Duration::ZERO,
            pace: Duration::ZERO,
            envs: BTreeMap::new(),
            max_sandbox_budget_usd: None,
        }
    }

    /// Says what the user has said, word by word.
    pub fn echo() -> Self {
        Self::new(echo::echo).pace(Duration::from_millis(10))
    }

    /// Runs each line of the user's text as a command in `/home/user`: a call of the tool `Bash`, whose output is
    /// `{exitCode, stdout, stderr}`. A sentence at the end says how it went, and where no line
    /// was a command, as with a prompt, what this agent is.
    pub fn shell() -> Self {
        Self::new(shell::shell).pace(Duration::from_millis(10))
    }

    /// The name for people; the slug by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long a run takes to start: until then the head of the answer does not come, there is nothing to resume, and
    /// nothing can be cancelled. No time by default; the real relay takes seconds to minutes.
    #[must_use]
    pub fn start_up(mut self, start_up: Duration) -> Self {
        self.start_up = start_up;
        self
    }

    /// The pause before each delta that [`Run`]'s helpers write. None by default; 10 ms for the agents built in.
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Adds an environment variable for the commands in its sandboxes.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The cost in US dollars at which the sandbox refuses further runs. Without a cap by default.
    #[must_use]
    pub fn max_sandbox_budget_usd(mut self, dollars: f64) -> Self {
        self.max_sandbox_budget_usd = Some(dollars);
        self
    }

    pub(crate) fn run(&self, run: Run) -> RunFuture {
        (self.behaviour)(run)
    }
}

impl From<Script> for Agent {
    fn from(script: Script) -> Self {
        Self::new(move |run| script.clone().play(run))
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("name", &self.name)
            .field("start_up", &self.start_up)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
