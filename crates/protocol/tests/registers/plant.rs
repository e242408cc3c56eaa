//! Planted faults, to check that the judge finds them.

/// A faulty design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A store appends everything. It is here for the store, which is shared with the other simulation.
    NoFence,
    /// The log of a run is claimed before its obligation is in a register.
    ClaimFirst,
    /// An obligation is closed before the end of its run is reported.
    CloseFirst,
    /// An instance that takes a run over opens no obligation of its own.
    TakeOverUnopened,
    /// An obligation without a log is closed without a claim.
    CloseUnclaimed,
    /// The place of a run is not recorded.
    Unplaced,
    /// A run is taken over at the same time as the register in which it is open.
    TakeOverAtOnce,
}
