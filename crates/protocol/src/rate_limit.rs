use http::HeaderMap;

/// The rate limit of the relay, and the rest of it at the time of the response.
///
/// Read from the headers `x-ratelimit-limit` and `x-ratelimit-remaining`, which error responses carry. They count per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The number of requests in a window. The relay does not report its length.
    pub limit: u64,
    /// The number of further requests in the window. `None` if the relay does not report it.
    pub remaining: Option<u64>,
}

impl RateLimit {
    /// Reads the headers of a response; `None` if there is no limit, or it is not a number.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Some(Self {
            limit: number("x-ratelimit-limit")?,
            remaining: number("x-ratelimit-remaining"),
        })
    }
}
