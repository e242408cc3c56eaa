use std::fmt;

use super::Created;
use crate::SandboxId;
use crate::error::shown;
use crate::flow::ExchangeError;

/// Why a run did not start, and what exists all the same.
#[derive(Debug)]
pub struct StartError {
    pub(super) created: Created,
    pub(super) kind: StartErrorKind,
}

/// Why a run did not start. Deliberately exhaustive: adding a variant is a breaking change.
#[derive(Debug)]
pub enum StartErrorKind {
    /// One of its exchanges failed.
    Exchange {
        /// What it was for: `creating the sandbox`.
        step: &'static str,
        /// What went wrong.
        source: Box<ExchangeError>,
    },
    /// The thread is streaming, see [`StartRun::look_first`](super::StartRun::look_first). Wait for the end of its run, or cancel it.
    ThreadStreaming,
    /// The sandbox belongs to another agent, see [`StartRun::look_first`](super::StartRun::look_first).
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
    /// What exists all the same.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// Why the run did not start.
    pub fn kind(&self) -> &StartErrorKind {
        &self.kind
    }

    /// Whether nothing was sent because the thread is streaming.
    pub fn is_thread_streaming(&self) -> bool {
        matches!(self.kind, StartErrorKind::ThreadStreaming)
    }

    /// The sandbox and both agents, if nothing was sent because the sandbox belongs to another agent.
    pub fn other_agent(&self) -> Option<&OtherAgent> {
        match &self.kind {
            StartErrorKind::OtherAgent(other) => Some(other),
            _ => None,
        }
    }

    /// What went wrong, if an exchange failed.
    pub fn exchange_error(&self) -> Option<&ExchangeError> {
        match &self.kind {
            StartErrorKind::Exchange { source, .. } => Some(source),
            _ => None,
        }
    }

    /// What exists all the same, and why the run did not start.
    pub fn into_parts(self) -> (Created, StartErrorKind) {
        (self.created, self.kind)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run did not start: ")?;
        match &self.kind {
            StartErrorKind::Exchange { step, .. } => write!(f, "{step} failed"),
            StartErrorKind::ThreadStreaming => f.write_str("its thread is already streaming"),
            StartErrorKind::OtherAgent(other) => other.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.exchange_error()?)
    }
}
