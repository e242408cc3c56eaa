use std::time::Duration;

/// How a store keeps a log, from an append on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// Whether the log is made where there is none. Otherwise a log that has vanished stays so: it would come back without its
    /// beginning.
    pub create: bool,
    /// How long the log is kept from now on. Each append counts anew.
    pub ttl: Duration,
    /// Whether nothing more is expected: a store that runs out of room lets go of such logs first.
    pub is_over: bool,
}

impl Keep {
    /// Keeps a log that is there for so long.
    #[must_use]
    pub const fn existing(ttl: Duration) -> Self {
        Self {
            create: false,
            ttl,
            is_over: false,
        }
    }

    /// The same, and makes the log where there is none.
    #[must_use]
    pub const fn or_create(mut self) -> Self {
        self.create = true;
        self
    }

    /// The same, of a log that is over.
    #[must_use]
    pub const fn over(mut self) -> Self {
        self.is_over = true;
        self
    }
}
