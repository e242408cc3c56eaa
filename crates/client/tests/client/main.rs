//! The client over transports that answer from a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod errors;
mod node_sdk;
mod retries;
mod runs;
mod support;
