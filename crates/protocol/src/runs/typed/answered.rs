use std::fmt;

use super::NoValue;
use crate::runs::{Outcome, RunRef};

/// One of the runs that were made for a value: its text, usage and cost.
#[non_exhaustive]
pub struct Answered {
    /// The run. Its [`session`](RunRef::session) continues the conversation.
    pub run: RunRef,
    /// The texts of its answer, joined with line breaks. If the run did not complete, the texts that arrived.
    pub text: String,
    /// The end, usage and cost of the run.
    pub outcome: Outcome,
    /// The reason why the answer contains no value. `None` if it contains one, and if the run did not complete.
    pub problem: Option<NoValue>,
}

impl Answered {
    /// Creates the record of a run that is over. [`TypedQuestion::answered`](super::TypedQuestion::answered) then reads its
    /// answer.
    pub fn new(run: RunRef, text: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            run,
            text: text.into(),
            outcome,
            problem: None,
        }
    }
}

/// Shows only the length of the text, which is confidential.
impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("run", &self.run)
            .field("text_bytes", &self.text.len())
            .field("outcome", &self.outcome)
            .field("problem", &self.problem)
            .finish()
    }
}
