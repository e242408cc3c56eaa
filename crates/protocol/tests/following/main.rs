//! Follows runs at a simulated relay with virtual time: one story for each rule, one file for each phase.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancelling;
mod followed;
mod joining;
mod lines;
mod reading;
mod reconnecting;
mod relay;
mod repeating;
mod replaying;
mod resuming;
mod settling;
mod stored;
mod verifying;
