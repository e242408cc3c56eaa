//! The HTTP server: connections, and the steps that every request goes through.
//!
//! ```text
//!   connection ─► respond ─► handle, on a task of its own ─► CORS, ETag, keep-alive ─► FaultyBody ─► connection
//!                              │
//!                              └─ /health ─► read JSON ─► fault in its place? ─► guarded path? ─► caller ─► route
//! ```
//!
//! The order of the steps is the relay's, which clients see by the error that comes first.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use twentyfirst_protocol::{Route, Timestamp};

use crate::auth::Caller;
use crate::faults::{Breaker, Connection, FaultyBody};
use crate::relay::Relay;
use crate::request::{Call, Payload};
use crate::responses::{Refusal, RelayResponse, ResponseBody, empty, json_response, unless_known};
use crate::router;

/// The time limit for the headers of the next request on a connection.
const IDLE: Duration = Duration::from_secs(5);

/// The maximum number of concurrent HTTP/2 streams on a connection.
const STREAMS: u32 = 200;

/// Accepts connections until `stopped` fires, and then drops them.
pub(crate) async fn serve(
    listener: TcpListener,
    relay: &Arc<Relay>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        let Ok((socket, _)) = accepted else {
            // Most likely there are too many open files. Wait until some are closed, instead of spinning.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Send the small chunks of a stream at once.
        socket.set_nodelay(true).ok();
        let (socket, breaker) = Connection::new(socket);
        let relay = Arc::clone(relay);
        let service = {
            let relay = Arc::clone(&relay);
            service_fn(move |request| respond(Arc::clone(&relay), breaker.clone(), request))
        };
        // Collect ended connections, which would otherwise add up.
        while connections.try_join_next().is_some() {}
        let socket = TokioIo::new(socket);
        if relay.speaks_http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .serve_connection(socket, service);
            connections.spawn(until_restarted(connection, relay));
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .serve_connection(socket, service);
            connections.spawn(until_restarted(connection, relay));
        }
    }
    connections.shutdown().await;
}

/// Serves a connection to its end. A restart ends it after the requests under way.
async fn until_restarted(connection: impl GracefulConnection, relay: Arc<Relay>) {
    let mut connection = pin!(connection);
    // Errors of a connection are ignored: they concern the client only.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = relay.restarted() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
}

async fn respond(
    relay: Arc<Relay>,
    breaker: Breaker,
    request: Request<Incoming>,
) -> Result<Response<FaultyBody>, Infallible> {
    let cors = cors(request.method(), request.headers(), &relay.origins);
    let (method, request_headers) = (request.method().clone(), request.headers().clone());
    let is_preflight = method == Method::OPTIONS;
    let route = router::route(&request);
    let mut response = if is_preflight {
        empty(StatusCode::NO_CONTENT)
    } else {
        // On a task of its own: the relay completes a request even if the client has left.
        let (response, responded) = oneshot::channel();
        relay.spawn({
            let (relay, route) = (Arc::clone(&relay), route.clone());
            async move {
                let handled = handle(relay, route.as_ref(), request).await;
                response
                    .send(handled.unwrap_or_else(RelayResponse::from))
                    .ok();
            }
        });
        let response = responded.await.unwrap_or_else(|_| Refusal::crash().into());
        unless_known(response, &method, &request_headers)
    };
    let headers = response.headers_mut();
    headers.extend(cors);
    headers
        .entry(header::CONNECTION)
        .or_insert(HeaderValue::from_static("keep-alive"));
    let streams_run = headers.contains_key("x-vercel-ai-ui-message-stream");
    // Not on streams, as at the relay.
    if !streams_run {
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
    }
    let due = relay.faults.of_body(route.as_ref(), streams_run);
    Ok(response.map(|body| FaultyBody::new(body, due, breaker)))
}

/// Handles a request in the relay's order: it reads the body before it identifies the caller.
async fn handle(
    relay: Arc<Relay>,
    route: Option<&Route>,
    request: Request<Incoming>,
) -> Result<RelayResponse, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path == "/health" && head.method == Method::GET {
        let now = Timestamp::from(SystemTime::now());
        let health = json!({ "status": "ok", "timestamp": now });
        return Ok(json_response(StatusCode::OK, &health));
    }
    let payload = Payload::read(&head.headers, body).await?;
    if let Some(response) = relay.faults.replacement(route) {
        return Ok(response.map(ResponseBody::Bytes));
    }
    let is_guarded = ["/v1/sandboxes", "/v1/chat", "/v1/tokens", "/v1/mcp/vaults"]
        .iter()
        .any(|prefix| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    if !is_guarded {
        return Err(Refusal::no_route(&head.method, path));
    }
    let caller = Caller::identify(&head.headers, &relay)?;
    router::dispatch(Call {
        relay,
        caller,
        head,
        payload,
    })
    .await
}

/// Returns the CORS headers, which give an origin access with credentials.
///
/// The relay gives access to every origin. Here, that would let a page of any site run commands on this machine.
fn cors(method: &Method, request_headers: &HeaderMap, origins: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let has_access = |origin: &&HeaderValue| {
        origin.to_str().is_ok_and(|origin| {
            is_of_this_machine(origin) || origins.iter().any(|allowed| allowed == origin)
        })
    };
    if let Some(origin) = request_headers.get(header::ORIGIN).filter(has_access) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    if method == Method::OPTIONS {
        headers.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Headers"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
        );
        if let Some(wanted) = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    headers
}

/// Returns whether an origin is a web server on loopback.
fn is_of_this_machine(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    let host = authority.host();
    let is_loopback = host == "localhost"
        || host == "[::1]"
        || host.parse().is_ok_and(|host: Ipv4Addr| host.is_loopback());
    // No browser sends an origin with a user: refuse what only looks like this machine.
    is_loopback && !authority.as_str().contains('@')
}
