/// Why a stream of events cannot be decoded any further.
///
/// Nothing that the format allows or tolerates is an error: unknown fields, lines without a colon and bytes that are not UTF-8 are read
/// as the standard says. What remains is a stream beyond the [`Limits`](super::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since tests compare an error with one that they make.
pub enum SseError {
    /// A line is longer than [`Limits::line`](super::Limits::line).
    #[error("a line of the event stream is longer than {limit} bytes")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// The data of an event is longer than [`Limits::event`](super::Limits::event).
    #[error("an event of the event stream is longer than {limit} bytes")]
    EventTooLong {
        /// The limit.
        limit: usize,
    },
    /// The stream is longer than [`Limits::total`](super::Limits::total).
    #[error("the event stream is longer than {limit} bytes")]
    StreamTooLong {
        /// The limit.
        limit: u64,
    },
}

/// A stream ended in the middle of an event, which is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream ended inside an event, after {bytes} bytes of it")]
#[non_exhaustive]
pub struct UnfinishedEvent {
    /// How much of the event had come.
    pub bytes: usize,
}

/// Why an event cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name has a line break.
    #[error("the name of an event has a line break")]
    Name,
    /// The id has a line break or a NUL.
    #[error("the id of an event has a line break or a NUL")]
    Id,
}
