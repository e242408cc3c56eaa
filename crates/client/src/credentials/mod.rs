//! The credentials of a client: a key, or tokens that it fetches and renews.
//!
//! ```text
//!   request ─► WithTokens ─► TokenCache ─┬─ has a token that is not due ────────────────────────┬─► sent with the token
//!                  ▲                     └─ has none, or a due one: one shared refresh, Fetch ──┘              │
//!                  └─── 401: once more with another token, if the body can be repeated ────────────────────────┘
//! ```

mod credential;
mod token_cache;
mod token_error;
mod token_url;
mod with_tokens;

pub(crate) use credential::Credential;
pub(crate) use token_cache::{Fetch, TokenCache};
pub use token_error::TokenError;
pub use token_url::TokenUrl;
pub(crate) use with_tokens::WithTokens;
