use std::fmt;

use twentyfirst_protocol::runs::Messages;

/// A turn of a chat that is not over, from [`ChatHandler::open_turns`](super::ChatHandler::open_turns).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenTurn {
    /// The id of its run, as in `x-workflow-run-id`. With it browsers resume, cancel or withdraw the turn.
    pub id: String,
    /// Whether it arrived while an earlier turn was being answered, and so has to wait.
    pub is_queued: bool,
    /// The messages of the turn. Empty if they are longer than 1 MiB.
    pub messages: Messages,
}

/// Does not show the messages.
impl fmt::Debug for OpenTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTurn")
            .field("id", &self.id)
            .field("is_queued", &self.is_queued)
            .finish_non_exhaustive()
    }
}
