use serde::{Deserialize, Serialize};

use crate::ui::{Part, UiMessage};

/// The longest name derived from a text, in UTF-16 code units, as JavaScript counts.
const LONGEST: usize = 80;

/// The name of a thread that is created for a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ThreadName {
    /// The beginning of the first turn's text: see [`name_after`].
    #[default]
    AfterTurn,
    /// This name.
    Given(String),
    /// No name.
    None,
}

impl<T: Into<String>> From<T> for ThreadName {
    fn from(name: T) -> Self {
        Self::Given(name.into())
    }
}

/// Returns the name that the relay gives to a thread after its first turn: the text of the message, with each run of white space
/// as one blank. A name over 80 UTF-16 code units is cut to at most 79 and ends with `…`.
///
/// Two things differ from the relay: a character outside the BMP is never cut in half, and a NUL, which no name can contain, is
/// left out.
///
/// ```
/// use twentyfirst_protocol::threads::name_after;
/// use twentyfirst_protocol::ui::UiMessage;
///
/// let turn = UiMessage::user("Find bugs\n  in /src");
/// assert_eq!(name_after(&turn), "Find bugs in /src");
/// ```
pub fn name_after(turn: &UiMessage) -> String {
    let texts = turn.parts.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.to_string_lossy()),
        _ => None,
    });
    let mut name = String::new();
    // `cut` is the longest beginning that leaves room for the `…`. A name that turns out to be too long ends there.
    let (mut units, mut cut) = (0, 0);
    let mut is_apart = false;
    for text in texts {
        for next in text.chars().filter(|next| *next != '\0') {
            if is_space(next) {
                is_apart = true;
                continue;
            }
            let blank = (is_apart && !name.is_empty()).then_some(' ');
            is_apart = false;
            for next in blank.into_iter().chain([next]) {
                units += next.len_utf16();
                if units > LONGEST {
                    name.truncate(cut);
                    name.push('…');
                    return name;
                }
                name.push(next);
                if units < LONGEST {
                    cut = name.len();
                }
            }
        }
        // The relay puts a line break between two texts.
        is_apart = true;
    }
    name
}

/// Returns whether a character is white space in JavaScript: with the byte order mark, and without U+0085.
fn is_space(next: char) -> bool {
    next == '\u{feff}' || (next.is_whitespace() && next != '\u{85}')
}
