//! Threads: conversations within a sandbox. They share its files and keep their histories apart.

mod create;
mod delete;
mod get;
mod list;

pub use create::CreateThread;
pub use delete::DeleteThread;
pub use get::{GetThread, StoredMessage, Thread, Usage};
pub use list::{ListThreads, ThreadStatus, ThreadSummary};
