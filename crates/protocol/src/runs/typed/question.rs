use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::read::{Shape, read};
use super::{Answered, NoValue, prompt};
use crate::runs::{RunRef, StartRun};

/// A run whose answer is read as a `T`: the question, and the interpretation of each answer.
///
/// With `AgentClient`, `threads().run(…).json::<T>()` drives it. It does no IO: start [`first`](Self::first), wait for the end of
/// the run, pass its answer to [`answered`](Self::answered), and follow the returned step. See the [module](super) for its
/// states.
///
/// ```
/// use serde_json::json;
/// use twentyfirst_protocol::runs::StartRun;
/// use twentyfirst_protocol::runs::typed::TypedQuestion;
///
/// let schema = json!({"type": "object", "properties": {"bugs": {"type": "integer"}}, "required": ["bugs"]});
/// let question = TypedQuestion::<serde_json::Value>::new(StartRun::new("my-agent", "How many bugs are there?"), schema);
/// // The user's text, followed by the instructions.
/// assert_eq!(question.first().messages.as_slice()[0].parts.len(), 2);
/// ```
#[must_use]
pub struct TypedQuestion<T> {
    run: StartRun,
    schema: Value,
    answers: Vec<Answered>,
    reads: PhantomData<fn() -> T>,
}

/// The next step.
///
/// Deliberately exhaustive: callers must handle every step.
#[must_use]
#[derive(Debug)]
pub enum TypedStep<T> {
    /// The value was found.
    Value(T),
    /// Start this run and pass on its answer.
    Ask(Box<StartRun>),
    /// There is no value, even after the repair. The last of the [`answers`](TypedQuestion::answers) contains the reason.
    Failed,
}

impl<T: DeserializeOwned> TypedQuestion<T> {
    /// Creates the question for a value that is valid against this JSON Schema. If its `type` is `object` or `array`, only such
    /// values are accepted.
    pub fn new(run: StartRun, schema: Value) -> Self {
        Self {
            run,
            schema,
            answers: Vec::new(),
            reads: PhantomData,
        }
    }

    /// Returns the run to start first: the turn, followed by the schema in a separate text part.
    pub fn first(&self) -> StartRun {
        let mut run = self.run.clone();
        run.messages.add_to_turn(prompt::ask(&self.schema));
        run
    }

    /// Processes the answer of the run that was started last.
    ///
    /// A run that failed, was cancelled or is lost has no answer: pass it to [`note`](Self::note), and end with its own error.
    pub fn answered(&mut self, mut answer: Answered) -> TypedStep<T> {
        let step = match read(&answer.text, Shape::of(&self.schema)) {
            Ok(value) => TypedStep::Value(value),
            Err(problem) => {
                let step = match self.answers.is_empty() {
                    true => TypedStep::Ask(Box::new(self.repair(&answer.run, &problem))),
                    false => TypedStep::Failed,
                };
                answer.problem = Some(problem);
                step
            }
        };
        self.answers.push(answer);
        step
    }

    /// Adds a run that did not complete to the answers, so that its cost is counted.
    pub fn note(&mut self, answer: Answered) {
        self.answers.push(answer);
    }

    /// Returns the runs so far, oldest first.
    pub fn answers(&self) -> &[Answered] {
        &self.answers
    }

    /// Returns the runs so far, oldest first.
    pub fn into_answers(self) -> Vec<Answered> {
        self.answers
    }

    /// Returns the same run in the thread of the answer. Only the new turn is sent: the relay has stored the others.
    fn repair(&self, run: &RunRef, problem: &NoValue) -> StartRun {
        // The sandbox and the thread are those of the first run: there is nothing to check, and nothing new to delete on failure.
        StartRun {
            messages: prompt::repair(&self.schema, problem).into(),
            sandbox_id: Some(run.sandbox_id.clone()),
            thread_id: Some(run.thread_id.clone()),
            look_first: false,
            delete_sandbox_on_failure: false,
            ..self.run.clone()
        }
    }
}

impl<T> fmt::Debug for TypedQuestion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedQuestion")
            .field("run", &self.run)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}
