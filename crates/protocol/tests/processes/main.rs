//! Spawned processes: what is sent, what is read, and what real shells make of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod following;
mod replies;
mod requests;
mod shells;
mod support;
