use std::fmt;

use super::Created;
use crate::SandboxId;
use crate::error::shown;
use crate::flow::ExchangeError;

/// The error of a run that did not start, and the resources that were created for it.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartError {
    /// The resources that exist all the same.
    pub created: Created,
    /// The reason why the run did not start.
    pub kind: StartErrorKind,
}

/// The reason why a run did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// One of its requests failed.
    #[error("{step} failed")]
    #[non_exhaustive]
    Exchange {
        /// The purpose of the request, as in `creating the sandbox`.
        step: &'static str,
        /// The cause.
        source: Box<ExchangeError>,
    },
    /// The thread is streaming, see [`StartRun::look_first`](super::StartRun::look_first). Wait for the end of its run, or cancel
    /// it.
    #[error("its thread is already streaming: wait for the end of that run, or cancel it")]
    ThreadStreaming,
    /// The sandbox belongs to another agent, see [`StartRun::look_first`](super::StartRun::look_first).
    #[error(transparent)]
    OtherAgent(OtherAgent),
}

/// A sandbox that belongs to another agent than the one that was to run in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "sandbox {sandbox_id} belongs to agent `{}`, not to `{agent}`",
    shown(owner)
)]
#[non_exhaustive]
pub struct OtherAgent {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The slug of the agent that was to run.
    pub agent: String,
    /// The slug of the agent that the sandbox belongs to.
    pub owner: String,
}

impl StartError {
    /// Returns the cause, if a request failed.
    pub fn exchange_error(&self) -> Option<&ExchangeError> {
        match &self.kind {
            StartErrorKind::Exchange { source, .. } => Some(source),
            StartErrorKind::ThreadStreaming | StartErrorKind::OtherAgent(_) => None,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run did not start: {}", self.kind)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.exchange_error()?)
    }
}
