use std::fmt;

use super::NoValue;
use crate::runs::{Outcome, RunRef};

/// One of the runs that were made for a value: what it said, used and cost.
#[non_exhaustive]
pub struct Answered {
    /// The run. Its [`session`](RunRef::session) continues the conversation.
    pub run: RunRef,
    /// The texts of its answer, with a line break between two of them. Of a run that did not complete, as far as they came.
    pub text: String,
    /// How it ended, and what it used and cost.
    pub outcome: Outcome,
    /// Why there is no value in its answer; `None` where there is one, and where the run did not complete.
    pub problem: Option<NoValue>,
}

impl Answered {
    /// A run that is over. Whether there is a value in its answer is found out by
    /// [`TypedQuestion::answered`](super::TypedQuestion::answered).
    pub fn new(run: RunRef, text: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            run,
            text: text.into(),
            outcome,
            problem: None,
        }
    }
}

/// Of the text only its length: it is what was said.
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
