//! Planted faults, to check that the judge finds them.

/// A faulty design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A successor reads the log before it claims.
    ReadBeforeClaim,
    /// A store appends everything, like a lease without a fence.
    NoFence,
    /// Chunks are delivered before they are logged.
    DeliverFirst,
    /// The starter of a run does not check if it was stopped meanwhile.
    StopUnseen,
    /// A turn does not check if the previous one is over.
    NotWaiting,
    /// A successor does not see that the messages may have been sent.
    PlaceUnseen,
    /// A replay begins one chunk too late.
    LateReplay,
    /// Nobody takes over a log without a writer.
    NoSuccessor,
    /// Chunks are recorded although too many wait for the store.
    FullRecorder,
    /// Each turn gets a sandbox of its own.
    NewSandbox,
    /// A run that was lost at its start ends without a `finish`.
    NoFinish,
}
