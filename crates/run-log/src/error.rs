use std::error::Error;

/// The cause of a failure, in the words of the store. It shows no password.
pub type Cause = Box<dyn Error + Send + Sync>;

/// The reason an entry was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Another writer was faster: the log has another entry at this position, or one above it.
    #[error("fenced: another entry is at this position of the log or above it")]
    Fenced,
    /// There is no such log, and it was not to be created. A log that existed has expired or was lost.
    #[error("the log does not exist or is lost")]
    Missing,
    /// The store has no room. The entry was not appended.
    #[error("the store of the log is full")]
    Full(#[source] Cause),
    /// The store failed or did not respond in time. It is not known whether the entry was appended.
    #[error("the store of the log is unavailable")]
    Unavailable(#[source] Cause),
}

/// The reason a log was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such log: it was never created, has expired or was lost.
    #[error("the log does not exist or is lost")]
    Missing,
    /// The store failed, did not respond in time, or has something in the place of the log that is not one.
    #[error("the store of the log is unavailable")]
    Unavailable(#[source] Cause),
}
