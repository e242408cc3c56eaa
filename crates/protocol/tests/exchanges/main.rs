//! Requests and responses, compared with recordings of the relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod content_coding;
mod empty_files;
mod errors;
mod follow;
mod invalid;
mod messages;
mod operations;
mod parts;
mod properties;
mod recordings;
mod retry;
mod retry_after;
mod session;
mod start;
mod stored_differently;
mod stored_messages;
mod support;
mod tolerant;
