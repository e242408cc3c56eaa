//! Runs that are followed over real connections. The local relay causes the faults, and the tests check what a user of the client
//! sees.
//!
//! The rules of following belong to the protocol crate, whose tests `following` need no sockets. The tests here need a connection
//! that breaks off, several clients, or the client's own errors.

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
