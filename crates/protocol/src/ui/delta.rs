//! The short path for deltas, which are nearly all of a stream.
//!
//! Servers write them in one layout, without whitespace and with the members in the AI SDK's order. What is exactly so is read in one
//! pass over its bytes; anything else, right or wrong, is left to [`Chunk::decode`].

use std::ops::Range;

use super::{
    Chunk, Text,
    chunk::{ReasoningDelta, TextDelta, ToolInputDelta, plain_prefix},
};

/// A delta chunk at the beginning of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Delta {
    kind: Kind,
    id: Range<usize>,
    delta: Where,
    /// How long the whole object is.
    pub(super) length: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Reasoning,
    ToolInput,
}

#[derive(Clone, Debug)]
enum Where {
    /// As it came.
    Here(Range<usize>),
    /// In the scratch buffer, because it had escapes.
    InScratch,
}

impl Delta {
    /// Reads the object that `bytes` begin with. An unfinished one is none.
    pub(super) fn read(bytes: &[u8], scratch: &mut Vec<u8>) -> Option<Self> {
        let (kind, name, rest) =
            if let Some(rest) = bytes.strip_prefix(br#"{"type":"text-delta","id":""#) {
                (Kind::Text, &br#"","delta":""#[..], rest)
            } else if let Some(rest) =
                bytes.strip_prefix(br#"{"type":"tool-input-delta","toolCallId":""#)
            {
                (Kind::ToolInput, &br#"","inputTextDelta":""#[..], rest)
            } else if let Some(rest) = bytes.strip_prefix(br#"{"type":"reasoning-delta","id":""#) {
                (Kind::Reasoning, &br#"","delta":""#[..], rest)
            } else {
                return None;
            };
        let id_start = bytes.len() - rest.len();
        let id_length = plain_prefix(rest);
        let rest = rest.get(id_length..)?.strip_prefix(name)?;
        let delta_start = bytes.len() - rest.len();
        let plain = plain_prefix(rest);
        let (delta, rest) = match rest.get(plain)? {
            b'"' => (
                Where::Here(delta_start..delta_start + plain),
                rest.get(plain + 1..)?,
            ),
            b'\\' => {
                scratch.clear();
                (Where::InScratch, unescape(rest, plain, scratch)?)
            }
            _ => return None,
        };
        Some(Self {
            kind,
            id: id_start..id_start + id_length,
            delta,
            length: bytes.len() - rest.strip_prefix(b"}")?.len(),
        })
    }

    /// The chunk, lent from the bytes and the scratch buffer that it was read from.
    pub(super) fn chunk<'a>(&self, bytes: &'a [u8], scratch: &'a [u8]) -> Chunk<'a> {
        let id = text(bytes.get(self.id.clone()).unwrap_or_default());
        let delta = text(match &self.delta {
            Where::Here(range) => bytes.get(range.clone()).unwrap_or_default(),
            Where::InScratch => scratch,
        });
        match self.kind {
            Kind::Text => TextDelta::new(id, delta).into(),
            Kind::Reasoning => ReasoningDelta::new(id, delta).into(),
            Kind::ToolInput => ToolInputDelta::new(id, delta).into(),
        }
    }
}

/// The bytes of a string. The standard replaces what is not UTF-8; since quotes and escapes are ASCII, it makes no difference whether that
/// is done in the whole stream or in each string.
fn text(bytes: &[u8]) -> Text<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}

/// Copies a string up to its quote without its escapes, and gives what comes after it. `plain` bytes are known to have none.
fn unescape<'b>(mut rest: &'b [u8], mut plain: usize, out: &mut Vec<u8>) -> Option<&'b [u8]> {
    loop {
        let (copied, after) = rest.split_at_checked(plain)?;
        out.extend_from_slice(copied);
        let (char, after) = match after {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', char @ (b'"' | b'\\' | b'/'), after @ ..] => (*char, after),
            [b'\\', b't', after @ ..] => (b'\t', after),
            [b'\\', b'r', after @ ..] => (b'\r', after),
            [b'\\', b'b', after @ ..] => (0x08, after),
            [b'\\', b'f', after @ ..] => (0x0c, after),
            [b'\\', b'u', after @ ..] => {
                let (char, after) = unicode_escape(after)?;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
                plain = plain_prefix(rest);
                continue;
            }
            _ => return None,
        };
        out.push(char);
        rest = after;
        plain = plain_prefix(rest);
    }
}

/// The character of one `\u`, or of two that make a pair. A lone surrogate is none.
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
