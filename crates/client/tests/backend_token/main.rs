//! Tokens: the route that gives them to browsers, and clients that hold one in place of a key.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod credentials;
mod handler;
mod local_relay;
mod refusals;
mod renewal;
mod support;
mod token_urls;
