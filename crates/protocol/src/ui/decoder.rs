use bytes::Bytes;

use super::{
    Chunk, ChunkError, End,
    delta::{Delta, Unescaped},
    encode::DONE,
    end::EndSigns,
};
use crate::scan::utf_8;
use crate::sse::{self, Limits, SseError, UnfinishedEvent};

/// Decodes a UI message stream while its bytes arrive: from a response body to chunks.
///
/// It combines [`sse::Decoder`] and [`Chunk::decode`] and is as strict as both, but faster: chunks borrow from the pushed pieces or
/// from a reused buffer, so that a delta costs no allocation.
///
/// A server may split a character between two deltas (an emoji, for example). It stays split here; a [`Joiner`](super::Joiner)
/// joins it.
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
    /// The data of the last event that was not UTF-8, with U+FFFD in place of invalid bytes.
    replaced: String,
}

/// The error of one of the two decoding steps.
///
/// Deliberately exhaustive: there is no third step, and a reader must know that it can continue only after a chunk error.
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

/// The next event, which should be a chunk.
enum Found {
    /// A delta, which is read already.
    Delta(Delta),
    /// Data that is still to be decoded.
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
    /// An event whose data is exactly `[DONE]` is not a chunk; [`is_done`](Self::is_done) reports it. Events after it still count.
    ///
    /// # Errors
    /// [`DecodeError::Chunk`] if the data of an event is not a chunk: the caller may continue with the next one.
    /// [`DecodeError::Sse`] if the stream exceeds the limits: no more chunks follow.
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

    /// Returns the end of the stream, provided that no more bytes follow and all chunks were taken out.
    pub fn end(&self) -> End {
        self.end_signs.end()
    }

    /// Ends the body. [`end`](Self::end), [`is_done`](Self::is_done) and [`saw_finish`](Self::saw_finish) are kept, so each stream
    /// needs a decoder of its own.
    ///
    /// Call it after [`next_chunk`](Self::next_chunk) has returned `None`: chunks that were not taken out before are lost.
    ///
    /// # Errors
    /// The stream ended inside an event, which is dropped. No error after a fatal one from [`next_chunk`](Self::next_chunk).
    pub fn finish(&mut self) -> Result<(), UnfinishedEvent> {
        self.events.finish()
    }

    fn find_chunk(&mut self) -> Option<Result<Found, SseError>> {
        loop {
            // The fast path: read a delta in the usual layout first, which saves a search for the end of its line.
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
            // Not a chunk, and not the end either, because later events still count.
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
        // Only here and not in the fast path, because a delta never ends a stream.
        self.end_signs.see(&chunk);
        Ok(chunk)
    }
}
