use std::error::Error as StdError;
use std::fmt;

use twentyfirst_protocol::retry::GiveUp;
use twentyfirst_protocol::shown;

use super::{Error, Kind};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.kind {
            Kind::InvalidRequest(error) => write!(f, "the request is invalid: {error}")?,
            Kind::InvalidSetting(error) => write!(f, "the client cannot be made: {error}")?,
            Kind::Transport(_) if self.token_error().is_some() => {
                f.write_str("no token could be obtained for the request")?;
            }
            Kind::Transport(error) => error.fmt(f)?,
            Kind::Other(_) if !self.maybe_sent() => f.write_str("the request could not be sent")?,
            Kind::Other(_) => f.write_str("no response was received")?,
            Kind::Deadline(deadline) => write!(f, "the call exceeded its {deadline:?} deadline")?,
            Kind::ThreadStreaming => f.write_str("the thread is already streaming")?,
            Kind::OtherAgent(other) => other.fmt(f)?,
            Kind::Response(error) => error.fmt(f)?,
            Kind::NotAChunk(_) => f.write_str("an event of the stream is not a chunk")?,
            Kind::RunFailed(end) => write!(f, "the run {end}")?,
            Kind::RunCancelled => f.write_str("the run was cancelled")?,
            Kind::RunLost(lost) => lost.fmt(f)?,
            Kind::StreamUnfinished => f.write_str(
                "the stream ended before its message did: neither `finish` nor `[DONE]` came",
            )?,
            Kind::OtherRun(thread_id) => write!(
                f,
                "cancelling would end the newer run of thread {} instead: to end that one, name it",
                shown(thread_id.as_str())
            )?,
            Kind::RunStarting => f.write_str(
                "timed out cancelling: the run was still starting and may have started since; cancel it again",
            )?,
            Kind::MessageTooLong(_) => {
                f.write_str("the message exceeds the memory limit")?;
            }
            Kind::NoValue => {
                f.write_str("the agent gave no value of the requested type, even when asked again")?;
                if let Some(problem) = self.problem() {
                    write!(f, ": {problem}")?;
                }
            }
            Kind::NotReplayable(_) => {
                f.write_str("the answer goes on, but other instances cannot replay it")?;
            }
            Kind::ChatUnreadable(_) => {
                f.write_str("a message was refused, because the log of its chat cannot be read")?;
            }
            Kind::Budget { action, .. } => write!(f, "the budget could not be {action}")?,
            Kind::NotSupervised(_) => f.write_str(
                "runs go on, but no other instance would find them if this one ended",
            )?,
            Kind::OnEndFailed(run, cause) => {
                let what = match cause {
                    Some(_) => "failed",
                    None => "panicked",
                };
                write!(f, "on_end {what} for {} and will be called again", shown(run))?;
            }
            Kind::Transfer(error) => error.fmt(f)?,
            Kind::OpenRunsUnknown(_) => {
                f.write_str("the run log's store could not list the open runs")?;
            }
            Kind::Process(error) => error.fmt(f)?,
            Kind::NoPreview(error) => error.fmt(f)?,
        }
        if let Some(GiveUp::RetryAfterTooLong(delay)) = self.inner.give_up {
            write!(f, " (it asked for a delay of {} s)", delay.as_secs_f64())?;
        }
        if let Some(last) = self.inner.written.last() {
            let (count, last) = (self.inner.written.len(), shown(&last.path));
            write!(f, " (files written before: {count}, the last one {last})")?;
        }
        match (
            &self.inner.created.sandbox_id,
            &self.inner.created.thread_id,
        ) {
            (Some(sandbox), None) => {
                write!(f, " (sandbox {} was created)", shown(sandbox.as_str()))
            }
            (Some(sandbox), Some(thread)) => write!(
                f,
                " (sandbox {} with thread {} was created)",
                shown(sandbox.as_str()),
                shown(thread.as_str())
            ),
            (None, Some(thread)) => write!(f, " (thread {} was created)", shown(thread.as_str())),
            (None, None) => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.kind {
            // `Display` shows these errors themselves, so the chain continues with their sources.
            Kind::InvalidSetting(error) => error.source(),
            Kind::Transport(error) => error.source(),
            Kind::Transfer(error) => error.source(),
            Kind::RunLost(lost) => lost.source(),
            Kind::NotAChunk(error) => Some(error),
            Kind::NoValue => self.problem()?.source(),
            Kind::Other(source) => Some(&**source),
            Kind::MessageTooLong(error) => Some(error),
            Kind::ChatUnreadable(error) => Some(error),
            Kind::NotReplayable(Some(cause))
            | Kind::NotSupervised(Some(cause))
            | Kind::OnEndFailed(_, Some(cause))
            | Kind::OpenRunsUnknown(cause)
            | Kind::Budget { cause, .. } => Some(&**cause),
            Kind::NotReplayable(None)
            | Kind::NotSupervised(None)
            | Kind::OnEndFailed(_, None)
            | Kind::InvalidRequest(_)
            | Kind::Deadline(_)
            | Kind::ThreadStreaming
            | Kind::OtherAgent(_)
            | Kind::Response(_)
            | Kind::RunFailed(_)
            | Kind::RunCancelled
            | Kind::StreamUnfinished
            | Kind::OtherRun(_)
            | Kind::Process(_)
            | Kind::NoPreview(_)
            | Kind::RunStarting => None,
        }
    }
}
