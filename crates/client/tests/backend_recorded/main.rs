//! Replays of answers from their start: on the same server and on another, during the run and after its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admission;
mod costs;
mod failing;
mod full;
mod instances;
mod outages;
mod overflowing;
mod recovering;
mod replaying;
mod stopping;
mod store;
mod supervising;
mod support;
mod turns;
