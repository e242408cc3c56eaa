//! What is told of exchanges while they run.

#[cfg(feature = "tracing")]
mod with_tracing;

#[cfg(feature = "tracing")]
pub use self::with_tracing::WithTracing;

/// What a request's path is made from, `/v1/sandboxes/{sandboxId}`: an extension of the request, for the spans of
/// `WithTracing` (feature `tracing`). Unlike the path itself it names no one, and there are few of them.
///
/// Deliberately exhaustive: whoever sends a request writes it, and it names one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteTemplate(pub &'static str);

/// Which attempt at its exchange a request is, the first being 1: an extension of the request, for the spans of
/// `WithTracing` (feature `tracing`).
///
/// Deliberately exhaustive: whoever sends a request writes it, and it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt(pub u32);
