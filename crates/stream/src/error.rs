use twentyfirst_protocol::{
    sse::SseError,
    ui::{AssembleError, ChunkError, DecodeError},
};

/// An error of a stream. `E` is the error of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// The body failed. The stream ends here.
    #[error("the body of the response failed")]
    Body(#[source] E),
    /// The bytes cannot be decoded further. The stream ends here.
    #[error("the event stream of the response cannot be decoded further")]
    Sse(#[source] SseError),
    /// The data of one event is not a chunk. The stream goes on.
    #[error("an event of the response is not a chunk")]
    Chunk(#[source] ChunkError),
    /// A chunk does not fit the message. The message is unchanged.
    #[error("a chunk of the response does not fit the message")]
    Message(#[source] AssembleError),
}

impl<E> StreamError<E> {
    /// Returns whether the stream ends with this error. [`UiMessages`](crate::UiMessages) that are not lenient end with any error.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Chunk(_) | Self::Message(_))
    }
}

impl<E> From<SseError> for StreamError<E> {
    fn from(error: SseError) -> Self {
        Self::Sse(error)
    }
}

impl<E> From<DecodeError> for StreamError<E> {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Chunk(error) => Self::Chunk(error),
            DecodeError::Sse(error) => Self::Sse(error),
        }
    }
}
