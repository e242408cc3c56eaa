//! Spawned processes: requests, replies, and the script in real shells.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod following;
mod replies;
mod requests;
mod shells;
mod support;
