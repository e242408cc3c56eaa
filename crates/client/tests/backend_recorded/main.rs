//! Answers that replay from their start: on the same server and on another, while they are written and behind their end.

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
