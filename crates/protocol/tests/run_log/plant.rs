//! Faults that are planted, to see that the judge finds them.

/// A design that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A successor reads the log before it claims.
    ReadBeforeClaim,
    /// A store appends whatever comes, as a lease without a fence does.
    NoFence,
    /// Chunks are delivered before they are logged.
    DeliverFirst,
    /// Whoever has started a run does not look whether it was stopped meanwhile.
    StopUnseen,
    /// Nobody looks whether the turn before is over.
    NotWaiting,
    /// A successor does not see that the messages may have been sent.
    PlaceUnseen,
}
