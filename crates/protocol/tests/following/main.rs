//! Runs are followed at a relay in a time of its own: one story a rule, one file a phase.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancelling;
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
mod told;
mod verifying;
