use std::borrow::Cow;

use crate::ui::Text;
use crate::ui::chunk::Data;

/// The change of a message by a chunk, so that callers need not compare messages.
///
/// Parts are identified by their index in [`UiMessage::parts`](crate::ui::UiMessage::parts). Parts that a change does not name are
/// unchanged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because a mirror of the message must apply all its fields.
pub enum Change<'a> {
    /// No visible change.
    Nothing,
    /// The message's id or metadata has changed, or everything, or more than one part. Read the whole message.
    Message,
    /// New parts at the end.
    Added {
        /// The index of the first new part.
        first: usize,
    },
    /// More text in a text or reasoning part, and no other change in it.
    Appended {
        /// The index of the part.
        part: usize,
        /// The appended text.
        text: Cow<'a, str>,
    },
    /// Any other change of a part.
    Changed {
        /// The index of the part.
        part: usize,
    },
    /// The parts of the current step were removed.
    Removed {
        /// The number of remaining parts.
        left: usize,
    },
    /// Data that does not enter the message. Only this value shows it.
    Transient(&'a Data<'a>),
    /// The error of a failed run. The message is unchanged, and more chunks may follow.
    Failed(&'a Text<'a>),
}
