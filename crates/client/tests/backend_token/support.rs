//! A relay that responds by a closure, and remembers the requests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::Timestamp;
use twentyfirst_client::protocol::tokens::Token;
use twentyfirst_client::transport::{Body, Error, FromFn, ResponseFuture, from_fn};

pub(crate) const KEY: &str = "an_sk_very_secret_key";

/// A request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Method, URL and body.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
}

impl Sent {
    /// The key or token that it was sent with.
    pub(crate) fn bearer(&self) -> &str {
        let value = self.headers[AUTHORIZATION].to_str().unwrap();
        value.strip_prefix("Bearer ").unwrap()
    }
}

/// The requests in the order of their arrival.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Sent>>>);

impl Log {
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Method, URL and body of each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|sent| sent.line).collect()
    }

    /// The key or token of each.
    pub(crate) fn bearers(&self) -> Vec<String> {
        let sent = self.take();
        sent.iter().map(|sent| sent.bearer().to_owned()).collect()
    }
}

/// A transport to a relay that responds by `respond`, after 10 ms.
pub(crate) fn relay(
    respond: impl Fn(&Sent) -> Result<Response<Body>, Error> + Send + Sync + 'static,
) -> (
    FromFn<impl Fn(Request<Body>) -> ResponseFuture + Send + Sync + 'static>,
    Log,
) {
    let log = Log::default();
    let (seen, respond) = (log.clone(), Arc::new(respond));
    let transport = from_fn(move |request: Request<Body>| {
        let (seen, respond) = (seen.clone(), Arc::clone(&respond));
        ResponseFuture::new(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_up_to(usize::MAX).await?;
            let body = String::from_utf8_lossy(&body);
            let sent = Sent {
                line: format!("{} {} {body}", head.method, head.uri)
                    .trim()
                    .to_owned(),
                headers: head.headers,
            };
            let response = respond(&sent);
            seen.0.lock().unwrap().push(sent);
            tokio::time::sleep(Duration::from_millis(10)).await;
            response
        })
    });
    (transport, log)
}

/// A server's client, with the key.
pub(crate) fn server(
    respond: impl Fn(&Sent) -> Result<Response<Body>, Error> + Send + Sync + 'static,
) -> (AgentClient, Log) {
    let (transport, log) = relay(respond);
    let client = AgentClient::builder().api_key(KEY).transport(transport);
    (client.build().unwrap(), log)
}

pub(crate) fn json(status: u16, body: impl ToString) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// A token that is valid for this time from now on.
pub(crate) fn token(name: &str, seconds: u64) -> Token {
    Token::new(name, SystemTime::now() + Duration::from_secs(seconds))
}

/// A token whose end is this text.
pub(crate) fn token_until(name: &str, end: &str) -> Token {
    let end: Timestamp = serde_json::from_value(end.into()).unwrap();
    Token::new(name, end)
}

/// An error with all of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(" <- ")
}
