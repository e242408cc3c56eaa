use std::borrow::Cow;

use crate::ui::Text;

/// The first half of a surrogate pair that ended a piece of text and waits for the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ui) struct Half(Option<u16>);

impl Half {
    /// Whether there is one.
    pub(in crate::ui) fn is_waiting(self) -> bool {
        self.0.is_some()
    }

    /// What can be said for certain once this piece has come. Halves that stay alone become U+FFFD; one at the end is kept back.
    pub(in crate::ui) fn join<'a>(&mut self, piece: &'a Text<'_>) -> Cow<'a, str> {
        match piece.as_str() {
            Some("") => return Cow::Borrowed(""),
            Some(piece) if self.0.is_none() => return Cow::Borrowed(piece),
            _ => {}
        }
        let mut units: Vec<u16> = self.0.take().into_iter().collect();
        units.extend(piece.to_code_units());
        self.0 = units.pop_if(|unit| matches!(*unit, 0xd800..0xdc00));
        Cow::Owned(String::from_utf16_lossy(&units))
    }
}
