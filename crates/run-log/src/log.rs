use std::time::Duration;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use crate::{AppendError, ReadError};

/// A store of logs.
///
/// A log is a list of entries whose positions grow. Nothing in it is ever changed; it disappears as a whole, when its time to live is
/// over or the store loses it. Appending is conditional, which is all the coordination that several instances need: of those that append
/// at one position, one succeeds.
///
/// Every call can be repeated, and each reads or appends all or nothing. The `contract` feature has checks for stores of your own.
///
/// # Cancel safety
/// A future of [`read`](Self::read) or [`last`](Self::last) can be dropped at any time. An append whose future is dropped may have
/// taken place or may still do so: append the same entry at the same position again to find out.
pub trait RunLog: Send + Sync + 'static {
    /// Appends an entry, if `at` is above every position in the log.
    ///
    /// Appending the same entry at the same position again succeeds and changes nothing but the log's time to live, so an append whose
    /// acknowledgement was lost can be repeated. Once the future is ready, every reader on any instance sees the entry.
    ///
    /// # Errors
    /// - [`AppendError::Fenced`] if the log has another entry at `at`, or one above it and none there. Nothing is at
    ///   [`Position::START`].
    /// - [`AppendError::Missing`] if there is no log and [`Keep::create`] is false.
    /// - [`AppendError::Full`] and [`AppendError::Unavailable`]: the entry was not appended, or it is not known whether it was.
    fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Reads up to `limit` entries above `after`, in their order, without gaps. A limit of 0 counts as 1.
    ///
    /// Where there is none, it waits for one, up to `wait`, and then returns an empty page.
    ///
    /// # Errors
    /// - [`ReadError::Missing`], at once, if there is no log. A log that disappears while it is waited for may be noticed some seconds
    ///   later.
    /// - [`ReadError::Unavailable`] if the store cannot be read.
    fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send;

    /// Reads the last entry of a log. `None`: there is no log.
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
    /// The entries with their positions, which grow. Empty: nothing was appended while the read waited.
    pub entries: Vec<(Position, Bytes)>,
}

impl Page {
    /// A page of these entries.
    #[must_use]
    pub const fn new(entries: Vec<(Position, Bytes)>) -> Self {
        Self { entries }
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
