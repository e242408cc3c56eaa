use http::HeaderMap;

/// How many requests the relay takes, and how many more it would have taken when it responded.
///
/// From the headers `x-ratelimit-limit` and `x-ratelimit-remaining`, which its errors carry. They count per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many it takes in a window, whose length it does not tell.
    pub limit: u64,
    /// How many more it would have taken. `None` where it does not say.
    pub remaining: Option<u64>,
}

impl RateLimit {
    /// Reads the headers of a response; `None` if there is no limit among them, or none that is a number.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Some(Self {
            limit: number("x-ratelimit-limit")?,
            remaining: number("x-ratelimit-remaining"),
        })
    }
}
