use bytes::Bytes;

use super::{
    Chunk, ChunkError, End,
    delta::{Delta, Unescaped},
    encode::DONE,
    end::EndSigns,
};
use crate::scan::utf_8;
use crate::sse::{self, Limits, SseError, UnfinishedEvent};

/// Decodes a UI message stream, from the bytes of a response body to chunks, while they arrive.
///
/// It combines [`sse::Decoder`] and [`Chunk::decode`], is as strict, and is optimised for speed: chunks borrow from the pushed
/// pieces or from a reused buffer, so that a delta costs no allocation.
///
/// A character outside of the BMP that was split between two deltas stays split: a [`Joiner`](super::Joiner) joins it.
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
    end_signs: EndSigns,
    /// The unescaped delta of a chunk whose string had escapes.
    unescaped: Unescaped,
    /// The data of an event that was not UTF-8, with U+FFFD in it.
    replaced: String,
}

/// The error of one of the two decoding steps.
///
/// Deliberately exhaustive: there is no third step, and a reader continues after the second error only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The event stream cannot be decoded further. No more chunks follow.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// The data of one event is not a chunk. The next event may be one.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

impl DecodeError {
    /// Returns whether no chunk follows this error.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Sse(_))
    }
}

/// The place of the next chunk.
enum Found {
    /// In the data of the event, as a delta that was already read.
    Delta(Delta),
    /// In the data of the event.
    Data,
}

impl Decoder {
    /// Creates a decoder at the beginning of a stream, with the default [`Limits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a decoder at the beginning of a stream.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            events: sse::Decoder::with_limits(limits),
            ..Self::default()
        }
    }

    /// Adds the next piece of the body. Then call [`next_chunk`](Self::next_chunk) until it returns `None`.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        self.events.push(piece);
    }

    /// Returns the next chunk; `None` if more bytes are needed.
    ///
    /// An event whose data is exactly `[DONE]` is no chunk; [`is_done`](Self::is_done) reports it. Events after it still count.
    ///
    /// # Errors
    /// [`DecodeError::Chunk`] if the data of an event is not a chunk; the caller may continue with the next. [`DecodeError::Sse`]
    /// if the stream exceeds the limits; no more chunks follow.
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

    /// Returns whether `[DONE]` has arrived.
    pub fn is_done(&self) -> bool {
        self.end_signs.done
    }

    /// Returns whether a `finish` chunk has arrived.
    pub fn saw_finish(&self) -> bool {
        self.end_signs.finish
    }

    /// Returns the end of the stream, if no more bytes follow. Take out all chunks first.
    pub fn end(&self) -> End {
        self.end_signs.end()
    }

    /// Ends the body. A decoder is for a single stream: [`end`](Self::end) and the other facts are kept.
    ///
    /// Call it after [`next_chunk`](Self::next_chunk) has returned `None`; chunks that were not taken out before are lost.
    ///
    /// # Errors
    /// The stream ended inside an event, unless [`next_chunk`](Self::next_chunk) has returned a fatal error. The event is
    /// dropped.
    pub fn finish(&mut self) -> Result<(), UnfinishedEvent> {
        self.events.finish()
    }

    fn find_chunk(&mut self) -> Option<Result<Found, SseError>> {
        loop {
            // The fast path: a delta in the usual layout is read before the decoder looks for the end of its line.
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
            // No chunk, and not the end either: later events still count.
            if data == DONE.as_bytes() {
                self.end_signs.done = true;
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
        self.end_signs.see(&chunk);
        Ok(chunk)
    }
}
