//! The kinds of faults and of ends, and how often each occurred.

use std::fmt;

/// Defines an enum whose variants have descriptions, and their counters.
macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($kind:ident = $words:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($kind,)* }

        impl $name {
            const WORDS: &[&str] = &[$($words,)*];
        }
    };
}

kinds! {
    /// Network faults and difficult situations. A fault is counted when it has really struck.
    Fault {
        CutClean = "the body ends early, as if it were complete",
        CutBroken = "the body breaks off",
        CutWithinEvent = "… of these within an event",
        CutAfterFinish = "… of these between `finish` and `[DONE]`",
        CutTwice = "… of these not the first of the run",
        SilentForEver = "an open stream falls silent for ever",
        SilentForAWhile = "an open stream falls silent for minutes",
        StreamTimeout = "a time limit strikes an open stream",
        Malformed = "a malformed event comes in between",
        MalformedInstead = "a malformed event comes in place of one",
        NotSent = "a request is surely not sent",
        LostRequest = "a request is lost on the way",
        LostResponse = "a request takes effect, and its response is lost",
        NoResponse = "a request gets no response",
        TooMany = "429, with or without Retry-After",
        ServerError = "500 or 503, with or without Retry-After",
        Refused = "the key is revoked: 401 or 403",
        DeadRuntime = "the runtime dies",
        Replay = "a resumed stream replays from the beginning",
        JoinInTheMiddle = "a resumed stream joins in the middle",
        Denied = "resuming is 204 although the run streams",
        ResumedWhileStarting = "resuming is 204 since the run is starting",
        StoredTail = "the resumed reader stores only its tail",
        UserMessageLost = "the resumed reader stores all but the user's message",
        ForeignReader = "somebody else resumes our run",
        AnotherRun = "another run begins in the sandbox",
        NextTurn = "the next turn begins in our thread",
        RunFails = "the run fails",
        FailsToStart = "the run fails while it is starting",
        FailsInStorage = "the run fails while it is stored",
        CancelledWhileStarting = "cancelling is `idle` since the run is starting",
        CancelledWhileStreaming = "the run is cancelled",
        CancelledByDone = "… its reader gets `[DONE]` alone",
        CancelledInWords = "… its reader gets `error \"cancelled\"`",
        ThreadDeleted = "the thread is deleted",
        SandboxDeleted = "the sandbox is deleted",
        Reordered = "responses come in another order than the requests",
    }
}

kinds! {
    /// The ends of schedules.
    Ending {
        Completed = "completed",
        CompletedAfterCut = "… after a cut",
        CompletedAfterGap = "… with a gap marked",
        StoredIncompletely = "… stored incompletely",
        Failed = "failed",
        Cancelled = "cancelled",
        LostSilence = "lost: silence",
        LostCut = "lost: cut, and not followed",
        LostDeadline = "lost: deadline",
        LostRefused = "lost: refused",
        LostDeleted = "lost: deleted",
        LostNotStored = "lost: not stored",
        NotStarted = "not started",
        CancelCancelled = "cancelling: cancelled",
        CancelIdle = "cancelling: nothing to cancel",
        CancelAnother = "cancelling: another run would be meant",
        CancelStarting = "cancelling: still starting",
        CancelFailed = "cancelling: a request failed",
    }
}

/// The number of times that each kind occurred.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) schedules: u64,
    faults: Vec<u64>,
    endings: Vec<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            schedules: 0,
            faults: vec![0; Fault::WORDS.len()],
            endings: vec![0; Ending::WORDS.len()],
        }
    }

    pub(crate) fn struck(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub(crate) fn ended(&mut self, ending: Ending) {
        self.endings[ending as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        for (sum, more) in self.faults.iter_mut().zip(&other.faults) {
            *sum += more;
        }
        for (sum, more) in self.endings.iter_mut().zip(&other.endings) {
            *sum += more;
        }
    }

    /// Returns the kinds that never occurred: a simulation without them proves nothing about them.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.rows()
            .filter(|(_, count)| *count == 0)
            .map(|(words, _)| words)
            .collect()
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = Fault::WORDS.iter().chain(Ending::WORDS);
        words
            .copied()
            .zip(self.faults.iter().chain(&self.endings).copied())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} schedules", self.schedules)?;
        for (row, (words, count)) in self.rows().enumerate() {
            if row == 0 {
                writeln!(f, "faults that struck:")?;
            }
            if row == Fault::WORDS.len() {
                writeln!(f, "ends:")?;
            }
            writeln!(f, "{count:>9} {words}")?;
        }
        Ok(())
    }
}
