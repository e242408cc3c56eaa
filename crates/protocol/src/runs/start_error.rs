use std::fmt;

use super::Created;
use crate::SandboxId;
use crate::error::shown;
use crate::flow::ExchangeError;

/// Why a run did not start, and what exists all the same.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartError {
    /// What exists all the same.
    pub created: Created,
    /// Why the run did not start.
    pub kind: StartErrorKind,
}

/// Why a run did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// One of its exchanges failed.
    #[error("{step} failed")]
    #[non_exhaustive]
    Exchange {
        /// What it was for: `creating the sandbox`.
        step: &'static str,
        /// What went wrong.
        source: Box<ExchangeError>,
    },
    /// The thread is streaming, see [`StartRun::look_first`](super::StartRun::look_first). Wait for the end of its run, or cancel it.
    #[error("its thread is already streaming")]
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
    /// Returns what went wrong, if an exchange failed.
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
