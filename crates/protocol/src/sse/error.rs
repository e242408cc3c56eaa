/// The error of an event stream that cannot be decoded further: it exceeds the [`Limits`](super::Limits).
///
/// Everything that the format allows or tolerates is no error: unknown fields, lines without a colon and bytes that are not UTF-8
/// are read by the rules of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: tests construct its variants with all fields, to compare them with an error.
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

/// A stream ended inside an event, which is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream ended inside an event, after {bytes} bytes of it")]
#[non_exhaustive]
pub struct UnfinishedEvent {
    /// The bytes of the event that had arrived.
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
