use super::Chunk;

/// How a UI message stream has ended. The first that applies is the end, in this order.
///
/// Deliberately exhaustive: code that takes an answer for whole must know each end, and an unknown end is [`Cut`](End::Cut).
///
/// A stream that breaks off is [`Cut`](End::Cut), so that a part of an answer never passes for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// An `error` chunk came.
    Failed,
    /// An `abort` chunk came.
    Aborted,
    /// `[DONE]` came.
    Finished,
    /// The bytes have ended, and that is all that is known.
    Cut,
}

impl End {
    /// The end in one lower-case word: `failed`, `aborted`, `finished` or `cut`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Finished => "finished",
            Self::Cut => "cut",
        }
    }
}

/// What matters of the events of a stream to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    failed: bool,
    aborted: bool,
    pub(super) done: bool,
    pub(super) finish: bool,
}

impl Signs {
    pub(super) fn see(&mut self, chunk: &Chunk<'_>) {
        match chunk {
            Chunk::Error(_) => self.failed = true,
            Chunk::Abort(_) => self.aborted = true,
            Chunk::Finish(_) => self.finish = true,
            _ => {}
        }
    }

    pub(super) fn end(self) -> End {
        if self.failed {
            End::Failed
        } else if self.aborted {
            End::Aborted
        } else if self.done {
            End::Finished
        } else {
            End::Cut
        }
    }
}
