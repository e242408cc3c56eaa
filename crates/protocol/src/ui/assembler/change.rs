use std::borrow::Cow;

use crate::ui::Text;
use crate::ui::chunk::Data;

/// What a chunk changed in a message, so that nobody has to compare messages.
///
/// Parts are named by their place in [`UiMessage::parts`](crate::ui::UiMessage::parts). A part that is not named is as it was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since whoever mirrors a message must heed all of them.
pub enum Change<'a> {
    /// Nothing that shows.
    Nothing,
    /// The message's id or metadata, or all of it: another message has begun. Look at the whole.
    Message,
    /// There are new parts at the end.
    Added {
        /// The first of them.
        first: usize,
    },
    /// The text of a text or reasoning part has grown, and nothing else in it has changed.
    Appended {
        /// Which part.
        part: usize,
        /// What was appended.
        text: Cow<'a, str>,
    },
    /// Something in a part has changed.
    Changed {
        /// Which part.
        part: usize,
    },
    /// The parts of the step were taken back.
    Removed {
        /// How many parts are left.
        left: usize,
    },
    /// Data that does not enter the message: this is the only time it is seen.
    Transient(&'a Data<'a>),
    /// The run has failed, for this reason. The message stays as it is, and more may follow.
    Failed(&'a Text<'a>),
}
