use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::threads::Usage;
use crate::{SandboxId, ThreadId};

/// What a run came to. Every run that is followed has one; none ends in silence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub end: RunEnd,
    /// `resultSubtype`: the runtime's word for it, where it said one: `success`, `error_max_turns`, ….
    pub result_subtype: Option<String>,
    /// What it used and cost, as far as it is known.
    pub usage: Usage,
    /// What its message is worth.
    pub message_state: MessageState,
}

impl Outcome {
    /// Whether the run completed, and the runtime does not call it an error. Without a word of the runtime's a completed run
    /// counts as a success.
    ///
    /// It is only the runtime's word: `success` also comes where a failure of the model's API is in the text.
    pub fn is_success(&self) -> bool {
        let error = |subtype: &String| subtype.starts_with("error");
        matches!(self.end, RunEnd::Completed) && !self.result_subtype.as_ref().is_some_and(error)
    }
}

/// How a run ended. There are no other ways.
#[derive(Debug, Clone)]
pub enum RunEnd {
    /// It came to its end, perhaps to one of its limits: see [`Outcome::is_success`].
    Completed,
    /// Somebody cancelled it.
    Cancelled,
    /// It failed, for the reason that the relay gives.
    Failed(String),
    /// What became of it is not known. It may go on, and cost.
    Lost(Lost),
}

/// What the message of a run is worth when the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// It is the whole answer.
    Whole,
    /// The run has completed, but the stored answer does not hold everything that was delivered, or there is none: the message
    /// is what was delivered, with what the stored answer has more at its end. Or it is the answer of a reader who has joined in the
    /// middle, so that its beginning may be missing.
    StoredIncompletely,
    /// It is what was delivered of an answer that has no whole.
    Partial,
}

/// Why it is not known what became of a run.
#[derive(Debug, Clone)]
pub struct Lost {
    sandbox_id: SandboxId,
    thread_id: ThreadId,
    reason: LostReason,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Why it is not known what became of a run, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// Nothing came for too long: see [`Follow::lost_after`](super::Follow::lost_after). A dead runtime is silent for ever.
    Silence,
    /// Its stream broke off, and it is not followed further: see [`Follow::off`](super::Follow::off).
    Cut,
    /// The deadline of following is over.
    Deadline,
    /// The relay refuses to tell.
    Refused,
    /// Its thread or its sandbox is deleted.
    Deleted,
    /// Nothing streams in its thread, and nothing there tells how it ended.
    NotStored,
}

impl Lost {
    pub(super) fn new(
        sandbox_id: SandboxId,
        thread_id: ThreadId,
        reason: LostReason,
        source: Option<Arc<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            sandbox_id,
            thread_id,
            reason,
            source,
        }
    }

    /// The sandbox in which it was.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.sandbox_id
    }

    /// The thread in which it was.
    pub fn thread_id(&self) -> &ThreadId {
        &self.thread_id
    }

    /// Why.
    pub fn reason(&self) -> LostReason {
        self.reason
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            LostReason::Silence => "nothing came from it for too long",
            LostReason::Cut => "its stream ended before the run did",
            LostReason::Deadline => "the deadline is over",
            LostReason::Refused => "the relay refuses to tell",
            LostReason::Deleted => "its thread is deleted",
            LostReason::NotStored => "nothing tells how it ended",
        };
        write!(
            f,
            "the run in sandbox {}, thread {} is lost: {reason}",
            self.sandbox_id, self.thread_id
        )?;
        match self.reason {
            LostReason::Silence => f.write_str("; only cancelling it frees the thread"),
            _ => Ok(()),
        }
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}
