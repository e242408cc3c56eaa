use super::Chunk;

/// The end of a UI message stream. If several ends apply, the first one in this order counts.
///
/// A stream that breaks off is [`Cut`](End::Cut), so that a part of an answer is never mistaken for the whole.
///
/// Deliberately exhaustive: code that relies on a complete answer must know each end. An unknown end is [`Cut`](End::Cut).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// An `error` chunk arrived.
    Failed,
    /// An `abort` chunk arrived.
    Aborted,
    /// `[DONE]` arrived.
    Finished,
    /// The bytes ended without any of these.
    Cut,
}

impl End {
    /// Returns the end in one lower-case word: `failed`, `aborted`, `finished` or `cut`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Finished => "finished",
            Self::Cut => "cut",
        }
    }
}

/// The chunks and events seen so far that determine the end of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndSigns {
    failed: bool,
    aborted: bool,
    pub(super) done: bool,
    pub(super) finish: bool,
}

impl EndSigns {
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
