use std::borrow::Cow;

use crate::ui::Text;

/// The first half of a surrogate pair at the end of a piece of text, which waits for the second half in the next piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ui) struct Half(Option<u16>);

impl Half {
    /// Returns whether a half waits.
    pub(in crate::ui) fn is_waiting(self) -> bool {
        self.0.is_some()
    }

    /// Returns an upper bound for the bytes that [`join`](Self::join) allocates, including temporary ones.
    pub(in crate::ui) fn scratch(self, piece: &Text<'_>) -> usize {
        match piece.is_well_formed() {
            true if self.0.is_none() => 0,
            true => piece.stored_len() + REPLACEMENT.len(),
            // Once for the result, and twice for the code units: two bytes for each byte of the string.
            false => 3 * piece.stored_len() + REPLACEMENT.len(),
        }
    }

    /// Returns the text to append for this piece. Halves that stay alone become U+FFFD. A first half at the end waits for the next
    /// piece.
    pub(in crate::ui) fn join<'a>(&mut self, piece: &'a Text<'_>) -> Cow<'a, str> {
        match piece.as_str() {
            // An empty piece keeps the half waiting.
            Some("") => return Cow::Borrowed(""),
            Some(piece) if self.0.is_none() => return Cow::Borrowed(piece),
            _ => {}
        }
        let mut joined = String::with_capacity(piece.stored_len() + REPLACEMENT.len());
        // A second half alone is ill-formed, so a well-formed piece cannot bring the one that is waited for.
        if let Some(piece) = piece.as_str() {
            self.0 = None;
            joined.push_str(REPLACEMENT);
            joined.push_str(piece);
            return Cow::Owned(joined);
        }
        let mut units = piece.to_code_units();
        let last = units.pop_if(|unit| matches!(*unit, 0xd800..0xdc00));
        let units = self.0.take().into_iter().chain(units);
        let chars = char::decode_utf16(units);
        joined.extend(chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
        self.0 = last;
        Cow::Owned(joined)
    }
}

pub(super) const REPLACEMENT: &str = "\u{fffd}";
