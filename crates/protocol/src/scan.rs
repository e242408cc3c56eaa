//! Fast scans of bytes and text.
//!
//! The searches look at eight bytes at a time, as one word. For a few bytes, that is faster than a call of `memchr`.

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Returns a word in which each of the eight bytes is `byte`.
#[inline]
pub(crate) const fn all(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Marks each byte of `word` that is below `limit`, by its high bit in the result. `limit` is at most 128.
///
/// Only the lowest mark is reliable: the subtraction may borrow from the bytes above it.
#[inline]
pub(crate) const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(all(limit)) & !word & HIGHS
}

/// Returns the position of the first line feed or carriage return.
#[inline]
pub(crate) fn line_end(bytes: &[u8]) -> Option<usize> {
    const SHORT: usize = 64;
    if bytes.len() > SHORT {
        return memchr::memchr2(b'\n', b'\r', bytes);
    }
    first(bytes, |word| {
        below(word ^ all(b'\n'), 1) | below(word ^ all(b'\r'), 1)
    })
}

/// Returns the position of the first byte that `stops` marks.
///
/// `stops` takes a word and marks bytes as [`below`] does. It must never mark a byte 0xff, which fills up a word of fewer bytes.
#[inline]
pub(crate) fn first(bytes: &[u8], stops: impl Fn(u64) -> u64) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = stops(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    // The last word overlaps the one before it. `stops` has marked none of the bytes that they share.
    let (word, start) = match bytes.last_chunk::<8>() {
        Some(last) => (u64::from_le_bytes(*last), bytes.len() - 8),
        None => {
            let word = rest.iter().rev();
            (
                word.fold(u64::MAX, |word, &byte| word << 8 | u64::from(byte)),
                0,
            )
        }
    };
    let found = stops(word);
    (found != 0).then(|| start + found.trailing_zeros() as usize / 8)
}

/// Returns the bytes as text, if they are UTF-8.
#[inline]
pub(crate) fn utf_8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Returns the last character boundary of `text` at or before `at`.
pub(crate) fn char_boundary(text: &str, at: usize) -> usize {
    // `str::floor_char_boundary` requires Rust 1.91.
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_line_anywhere() {
        // Bytes that differ from a line end in one bit, or by one.
        let others: Vec<u8> = [b'\n', b'\r']
            .iter()
            .flat_map(|end| (0..8).map(move |bit| end ^ 1 << bit))
            .chain([0x09, 0x0b, 0x0e, 0x00, 0xff])
            .collect();
        for other in others {
            for length in 0..100 {
                let mut bytes = vec![other; length];
                assert_eq!(line_end(&bytes), None, "{other:#x}, {length}");
                for end in [b'\n', b'\r'] {
                    bytes.truncate(length);
                    bytes.push(end);
                    assert_eq!(line_end(&bytes), Some(length), "{other:#x}, {length}");
                    bytes.extend([other, b'\n', other, b'\r']);
                    assert_eq!(line_end(&bytes), Some(length), "{other:#x}, {length}");
                }
            }
        }
    }
}
