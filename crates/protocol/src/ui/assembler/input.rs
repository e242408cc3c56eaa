use crate::ui::held::allocation;
use crate::ui::{PartialJson, RawJson, Text};

/// The text of a call's input so far.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Json(PartialJson),
    Text {
        text: String,
        /// The length of the text as a JSON string.
        json_size: usize,
    },
}

impl Input {
    /// An upper bound for the memory of an empty input: room for the first open containers.
    pub(super) const EMPTY_SIZE: usize = 256;

    /// An upper bound for the bytes that each open container takes while a value is read.
    pub(super) const SCRATCH: usize = 16;

    /// Appends a piece. `capacity` is the capacity that the text gets.
    pub(super) fn push(&mut self, piece: &str, capacity: usize) {
        match self {
            Self::Json(json) => {
                json.reserve(capacity);
                json.push(piece);
            }
            Self::Text { text, json_size } => {
                text.reserve_exact(capacity.saturating_sub(text.len()));
                text.push_str(piece);
                *json_size += escaped_size(piece);
            }
        }
    }

    /// Returns a copy with another piece appended, to look at.
    pub(super) fn with(&self, piece: &str) -> Self {
        let capacity = self.text().len() + piece.len();
        match self {
            Self::Json(json) => Self::Json(json.with(piece)),
            Self::Text { text, json_size } => {
                let mut longer = Self::Text {
                    text: String::with_capacity(capacity),
                    json_size: *json_size,
                };
                if let Self::Text { text: longer, .. } = &mut longer {
                    longer.push_str(text);
                }
                longer.push(piece, capacity);
                longer
            }
        }
    }

    /// Returns the text, and the value read from it.
    pub(super) fn into_shown(self) -> (String, Option<RawJson<'static>>) {
        let value = self.value();
        let text = match self {
            Self::Json(json) => json.into_text(),
            Self::Text { text, .. } => text,
        };
        (text, value)
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Json(json) => json.capacity(),
            Self::Text { text, .. } => text.capacity(),
        }
    }

    /// Returns its memory in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Json(json) => allocation(json.capacity()) + json.depth_held(),
            Self::Text { text, .. } => allocation(text.capacity()),
        }
    }

    /// Returns an upper bound for the additional memory when `added` bytes arrive, with this many opening brackets among them. It
    /// covers the part that shows the input and the open containers, but not the buffer of the text.
    pub(super) fn growth(&self, added: usize, brackets: usize) -> usize {
        match self {
            Self::Json(json) => {
                // The first byte that is not JSON adds a second reader, which has its own list of open containers.
                2 * added + 2 * Self::SCRATCH * brackets + 4 * json.depth() + Self::EMPTY_SIZE
            }
            // The text in the part, and the same text as a JSON string, in which each byte may become an escape of six.
            Self::Text { .. } => 7 * added,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.text(),
            Self::Text { text, .. } => text,
        }
    }

    pub(super) fn value(&self) -> Option<RawJson<'static>> {
        match self {
            Self::Json(json) => json.value(),
            Self::Text { text, json_size } => {
                let mut json = String::with_capacity(*json_size);
                Text::from(text).write_json(&mut json);
                Some(RawJson::from_valid(json))
            }
        }
    }
}

/// Returns an upper bound for the number of containers that a piece of JSON opens.
pub(super) fn brackets(piece: &Text<'_>) -> usize {
    match piece.as_str() {
        Some(piece) => memchr::memchr2_iter(b'[', b'{', piece.as_bytes()).count(),
        None => piece.stored_len(),
    }
}

/// Returns the length of a text as the content of a JSON string.
fn escaped_size(text: &str) -> usize {
    let sizes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        ..0x20 => 6,
        _ => 1,
    });
    sizes.sum()
}
