//! A transport that responds from a closure and records the requests.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::CallOptions;
use twentyfirst_client::protocol::retry::RetryPolicy;
use twentyfirst_client::transport::{Body, from_fn};

/// A request, as it left the client.
#[derive(Debug, Clone)]
pub(crate) struct SentRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The requests of a client, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<SentRequest>>>);

impl Log {
    pub(crate) fn take(&self) -> Vec<SentRequest> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn push(&self, request: SentRequest) {
        self.0.lock().unwrap().push(request);
    }
}

/// Returns a client whose requests get their responses from this function, and the log of its requests. It retries nothing.
pub(crate) fn client(
    base_url: &str,
    respond: impl Fn(&SentRequest) -> Response<Body> + Send + Sync + 'static,
) -> (AgentClient, Log) {
    let log = Log::default();
    let seen = log.clone();
    let respond = Arc::new(respond);
    let transport = from_fn(move |request: Request<Body>| {
        let (seen, respond) = (seen.clone(), Arc::clone(&respond));
        async move {
            let (head, body) = request.into_parts();
            let request = SentRequest {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                headers: head.headers,
                body: body.collect_up_to(usize::MAX).await?.to_vec(),
            };
            let response = respond(&request);
            seen.push(request);
            Ok(response)
        }
    });
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .base_url(base_url)
        .transport(transport)
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build();
    (client.unwrap(), log)
}

pub(crate) fn json(status: u16, body: impl ToString) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

pub(crate) fn event_stream(body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body.into())
        .unwrap()
}
