//! A fast path for deltas, which make up nearly all of a stream.
//!
//! Servers write them in one layout, without whitespace and with the members in the AI SDK's order. An event in exactly this
//! layout is read in one pass over its bytes. Anything else, valid or not, is left to [`Chunk::decode`].

use std::ops::Range;

use crate::scan::utf_8;

use super::{
    Chunk, Text,
    chunk::{ReasoningDelta, Stops, TextDelta, ToolInputDelta, plain_prefix},
};

/// A delta chunk at the beginning of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Delta {
    kind: Kind,
    id: Range<usize>,
    /// The range of the delta's text; `None` if it has escapes, because the text is in [`Unescaped`] then.
    delta: Option<Range<usize>>,
    /// The length of the whole object.
    pub(super) length: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Reasoning,
    ToolInput,
}

impl Delta {
    /// Reads the object at the beginning of `bytes`; `None` if it is incomplete or not in the layout.
    #[inline]
    pub(super) fn read(bytes: &[u8], unescaped: &mut Unescaped) -> Option<Self> {
        const SHORTEST: &[u8] = br#"{"type":"text-delta","id":"","delta":""}"#;
        if bytes.len() < SHORTEST.len() {
            return None;
        }
        let rest = bytes.strip_prefix(br#"{"type":""#)?;
        if let Some(rest) = rest.strip_prefix(br#"text-delta","id":""#) {
            Self::read_members(Kind::Text, br#"","delta":""#, bytes, rest, unescaped)
        } else if let Some(rest) = rest.strip_prefix(br#"tool-input-delta","toolCallId":""#) {
            let between = br#"","inputTextDelta":""#;
            Self::read_members(Kind::ToolInput, between, bytes, rest, unescaped)
        } else if let Some(rest) = rest.strip_prefix(br#"reasoning-delta","id":""#) {
            Self::read_members(Kind::Reasoning, br#"","delta":""#, bytes, rest, unescaped)
        } else {
            None
        }
    }

    #[inline]
    fn read_members<const LENGTH: usize>(
        kind: Kind,
        between: &[u8; LENGTH],
        bytes: &[u8],
        rest: &[u8],
        unescaped: &mut Unescaped,
    ) -> Option<Self> {
        let id_start = bytes.len() - rest.len();
        let id_end = id_start + plain_prefix(rest);
        // An id with an escape ends before its quote, so it is not in the layout.
        let rest = bytes.get(id_end..)?.strip_prefix(between)?;
        let start = bytes.len() - rest.len();
        let stop = start + plain_prefix(rest);
        let (delta, end) = match bytes.get(stop)? {
            b'"' => (Some(start..stop), stop + 1),
            b'\\' => (None, unescaped.fill(bytes, start, stop)?),
            _ => return None,
        };
        // A further member, such as `providerMetadata`, is not in the layout.
        (bytes.get(end) == Some(&b'}')).then_some(Self {
            kind,
            id: id_start..id_end,
            delta,
            length: end + 1,
        })
    }

    /// Returns the chunk, borrowed from the bytes that it was read from and from the unescaped text.
    #[inline]
    pub(super) fn chunk<'a>(&self, bytes: &'a [u8], unescaped: &'a Unescaped) -> Chunk<'a> {
        // Check the whole event once. The ranges are cut at ASCII bytes, so they are text if it is.
        let whole = utf_8(bytes);
        let part = |range: &Range<usize>| match whole {
            Some(text) => text.get(range.clone()).unwrap_or_default().into(),
            None => replaced(bytes.get(range.clone()).unwrap_or_default()),
        };
        let delta = match &self.delta {
            Some(range) => part(range),
            None => match utf_8(unescaped.get()) {
                Some(text) => text.into(),
                None => replaced(unescaped.get()),
            },
        };
        self.with(part(&self.id), delta)
    }

    /// Decodes a text that consists of one such object; `None` for any other text.
    #[inline]
    pub(super) fn decode(data: &str) -> Option<Chunk<'_>> {
        let mut unescaped = Unescaped::default();
        let delta = Self::read(data.as_bytes(), &mut unescaped)?;
        if delta.length < data.len() {
            return None;
        }
        let part = |range: &Range<usize>| data.get(range.clone()).unwrap_or_default().into();
        Some(delta.with(
            part(&delta.id),
            match &delta.delta {
                Some(range) => part(range),
                None => String::from_utf8(unescaped.take()).ok()?.into(),
            },
        ))
    }

    #[inline]
    fn with<'a>(&self, id: Text<'a>, delta: Text<'a>) -> Chunk<'a> {
        match self.kind {
            Kind::Text => TextDelta::new(id, delta).into(),
            Kind::Reasoning => ReasoningDelta::new(id, delta).into(),
            Kind::ToolInput => ToolInputDelta::new(id, delta).into(),
        }
    }
}

/// A string without its escapes, in a reused buffer.
#[derive(Debug, Default)]
pub(super) struct Unescaped {
    /// The bytes after `length` have no meaning. They are kept as room to write to.
    bytes: Vec<u8>,
    length: usize,
}

impl Unescaped {
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn take(mut self) -> Vec<u8> {
        self.bytes.truncate(self.length);
        self.bytes
    }

    /// Unescapes the string that begins at `start` and has its first escape at `stop`. Returns the position after its closing
    /// quote; `None` if it is incomplete or invalid, or has half a surrogate pair.
    fn fill(&mut self, bytes: &[u8], start: usize, mut stop: usize) -> Option<usize> {
        let mut stops = Stops::new(bytes, stop);
        let mut at = start;
        self.length = 0;
        loop {
            self.append(bytes.get(at..)?, stop - at);
            match bytes.get(stop..)? {
                [b'"', ..] => return Some(stop + 1),
                [b'\\', b'u', after @ ..] => {
                    let (char, rest) = unicode_escape(after)?;
                    let utf_8 = &mut [0; 4];
                    let utf_8 = char.encode_utf8(utf_8).as_bytes();
                    self.append(utf_8, utf_8.len());
                    at = bytes.len() - rest.len();
                }
                [b'\\', byte, ..] => {
                    // `append` has left room for it.
                    *self.bytes.get_mut(self.length)? = escaped(*byte)?;
                    self.length += 1;
                    at = stop + 2;
                }
                _ => return None,
            }
            stop = stops.next(at);
        }
    }

    /// Appends the first `length` bytes of `bytes`.
    #[inline]
    fn append(&mut self, bytes: &[u8], length: usize) {
        const SHORT: usize = 16;
        let end = self.length + length;
        // Always leave room after the text: for a whole block, and for the byte of an escape.
        if self.bytes.len() < end + SHORT {
            self.bytes.resize(2 * end + SHORT, 0);
        }
        let free = self.bytes.get_mut(self.length..).unwrap_or_default();
        // Most stretches are short, and copying a whole block is faster than copying the exact length.
        if length <= SHORT
            && let Some(from) = bytes.first_chunk::<SHORT>()
            && let Some(to) = free.first_chunk_mut()
        {
            *to = *from;
        } else if let (Some(from), Some(to)) = (bytes.get(..length), free.get_mut(..length)) {
            to.copy_from_slice(from);
        }
        self.length = end;
    }
}

/// Decodes a string that is not UTF-8. The standard replaces invalid bytes in the whole stream. Replacing them in the string alone
/// has the same result, because quotes and escapes are ASCII.
#[cold]
fn replaced(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Returns the byte of an escape that stands for a single byte.
#[inline]
fn escaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'n' => b'\n',
        b'"' | b'\\' | b'/' => byte,
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        _ => return None,
    })
}

/// Returns the character of one `\u` escape, or of two that form a pair; `None` for a lone surrogate.
fn unicode_escape(after_u: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = hex_unit(after_u)?;
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Some((char, rest));
    }
    let (second, rest) = hex_unit(rest.strip_prefix(b"\\u")?)?;
    let char = char::decode_utf16([first, second]).next()?.ok()?;
    Some((char, rest))
}

fn hex_unit(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16)? as u16;
    }
    Some((unit, rest))
}
