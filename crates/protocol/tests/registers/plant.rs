//! Faults that are planted, to see that the judge finds them.

/// A design that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A store appends whatever comes. It is here for the store, which is shared with the other simulation.
    NoFence,
    /// The log of a run is claimed before its obligation stands in a register.
    ClaimFirst,
    /// An obligation is closed before the end of its run is told.
    CloseFirst,
    /// Whoever takes a run over opens no obligation of its own.
    TakeOverUnopened,
    /// An obligation without a log is closed without a claim.
    CloseUnclaimed,
    /// The place of a run is not noted.
    Unplaced,
    /// A run is taken over as soon as the register in which it is open was.
    TakeOverAtOnce,
}
