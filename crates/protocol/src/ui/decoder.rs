use bytes::Bytes;

use super::{
    Chunk, ChunkError, End,
    delta::{Delta, Unescaped},
    encode::DONE,
    end::Signs,
};
use crate::sse::{self, Limits, SseError, UnfinishedEvent};
use crate::utf_8::utf_8;

/// Decodes a UI message stream, from the bytes of a response body to chunks, as they arrive.
///
/// It is [`sse::Decoder`] and [`Chunk::decode`] in one, and as strict, but made for speed: the chunks that it lends borrow from the pieces pushed
/// or from a buffer that is used again, so that a delta costs no allocation.
///
/// A character outside of the BMP that was cut in two between two deltas stays cut: a [`Joiner`](super::Joiner) joins it.
///
/// ```
/// use twentyfirst_protocol::ui::{Chunk, Decoder, End};
///
/// let mut decoder = Decoder::new();
/// decoder.push("data: {\"type\":\"text-delta\",\"id\":\"t1\",\"delta\":\"Grüezi\"}\n\nda");
/// decoder.push("ta: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n");
/// let mut text = String::new();
/// while let Some(chunk) = decoder.next_chunk() {
///     if let Chunk::TextDelta(chunk) = chunk? {
///         text += &chunk.delta.to_string_lossy();
///     }
/// }
/// assert_eq!(text, "Grüezi");
/// assert_eq!(decoder.end(), End::Finished);
/// # Ok::<(), twentyfirst_protocol::ui::DecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    events: sse::Decoder,
    signs: Signs,
    /// The delta of a chunk whose string had escapes.
    unescaped: Unescaped,
    /// The data of an event that was not UTF-8.
    replaced: String,
}

/// Why there is no chunk: one of the two steps has failed.
///
/// Deliberately exhaustive: there is no third step, and a reader goes on after the second error only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The event stream cannot be decoded any further. This is the end.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// The data of one event is not a chunk. The next event may be one.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

impl DecodeError {
    /// Whether nothing comes after this error.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Sse(_))
    }
}

/// Where the next chunk is.
enum Found {
    /// In the data of the event; it is a delta that was read already.
    Delta(Delta),
    /// In the data of the event.
    Data,
}

impl Decoder {
    /// A decoder at the beginning of a stream, with the default [`Limits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder at the beginning of a stream.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            events: sse::Decoder::with_limits(limits),
            ..Self::default()
        }
    }

    /// Takes the next piece of the body. Call [`next_chunk`](Self::next_chunk) afterwards, until it gives `None`.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        self.events.push(piece);
    }

    /// The next chunk; `None` if more bytes are needed.
    ///
    /// An event whose data is exactly `[DONE]` is no chunk, but [`is_done`](Self::is_done) tells that it came. What comes after it still counts.
    ///
    /// # Errors
    /// [`DecodeError::Chunk`] if the data of an event is not a chunk; the caller may go on with the next. [`DecodeError::Sse`] if the stream is beyond the limits;
    /// there are no more chunks then.
    pub fn next_chunk(&mut self) -> Option<Result<Chunk<'_>, DecodeError>> {
        let found = match self.find_chunk()? {
            Ok(found) => found,
            Err(error) => return Some(Err(error.into())),
        };
        match found {
            Found::Delta(delta) => Some(Ok(delta.chunk(self.events.data_bytes(), &self.unescaped))),
            Found::Data => Some(self.decode_event()),
        }
    }

    /// Whether `[DONE]` has come.
    pub fn is_done(&self) -> bool {
        self.signs.done
    }

    /// Whether a `finish` chunk has come.
    pub fn saw_finish(&self) -> bool {
        self.signs.finish
    }

    /// How the stream has ended, if this is all of it. What was pushed must have been taken out before.
    pub fn end(&self) -> End {
        self.signs.end()
    }

    /// Says that the body has ended. A decoder is for one stream: [`end`](Self::end) and what else it knows stay as they are.
    ///
    /// Call it when [`next_chunk`](Self::next_chunk) has given `None`; chunks that were not taken out before are lost.
    ///
    /// # Errors
    /// If the stream ended in the middle of an event, unless [`next_chunk`](Self::next_chunk) has given a fatal error. The event is dropped.
    pub fn finish(&mut self) -> Result<(), UnfinishedEvent> {
        self.events.finish()
    }

    fn find_chunk(&mut self) -> Option<Result<Found, SseError>> {
        loop {
            if let Some(data) = self.events.peek_data()
                && let Some(delta) = Delta::read(data, &mut self.unescaped)
                && self.events.skip_event(delta.length)
            {
                return Some(Ok(Found::Delta(delta)));
            }
            if let Err(error) = self.events.advance()? {
                return Some(Err(error));
            }
            let data = self.events.data_bytes();
            if data == DONE.as_bytes() {
                self.signs.done = true;
                continue;
            }
            let delta = Delta::read(data, &mut self.unescaped);
            return Some(Ok(match delta {
                Some(delta) if delta.length == data.len() => Found::Delta(delta),
                _ => Found::Data,
            }));
        }
    }

    fn decode_event(&mut self) -> Result<Chunk<'_>, DecodeError> {
        let data = self.events.data_bytes();
        let text = match utf_8(data) {
            Some(text) => text,
            None => {
                self.replaced = String::from_utf8_lossy(data).into_owned();
                &self.replaced
            }
        };
        let chunk = Chunk::decode(text)?;
        self.signs.see(&chunk);
        Ok(chunk)
    }
}
