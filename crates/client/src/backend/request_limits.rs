use std::time::Duration;

use twentyfirst_protocol::browser::ChatLimits;

/// How much of a browser's request is read, and how long that may take.
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
    /// How long a body may be, in bytes. A longer one is refused with 413. Default: 10 MiB, as the relay takes no more.
    pub body: usize,
    /// How long a body may take as a whole. A slower one is refused with 408. Default: 2 min.
    pub time: Duration,
    /// How long nothing of a body may come. A slower one is refused with 408. Default: 20 s.
    pub idle: Duration,
    /// How many messages and parts of a chat are read. More are refused with 413.
    pub chat: ChatLimits,
}

impl RequestLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            body: 10 * 1024 * 1024,
            time: Duration::from_secs(120),
            idle: Duration::from_secs(20),
            chat: ChatLimits::new(),
        }
    }

    /// Sets how long a body may be, in bytes.
    pub const fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// Sets how long a body may take as a whole.
    pub const fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets how long nothing of a body may come.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets how many messages a conversation may have.
    pub const fn messages(mut self, messages: usize) -> Self {
        self.chat = self.chat.messages(messages);
        self
    }

    /// Sets how many parts of messages are read.
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
