//! Spans for operations, behind the feature `tracing`.

use twentyfirst_protocol::Route;

/// The span of an operation around the attempts at it. It names the method and the route, and nothing of what is in them.
#[cfg(feature = "tracing")]
pub(crate) fn operation<T>(
    route: &Route,
    call: impl Future<Output = T>,
) -> impl Future<Output = T> {
    use tracing::Instrument as _;

    call.instrument(tracing::info_span!(
        "operation",
        method = route.method.as_str(),
        route = route.path
    ))
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn operation<T>(_: &Route, call: impl Future<Output = T>) -> impl Future<Output = T> {
    call
}
