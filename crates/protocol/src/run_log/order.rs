/// The policy for a message that arrives while its chat is answering.
///
/// The relay would accept such a message and corrupt the history of the thread, so the policy is applied before it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Deliberately exhaustive: users write the fields of its variants by hand.
pub enum TurnOrder {
    /// The message is refused. The default.
    #[default]
    Refuse,
    /// The message waits for its turn, after the current answer and after those that wait already. If `limit` turns wait, it is
    /// refused.
    Enqueue {
        /// The most turns that may wait, up to 64.
        limit: usize,
    },
    /// The current answer and all waiting turns are cancelled, and then the message has its turn. The cancelled turns' requests
    /// are sent again together with it, since the relay does not store cancelled turns.
    Interrupt,
}

impl TurnOrder {
    /// Returns the policy that lets up to 8 turns wait.
    #[must_use]
    pub const fn enqueue() -> Self {
        Self::Enqueue { limit: 8 }
    }
}
