use std::time::Duration;

use twentyfirst_protocol::browser::ChatLimits;

/// The limits for reading a browser's request: the size of its body, and the time to read it.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_client::backend::{RequestLimits, TokenHandler};
/// # fn handler(tokens: TokenHandler) -> TokenHandler {
///
/// tokens.limits(RequestLimits::new().body(64 * 1024).idle(Duration::from_secs(5)))
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RequestLimits {
    /// The most bytes of a body. A longer one is refused with 413. Default: 10 MiB, the limit of the relay.
    pub body: usize,
    /// The time limit for a whole body. A slower one is refused with 408. Default: 2 min.
    pub time: Duration,
    /// The time limit between two pieces of a body. A slower one is refused with 408. Default: 20 s.
    pub idle: Duration,
    /// The most messages and parts of a conversation. More are refused with 413.
    pub chat: ChatLimits,
}

impl RequestLimits {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self {
            body: 10 * 1024 * 1024,
            time: Duration::from_secs(120),
            idle: Duration::from_secs(20),
            chat: ChatLimits::new(),
        }
    }

    /// Sets the most bytes of a body.
    pub const fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// Sets the time limit for a whole body.
    pub const fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets the time limit between two pieces of a body.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets the most messages of a conversation.
    pub const fn messages(mut self, messages: usize) -> Self {
        self.chat = self.chat.messages(messages);
        self
    }

    /// Sets the most parts of all messages of a conversation together.
    pub const fn parts(mut self, parts: usize) -> Self {
        self.chat = self.chat.parts(parts);
        self
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self::new()
    }
}
