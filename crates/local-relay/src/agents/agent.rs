use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Run, Script, echo, shell};

/// The result of a run. The relay sends the text of an error in an `error` chunk.
pub type RunResult = Result<(), Box<dyn Error + Send + Sync>>;

type RunFuture = Pin<Box<dyn Future<Output = RunResult> + Send>>;

/// An agent of a [`LocalRelay`](crate::LocalRelay): a closure, a [`Script`], [`echo`](Self::echo) or [`shell`](Self::shell).
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
    /// Creates an agent from a closure.
    ///
    /// An error fails the run, and so does a panic. A cancelled run drops the future at its current await point.
    ///
    /// Runs are concurrent, so each needs its own handle to the state that the closure captures:
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

    /// Creates an agent that repeats the user's text word by word.
    pub fn echo() -> Self {
        Self::new(echo::echo).pace(Duration::from_millis(10))
    }

    /// Creates an agent that runs each line of the user's text as a command in `/home/user`.
    ///
    /// Each command is a call of the tool `Bash` with the output `{exitCode, stdout, stderr}`. The answer ends with a summary, such as
    /// `Ran 2 commands, 1 of them failed.` If no line was a command, such as for a prompt in prose, it also explains the agent.
    ///
    /// The run completes successfully even if all commands fail. A command's exit code is in the output of its tool call.
    pub fn shell() -> Self {
        Self::new(shell::shell).pace(Duration::from_millis(10))
    }

    /// Sets the display name: the slug by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the start-up time of a run: none by default. The real relay takes seconds to minutes.
    ///
    /// During this time, the response has no headers yet, and there is nothing to resume or to cancel.
    #[must_use]
    pub fn start_up(mut self, start_up: Duration) -> Self {
        self.start_up = start_up;
        self
    }

    /// Sets the pause before each delta of [`Run::say`] and [`Run::call_tool`]: none by default, 10 ms for the built-in agents.
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Adds an environment variable for the commands in the agent's sandboxes.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// Sets the cost in US dollars at which a sandbox refuses further runs: no cap by default.
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
