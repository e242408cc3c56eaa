use std::time::Duration;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use crate::{AppendError, ReadError};

/// A store of logs.
///
/// A log is a list of entries with growing positions. Entries never change. A log disappears only as a whole: when its time to live has
/// passed, or when the store loses it.
///
/// Appending is conditional: if several instances append different entries at one position, one succeeds. They need no other
/// coordination.
///
/// Every call is atomic and can be repeated. The `contract` feature has checks for your own stores.
///
/// # Cancel safety
/// A future of [`read`](Self::read) or [`last`](Self::last) can be dropped at any time. An append whose future was dropped may still
/// take place: append the same entry at the same position again to find out.
pub trait RunLog: Send + Sync + 'static {
    /// Appends an entry, if `at` is above every position in the log.
    ///
    /// Once the future is ready, every reader on every instance sees the entry. Appending the same entry at the same position again
    /// succeeds and only renews the log's time to live, so an append can be repeated after a lost acknowledgement.
    ///
    /// # Errors
    /// - [`AppendError::Fenced`] if the log has another entry at `at`, or none there and one above it. An append at
    ///   [`Position::START`] is always fenced.
    /// - [`AppendError::Missing`] if there is no log and [`Keep::create`] is false.
    /// - [`AppendError::Full`] if the store has no room. The entry was not appended.
    /// - [`AppendError::Unavailable`] if the store failed. The entry may have been appended.
    fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Reads up to `limit` entries above `after`, in order and without gaps. A limit of 0 counts as 1.
    ///
    /// If there is none, it waits up to `wait` for one, and then returns an empty page.
    ///
    /// # Errors
    /// - [`ReadError::Missing`], at once, if there is no log. If the log disappears during the wait, the error may come some seconds
    ///   later.
    /// - [`ReadError::Unavailable`] if the store cannot be read.
    fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send;

    /// Reads the last entry of a log. Returns `None` if there is no log.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] if the store cannot be read.
    fn last(
        &self,
        log: &LogId,
    ) -> impl Future<Output = Result<Option<(Position, Bytes)>, ReadError>> + Send;
}

/// Consecutive entries of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The entries with their positions, in order. Empty if nothing was appended while the read waited.
    pub entries: Vec<(Position, Bytes)>,
}

impl Page {
    /// Creates a page of these entries.
    #[must_use]
    pub const fn new(entries: Vec<(Position, Bytes)>) -> Self {
        Self { entries }
    }

    /// Returns whether the page has no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
