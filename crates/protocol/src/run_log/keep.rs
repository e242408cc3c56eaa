use std::time::Duration;

/// The way in which a store keeps a log from an append on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// Whether to create the log if it does not exist. A log that has vanished must not be created again, since it would lack its
    /// beginning.
    pub create: bool,
    /// The time to live of the log. Each append starts it again.
    pub ttl: Duration,
    /// Whether the log is complete. A store that runs out of space should evict such logs first.
    pub is_over: bool,
}

impl Keep {
    /// Keeps an existing log for this time.
    #[must_use]
    pub const fn existing(ttl: Duration) -> Self {
        Self {
            create: false,
            ttl,
            is_over: false,
        }
    }

    /// Also creates the log if it does not exist.
    #[must_use]
    pub const fn or_create(mut self) -> Self {
        self.create = true;
        self
    }

    /// Also marks the log as complete.
    #[must_use]
    pub const fn over(mut self) -> Self {
        self.is_over = true;
        self
    }
}
