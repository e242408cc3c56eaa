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

use crate::answers::{Answer, AnswerBody, Refusal, empty, json as answer, unless_known};
use crate::auth::Caller;
use crate::faults::{Breaker, Connection, FaultyBody};
use crate::relay::Relay;
use crate::request::{Call, Payload};
use crate::router;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(5);

/// How many streams of HTTP/2 a connection may have at once.
const STREAMS: u32 = 200;

/// Takes connections until it is told to stop, and then drops them.
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
            // Too many open files, most likely; some will be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Chunks of a stream are small and have to go out at once.
        socket.set_nodelay(true).ok();
        let (socket, breaker) = Connection::new(socket);
        let relay = Arc::clone(relay);
        let service = {
            let relay = Arc::clone(&relay);
            service_fn(move |request| respond(Arc::clone(&relay), breaker.clone(), request))
        };
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

/// Serves a connection to its end, or to the end of what is under way on it when the relay is restarted.
async fn until_restarted(connection: impl GracefulConnection, relay: Arc<Relay>) {
    let mut connection = pin!(connection);
    // How a connection ends is the client's business.
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
    let (method, asked) = (request.method().clone(), request.headers().clone());
    let is_preflight = method == Method::OPTIONS;
    let route = router::route(&request);
    let mut answer = if is_preflight {
        empty(StatusCode::NO_CONTENT)
    } else {
        // A task of its own: what was asked for is done, also when the client has left.
        let (answer, answered) = oneshot::channel();
        relay.spawn({
            let (relay, route) = (Arc::clone(&relay), route.clone());
            async move {
                let handled = handle(relay, route.as_ref(), request).await;
                answer.send(handled.unwrap_or_else(Answer::from)).ok();
            }
        });
        let answer = answered.await.unwrap_or_else(|_| Refusal::crash().into());
        unless_known(answer, &method, &asked)
    };
    let headers = answer.headers_mut();
    headers.extend(cors);
    headers
        .entry(header::CONNECTION)
        .or_insert(HeaderValue::from_static("keep-alive"));
    let streams_run = headers.contains_key("x-vercel-ai-ui-message-stream");
    if !streams_run {
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
    }
    let due = relay.faults.of_body(route.as_ref(), streams_run);
    Ok(answer.map(|body| FaultyBody::new(body, due, breaker)))
}

/// The steps every request goes through, in the relay's order: its body is read, then it is asked who sends it.
async fn handle(
    relay: Arc<Relay>,
    route: Option<&Route>,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path == "/health" && head.method == Method::GET {
        let now = Timestamp::from(SystemTime::now());
        let health = json!({ "status": "ok", "timestamp": now });
        return Ok(answer(StatusCode::OK, &health));
    }
    let payload = Payload::read(&head.headers, body).await?;
    if let Some(answer) = relay.faults.answer(route) {
        return Ok(answer.map(AnswerBody::Bytes));
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

/// What lets a browser in, with credentials. The relay says it to every origin; here a page of any site would have the
/// commands of this machine.
fn cors(method: &Method, asked: &HeaderMap, origins: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let is_let_in = |origin: &&HeaderValue| {
        origin.to_str().is_ok_and(|origin| {
            is_of_this_machine(origin) || origins.iter().any(|allowed| allowed == origin)
        })
    };
    if let Some(origin) = asked.get(header::ORIGIN).filter(is_let_in) {
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
        if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    headers
}

/// Whether an origin is a web server on loopback.
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
    is_loopback && !authority.as_str().contains('@')
}
