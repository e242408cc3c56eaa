use bytes::Bytes;

use super::{Ended, EntryError};
use crate::runs::{Lost, LostReason, MessageState, Outcome, RunEnd, RunRef};
use crate::ui::{Assembler, Chunk, UiMessage};

/// A summary of the log of a run that has ended: its message and its outcome.
#[derive(Debug)]
pub struct Summary {
    assembler: Assembler,
    /// The reason for a failure, as reported by the run.
    failure: Option<String>,
    /// Whether a chunk exceeded the limit of the message, or something is missing between two chunks.
    is_partial: bool,
}

impl Default for Summary {
    fn default() -> Self {
        Self::new()
    }
}

impl Summary {
    /// Creates an empty summary.
    #[must_use]
    pub fn new() -> Self {
        Self {
            assembler: Assembler::new().lenient(true),
            failure: None,
            is_partial: false,
        }
    }

    /// Reads the next chunk, as it is in the log.
    ///
    /// # Errors
    /// Returns an error if it is not a chunk.
    pub fn read(&mut self, json: &Bytes) -> Result<(), EntryError> {
        let chunk = std::str::from_utf8(json).ok().map(Chunk::decode);
        let Some(Ok(chunk)) = chunk else {
            return Err(EntryError::Corrupt("one of its chunks cannot be read"));
        };
        match &chunk {
            Chunk::Error(error) => {
                self.failure = Some(error.error_text.to_string_lossy().into_owned());
            }
            // This chunk marks a place where something may be missing.
            Chunk::Data(data) if data.name == "gap" => self.is_partial = true,
            _ => {}
        }
        self.is_partial |= self.assembler.apply(&chunk).is_err();
        Ok(())
    }

    /// Sets the reason for a failure, in place of one that a chunk contained.
    pub fn failed(&mut self, why: impl Into<String>) {
        self.failure = Some(why.into());
    }

    /// Returns the outcome of the run and its message. `run` is its place: `None` means that it was never started and counts as
    /// failed.
    #[must_use]
    pub fn of(self, ended: &Ended, run: Option<&RunRef>) -> (Outcome, UiMessage) {
        let message = self.assembler.into_message();
        let failure = || self.failure.unwrap_or_else(|| ended.end.clone());
        let end = match (ended.end.as_str(), run) {
            ("completed", _) => RunEnd::Completed,
            ("cancelled", _) => RunEnd::Cancelled,
            ("lost", Some(run)) => RunEnd::Lost(Lost::of(run, LostReason::NotStored)),
            _ => RunEnd::Failed(failure()),
        };
        let message_state = match (&end, self.is_partial) {
            (RunEnd::Completed, false) => MessageState::Whole,
            (RunEnd::Completed, true) => MessageState::StoredIncompletely,
            _ => MessageState::Partial,
        };
        let stated = message.metadata.as_ref();
        let stated = || stated.and_then(|metadata| metadata.deserialize().ok());
        let usage = ended.usage.or_else(stated).unwrap_or_default();
        let outcome = Outcome {
            end,
            result_subtype: ended.result_subtype.clone(),
            usage,
            message_state,
        };
        (outcome, message)
    }
}
