/// An event stream exceeds one of the [`Limits`](super::Limits) and cannot be decoded further.
///
/// Nothing else is an error: the standard defines how to read unknown fields, lines without a colon and bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because tests construct it with all its fields, to compare it with an error.
pub enum SseError {
    /// A line exceeds [`Limits::line`](super::Limits::line).
    #[error("a line of the event stream exceeds the limit of {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The data of an event exceeds [`Limits::event`](super::Limits::event).
    #[error("an event of the event stream exceeds the limit of {limit} bytes")]
    EventTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream exceeds [`Limits::total`](super::Limits::total).
    #[error("the event stream exceeds the limit of {limit} bytes")]
    StreamTooLong {
        /// The limit in bytes.
        limit: u64,
    },
}

/// A stream ended inside an event. The event is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream ended inside an event, after {bytes} bytes of it")]
#[non_exhaustive]
pub struct UnfinishedEvent {
    /// The number of bytes of the event that had arrived.
    pub bytes: usize,
}

/// The reason why an event cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name contains a line break.
    #[error("the name of an event contains a line break")]
    Name,
    /// The id contains a line break or a NUL.
    #[error("the id of an event contains a line break or a NUL")]
    Id,
}
