use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, USER_AGENT};
use http::{Request, Response, Version};
use twentyfirst_protocol::flow::SendRequest;
use twentyfirst_protocol::{ApiKey, BaseUrl, InvalidRequest, Redactor, Route, Timeouts};
use twentyfirst_transport::{
    Attempt, Body, ResponseFuture, RouteTemplate, Runtime, SharedTransport, StageTimeouts,
    Transport,
};

use crate::credentials::Credential;
use crate::error::Error;
use crate::telemetry;
use crate::thread_lists::ThreadLists;

/// The relay, shared by all clones of a client: its URL, the credential, and the transport.
pub(crate) struct Relay {
    pub(crate) credential: Credential,
    pub(crate) base_url: BaseUrl,
    pub(crate) transport: SharedTransport,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) user_agent: HeaderValue,
    pub(crate) response_limit: usize,
    #[cfg(feature = "tracing")]
    pub(crate) trace_contents: bool,
    pub(crate) thread_lists: ThreadLists,
}

/// The most bytes that are read of the body of an error response. The relay's own errors are shorter.
pub(crate) const ERROR_BODY: usize = 1024 * 1024;

impl Relay {
    /// Begins to send the request of a flow.
    pub(crate) fn begin(&self, send: SendRequest) -> Result<ResponseFuture, InvalidRequest> {
        let SendRequest {
            mut request,
            timeouts,
            attempt,
            ..
        } = send;
        telemetry::attempt(request.extensions().get::<Route>(), attempt);
        request.extensions_mut().insert(Attempt(attempt));
        let request = self.prepare(request.map(|body| Body::from(body.into_bytes())), timeouts)?;
        Ok(self.transport.send(request))
    }

    /// Completes a request for this relay: adds the base URL, headers, the credential and timeouts.
    fn prepare(
        &self,
        mut request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Request<Body>, InvalidRequest> {
        // For the spans of the transport, which must not show ids.
        if let Some(route) = request.extensions().get::<Route>() {
            let template = RouteTemplate(route.path);
            request.extensions_mut().insert(template);
        }
        *request.uri_mut() = self.base_url.join(request.uri())?;
        // The transport's own choice: a request that is passed on may have come over another version.
        *request.version_mut() = Version::default();
        let headers = request.headers_mut();
        headers
            .entry(USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        // Nothing here decodes another coding.
        headers
            .entry(ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static("identity"));
        self.credential.authorize(&mut request);
        let mut limits = StageTimeouts::default();
        // The transport has a default of its own for a missing value. So "no limit" has to be written as a value.
        limits.connect = Some(timeouts.connect.unwrap_or(Duration::MAX));
        limits.send = timeouts.silence;
        limits.head = timeouts.head;
        limits.read = timeouts.silence;
        limits.total = timeouts.total;
        request.extensions_mut().insert(limits);
        Ok(request)
    }

    /// Sends a request once.
    pub(crate) async fn exchange(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, Error> {
        let request = self.prepare(request, timeouts)?;
        Ok(self.transport.send(request).await?)
    }

    /// Masks the key or the tokens in a text from the relay.
    pub(crate) fn mask(&self, text: &str) -> String {
        let secrets = self.secrets();
        Redactor::new(secrets.iter().map(ApiKey::expose)).redact(text)
    }

    /// Returns the secrets that must never be shown: the key, or the tokens that calls under way may use.
    pub(crate) fn secrets(&self) -> Vec<ApiKey> {
        self.credential.secrets()
    }
}
