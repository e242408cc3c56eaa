/// What happens to a message that comes while its chat is answering.
///
/// The relay would accept it, and spoil the history of the thread; so it is decided before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, which are written by hand.
pub enum TurnOrder {
    /// It is refused. The default.
    #[default]
    Refuse,
    /// It waits for its turn: behind the answer that is given, and behind those that wait already. Where so many wait, it is refused.
    Enqueue {
        /// How many turns may wait, up to 64.
        limit: usize,
    },
    /// The answer that is given is cancelled, and so are turns that wait; then it has its turn. What they have asked is asked again with
    /// it, since the relay stores no turn that is cancelled.
    Interrupt,
}

impl TurnOrder {
    /// Lets up to 8 turns wait.
    #[must_use]
    pub const fn enqueue() -> Self {
        Self::Enqueue { limit: 8 }
    }
}
