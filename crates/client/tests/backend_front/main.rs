//! A chat server as it is deployed: with layers around it, nginx before it, and HTTP/2.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod http2;
mod layers;
mod nginx;
mod support;
