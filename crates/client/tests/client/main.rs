//! The client over transports that respond from a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod codings;
mod environment;
mod errors;
mod lengths;
mod node_sdk;
mod odd_relays;
mod retries;
mod runs;
mod support;
