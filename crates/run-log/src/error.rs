use std::error::Error;

/// The cause of a failure, as the store reports it. It contains no password.
pub type Cause = Box<dyn Error + Send + Sync>;

/// The reason an entry was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Another writer was faster: the log has another entry at this position, or one above it.
    #[error("fenced: the log has another entry at this position or above it")]
    Fenced,
    /// The log does not exist, and [`Keep::create`](crate::Keep::create) was not set. It was never created, has expired or was lost.
    #[error("the log does not exist, has expired or was lost")]
    Missing,
    /// The store has no room. The entry was not appended.
    #[error("the store of the log is full")]
    Full(#[source] Cause),
    /// The store failed or did not respond in time. The entry may have been appended: append it again at the same position to find out.
    #[error("the store of the log is unavailable")]
    Unavailable(#[source] Cause),
}

/// The reason a log was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The log does not exist: it was never created, has expired or was lost.
    #[error("the log does not exist, has expired or was lost")]
    Missing,
    /// The store failed, did not respond in time, or holds foreign data under the log's name.
    #[error("the store of the log is unavailable")]
    Unavailable(#[source] Cause),
}
