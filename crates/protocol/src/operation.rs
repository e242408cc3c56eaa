use std::collections::BTreeMap;
use std::convert::Infallible;

use http::response::Parts;
use http::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, InvalidRequest, InvalidResponse, Problem, ResponseError};
use crate::options::Timeouts;
use crate::route::Route;
use crate::{Body, Secret, Secrets, content_coding, tolerant};

/// The request side of an operation: a plain struct whose members are the members of the request.
///
/// A member that the [route](Self::ROUTE) names travels in the path or the query, every other in the JSON body.
/// The same struct is what a user builds, what goes on the wire, what a server reads and what tests print.
pub trait Endpoint: Serialize + DeserializeOwned {
    /// Where it lies.
    const ROUTE: Route;

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first member that the relay would refuse, misread or ignore.
    fn validate(&self) -> Result<(), InvalidRequest> {
        Ok(())
    }

    /// Whether the request may be sent again. By default the method decides: GET and DELETE may.
    fn safety(&self) -> Safety {
        match Self::ROUTE.method {
            Method::GET | Method::DELETE => Safety::Repeatable,
            _ => Safety::Once,
        }
    }

    /// How long its parts may take; 60 s in all by default.
    fn timeouts(&self) -> Timeouts {
        Timeouts::ordinary()
    }

    /// The values in this request that no error may show.
    fn secrets(&self) -> Secrets {
        Secrets::default()
    }

    /// The request: path and query only. The client adds the base URL and the authorization.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) finds, an id that cannot be a path segment, a body over 10 MiB.
    fn to_request(&self) -> Result<Request<Body>, InvalidRequest> {
        self.validate()?;
        Self::ROUTE.request(self)
    }

    /// The operation that a request stands for: the inverse of [`to_request`](Self::to_request), for servers.
    ///
    /// It does not [validate](Self::validate), so that a server can answer as it likes.
    ///
    /// # Errors
    /// Where the request belongs to another route or its members cannot be read.
    fn from_request(request: &Request<Body>) -> Result<Self, InvalidRequest> {
        Self::ROUTE.operation(request)
    }
}

/// Whether a request may be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Safety {
    /// Sending it again changes nothing more.
    Repeatable,
    /// A second one would act, and cost, a second time: only when the first was surely never sent.
    Once,
    /// Only the flow that it belongs to can tell: resuming and cancelling a run name a sandbox, not a run.
    FlowOnly,
}

/// One exchange: a request and its whole answer.
///
/// ```
/// use twentyfirst_protocol::sandboxes::Exec;
/// use twentyfirst_protocol::{Endpoint, Operation, SandboxId};
///
/// let operation = Exec::new(SandboxId::new("sbx_abc123")?, "ls");
/// let request = operation.to_request()?;
/// assert_eq!(request.uri(), "/v1/sandboxes/sbx_abc123/exec");
///
/// // Send it with any HTTP client, then:
/// let (head, _) = http::Response::new(()).into_parts();
/// let output = operation.decode(&head, br#"{"exitCode":0,"stdout":"README.md\n","stderr":""}"#)?;
/// assert_eq!(output.stdout, "README.md\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Operation: Endpoint {
    /// What a successful answer means.
    type Output;

    /// Reads the answer.
    ///
    /// A member that is missing, `null` or not what was promised is read as unknown, and an element of a list that cannot
    /// be read is left out. Only what the answer means nothing without has to be there, such as the id of a new sandbox.
    ///
    /// # Errors
    /// An answer that says no, or one that is not understood. Either has the status; secrets of this operation are
    /// masked in it.
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// One exchange whose answer is decided by its head, since the body may be long or never end.
pub trait StreamingOperation: Endpoint {
    /// What a successful answer means.
    type Output;

    /// Reads the head.
    fn decode_head(&self, head: &Parts) -> Head<Self::Output>;

    /// Reads the answer of which [`decode_head`](Self::decode_head) said that its body is to be read first.
    ///
    /// # Errors
    /// As [`Operation::decode`].
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// What a head says about the body that follows.
///
/// Deliberately exhaustive: whoever sends the request must handle each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head<T> {
    /// The answer is this, and the body belongs to it: leave it open.
    Open(T),
    /// Read the whole body, then ask [`StreamingOperation::decode`].
    Read,
}

/// One exchange whose request body is not held in memory.
///
/// [`Endpoint::to_request`] gives the request with an empty body; whoever sends it puts the body in.
pub trait UploadOperation: Endpoint {
    /// What a successful answer means.
    type Output;

    /// The length of the body in bytes, where it is known.
    fn length(&self) -> Option<u64>;

    /// Reads the answer.
    ///
    /// # Errors
    /// As [`Operation::decode`].
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// Reads an answer: an error unless its status says success, else what `read` makes of it.
///
/// For operations of your own, beside [`decode_json`].
///
/// # Errors
/// An [`ApiError`] for any status but 2xx, with the secrets of `endpoint` masked; else what `read` returns. A body with
/// a content coding, such as `gzip`, is not understood: requests ask for none.
pub fn decode_with<E: Endpoint, T>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, InvalidResponse>,
) -> Result<T, ResponseError> {
    decode_status(endpoint, head, body, || {
        if !body.is_empty()
            && let Some(problem) = content_coding::unreadable(&head.headers)
        {
            return Err(InvalidResponse::new(head, problem, b""));
        }
        read(body)
    })
}

/// Reads a response of which an operation's own stream should have been the body.
pub(crate) fn decode_no_stream<E: Endpoint>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
    expected: &'static str,
) -> ResponseError {
    let result = decode_status(endpoint, head, body, || -> Result<Infallible, _> {
        Err(match content_coding::unreadable(&head.headers) {
            Some(problem) => InvalidResponse::new(head, problem, b""),
            None => InvalidResponse::new(head, expected, body),
        })
    });
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Reads a response: an error unless its status says success.
fn decode_status<E: Endpoint, T>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
    read: impl FnOnce() -> Result<T, InvalidResponse>,
) -> Result<T, ResponseError> {
    let result = if head.status.is_success() {
        read().map_err(ResponseError::from)
    } else {
        Err(ResponseError::from(Box::new(ApiError::new(head, body))))
    };
    result.map_err(|error| {
        let mut secrets = endpoint.secrets();
        // Also a token that the response brings.
        secrets.add_json(body);
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        error.redacted(&secrets)
    })
}

/// Reads an answer whose body is the JSON of `T`.
///
/// A detail for which strict parsers refuse the whole does not: half a surrogate pair becomes U+FFFD, a control character
/// in a string stands for itself.
///
/// # Errors
/// As [`decode_with`]; a body that is not `T` is not understood.
pub fn decode_json<E: Endpoint, T: DeserializeOwned>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
) -> Result<T, ResponseError> {
    decode_with(endpoint, head, body, |body| {
        tolerant::from_slice(body).map_err(|error| InvalidResponse::new(head, error, body))
    })
}

/// Reads an answer of which only the status counts.
pub(crate) fn decode_empty<E: Endpoint>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
) -> Result<(), ResponseError> {
    decode_status(endpoint, head, body, || Ok(()))
}

/// Checks the names of environment variables.
pub(crate) fn check_envs(envs: Option<&BTreeMap<String, Secret>>) -> Result<(), InvalidRequest> {
    let wrong = |name: &String| name.is_empty() || name.contains(['=', '\0']);
    if envs.is_some_and(|envs| envs.keys().any(wrong)) {
        let rule = "no name that is empty or has a `=` or a NUL in it";
        return Err(InvalidRequest::new("envs", Problem::MustHold(rule)));
    }
    Ok(())
}

/// The values of environment variables, which are secrets one and all.
pub(crate) fn values_of(envs: Option<&BTreeMap<String, Secret>>) -> Secrets {
    envs.into_iter()
        .flat_map(|envs| envs.values())
        .cloned()
        .collect()
}
