//! Spans for operations, with the feature `tracing`.

use twentyfirst_protocol::Route;

/// Wraps an operation with all its attempts in one span. The span has the method and the route, but no values of the request.
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
