//! Tokens: short-lived credentials with which a browser talks to the relay.

mod create;
mod lifetime;

pub use create::{CreateToken, Token};
pub use lifetime::TokenLifetime;
