//! Tracing of exchanges.

#[cfg(feature = "tracing")]
mod with_tracing;

#[cfg(feature = "tracing")]
pub use self::with_tracing::WithTracing;

/// The template of a request's path, such as `/v1/sandboxes/{sandboxId}`: an extension of the request, for the spans of
/// `WithTracing` (feature `tracing`). Unlike the path it identifies no one and has few values.
///
/// Deliberately exhaustive: senders of requests construct it, and it has one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteTemplate(pub &'static str);

/// The number of a request's attempt, from 1: an extension of the request, for the spans of
/// `WithTracing` (feature `tracing`).
///
/// Deliberately exhaustive: senders of requests construct it, and it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt(pub u32);
