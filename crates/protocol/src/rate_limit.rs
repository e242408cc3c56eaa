use http::HeaderMap;

/// The rate limit of the relay, and how much of it was left at the time of the response.
///
/// Read from the headers `x-ratelimit-limit` and `x-ratelimit-remaining`, which error responses carry. They count per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The number of requests allowed in a window of time. The relay does not report the length of the window.
    pub limit: u64,
    /// The number of requests left in the window. `None` if the relay does not report it.
    pub remaining: Option<u64>,
}

impl RateLimit {
    /// Reads the headers of a response; `None` if they have no limit, or one that is not a number.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Some(Self {
            limit: number("x-ratelimit-limit")?,
            remaining: number("x-ratelimit-remaining"),
        })
    }
}
