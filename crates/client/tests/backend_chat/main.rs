//! Browsers that chat through a web server: what they get, and what the relay sees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admission;
mod bodies;
mod ends;
mod following;
mod guards;
mod leaving;
mod observing;
mod passing;
mod paths;
mod refusals;
mod resuming;
mod routes;
mod sessions;
mod silence;
mod support;
