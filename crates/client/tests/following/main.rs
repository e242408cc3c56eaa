//! Runs survive over real connections: what goes wrong is done by the local relay, what is shown is what a user of the client sees.
//!
//! The rules of following are the protocol's, and are tested there without sockets: see `following` among its tests. What is here needs a
//! connection that breaks off, several clients, or the client's own errors.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancelling;
mod cuts;
mod ends;
mod random;
mod refusals;
mod resuming;
mod sessions;
mod shared_lists;
mod silence;
mod support;
