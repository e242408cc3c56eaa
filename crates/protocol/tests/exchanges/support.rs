//! The recorded exchanges with the relay: `data/recordings/relay.jsonl`, one a line.

use http::response::Parts;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::Value;
use twentyfirst_protocol::Body;

/// A recorded exchange.
#[derive(Deserialize)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) request: RecordedRequest,
    pub(crate) response: RecordedResponse,
}

#[derive(Deserialize)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: serde_json::Map<String, Value>,
    pub(crate) body: Value,
}

#[derive(Deserialize)]
pub(crate) struct RecordedResponse {
    pub(crate) status: u16,
    pub(crate) headers: serde_json::Map<String, Value>,
    #[serde(default)]
    pub(crate) body: Value,
}

/// Returns all of them.
pub(crate) fn recordings() -> Vec<Recording> {
    include_str!("../data/recordings/relay.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the one with this name.
pub(crate) fn recording(name: &str) -> Recording {
    let mut found: Vec<_> = recordings()
        .into_iter()
        .filter(|recording| recording.name == name)
        .collect();
    assert_eq!(found.len(), 1, "recordings named {name:?}");
    found.remove(0)
}

impl RecordedResponse {
    pub(crate) fn head(&self) -> Parts {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value.as_str().unwrap());
        }
        response.body(()).unwrap().into_parts().0
    }

    /// Returns the body. The recordings hold JSON instead of text, and `{"base64": …}` for binary content.
    pub(crate) fn body(&self) -> Vec<u8> {
        match &self.body {
            Value::Null => Vec::new(),
            Value::String(text) if !self.is_json() => text.clone().into_bytes(),
            json => serde_json::to_vec(json).unwrap(),
        }
    }

    fn is_json(&self) -> bool {
        self.headers
            .get("content-type")
            .and_then(Value::as_str)
            .is_some_and(|value| value.contains("json"))
    }
}

impl RecordedRequest {
    /// Returns the request as a server receives it.
    pub(crate) fn to_request(&self) -> Request<Body> {
        let mut request = Request::builder()
            .method(Method::from_bytes(self.method.as_bytes()).unwrap())
            .uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_str().unwrap());
        }
        let body = match &self.body {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            json => serde_json::to_vec(json).unwrap(),
        };
        request.body(Body::from(body)).unwrap()
    }
}
