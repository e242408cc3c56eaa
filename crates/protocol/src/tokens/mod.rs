//! Tokens: short-lived credentials that let a browser call the relay.

mod create;
mod lifetime;

pub use create::{CreateToken, Token};
pub use lifetime::TokenLifetime;
