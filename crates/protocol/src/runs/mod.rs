//! Runs: an agent at work in a thread, and the stream of its answer.
//!
//! [`SendMessages`], [`ResumeStream`] and [`CancelStream`] are the relay's three routes. The flows above them take several
//! requests:
//!
//! - [`StartRun`] starts a run, and creates the sandbox and the thread where they are missing.
//! - [`FollowRun`] follows a run to its [`Outcome`], whatever the network does.
//! - [`CancelFlow`] ends one particular run.
//!
//! A [`RunRef`] names a run. [`typed`] reads an answer as a value.

mod backoff;
mod cancel;
mod cancel_flow;
mod facts;
mod follow;
mod messages;
mod options;
mod outcome;
mod resume;
mod run_ref;
mod send;
mod start;
mod start_error;
mod start_flow;
mod transcript;
pub mod typed;

pub use cancel::{CancelStatus, CancelStream, Cancelled};
pub use cancel_flow::{CancelError, CancelFlow};
pub use facts::{RunFacts, ToolCall, ToolEnd, ToolFact};
pub use follow::{FollowFlow, FollowPolicy, FollowRun, RunEvent};
pub use messages::Messages;
pub use options::{PermissionMode, Preset, RunOptions, SystemPrompt};
pub use outcome::{Lost, LostReason, MessageState, Outcome, RunEnd};
pub use resume::{ResumeStream, Resumed};
pub use run_ref::RunRef;
pub use send::{BackgroundRun, Mode, RunStatus, SendMessages, SendResponse};
pub use start::{Created, StartRun, Started};
pub use start_error::{OtherAgent, StartError, StartErrorKind};
pub use start_flow::StartFlow;
