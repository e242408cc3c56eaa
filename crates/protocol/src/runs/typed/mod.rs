//! Runs whose answer is read as a value: the schema in the turn, the value in the answer, and one repair.
//!
//! ```text
//!   first() ──► asked ── answer ──► read ── a value ────────────► TypedStep::Value
//!                                    │ none
//!                                    ▼
//!               repair asked ── answer ──► read ── a value ─────► TypedStep::Value
//!               (TypedStep::Ask)            │ none
//!                                           └───────────────────► TypedStep::Failed
//! ```
//!
//! The schema must be in the turn before the run starts, so a [`TypedQuestion`] takes a [`StartRun`](super::StartRun) and returns
//! the one to start. The schema is a separate text part after the user's. The system prompt would be the alternative, but a run
//! that sets one replaces the agent's. The repair is a second run in the same thread, which says what was wrong. There is only
//! one repair: it costs as much as a run, and an agent that fails twice mostly fails the third time too.
//!
//! Nothing that was paid for is lost: every answer is kept as an [`Answered`], with its text, its usage and its problem.

mod answered;
mod candidates;
mod no_value;
mod prompt;
mod question;
mod read;

pub use answered::Answered;
pub use no_value::NoValue;
pub use question::{TypedQuestion, TypedStep};
pub use read::read_json;
