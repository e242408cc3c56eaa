//! Threads: conversations within a sandbox. They share its files and have separate histories.

mod create;
mod delete;
mod get;
mod list;
mod name;
mod stored_message;
mod stream_target;
mod usage;

pub use create::CreateThread;
pub use delete::DeleteThread;
pub use get::{GetThread, Thread};
pub use list::{ListThreads, ThreadStatus, ThreadSummary};
pub use name::{ThreadName, name_after};
pub use stored_message::StoredMessage;
pub use stream_target::StreamTarget;
pub use usage::Usage;
