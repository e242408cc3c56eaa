//! With what a client says who it is: a key, or tokens that it gets and renews.

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
