use std::fmt;

use twentyfirst_protocol::runs::Messages;

/// A turn of a chat that is not over: from [`ChatHandler::open_turns`](super::ChatHandler::open_turns).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenTurn {
    /// The id of the run that answers it, as in `x-workflow-run-id`: by it browsers resume it, and end it or take it back.
    pub id: String,
    /// Whether it was taken while the one before was answered, and so has to wait.
    pub is_queued: bool,
    /// What it asks. None where that is longer than 1 MiB.
    pub messages: Messages,
}

/// Nothing of what it asks.
impl fmt::Debug for OpenTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTurn")
            .field("id", &self.id)
            .field("is_queued", &self.is_queued)
            .finish_non_exhaustive()
    }
}
