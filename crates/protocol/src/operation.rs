use std::convert::Infallible;

use http::response::Parts;
use http::{HeaderMap, Method, Request, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, InvalidRequest, InvalidResponse, ResponseError};
use crate::options::Timeouts;
use crate::route::Route;
use crate::{Body, Secret, Secrets, tolerant};

/// The request side of an operation: a plain struct whose fields are the members of the request.
///
/// The members that the [route](Self::ROUTE) names travel in the path or the query. All others travel in the JSON body. Users
/// build this struct, servers read it, and tests print it.
pub trait Endpoint: Serialize + DeserializeOwned {
    /// The method, the path and the query parameters.
    const ROUTE: Route;

    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// The relay would refuse, misread or ignore a member. The error names the first such member.
    fn validate(&self) -> Result<(), InvalidRequest> {
        Ok(())
    }

    /// Returns whether the request may be sent again. Default: GET and DELETE may, other methods may not.
    fn safety(&self) -> Safety {
        match Self::ROUTE.method {
            Method::GET | Method::DELETE => Safety::Repeatable,
            _ => Safety::Once,
        }
    }

    /// Returns the timeouts of the request. Default: 60 s in total.
    fn timeouts(&self) -> Timeouts {
        Timeouts::ordinary()
    }

    /// Returns the values in this request that no error may show.
    fn secrets(&self) -> Secrets {
        Secrets::default()
    }

    /// Creates the request, with path and query only. The client adds the base URL and the authorization.
    ///
    /// # Errors
    /// An error of [`validate`](Self::validate), an id that cannot be a path segment, or a body over 10 MiB.
    fn to_request(&self) -> Result<Request<Body>, InvalidRequest> {
        self.validate()?;
        Self::ROUTE.request(self)
    }

    /// Reads the operation from a request: the inverse of [`to_request`](Self::to_request), for servers.
    ///
    /// It does not [validate](Self::validate): the server chooses its own response to an invalid request.
    ///
    /// # Errors
    /// The request belongs to another route, or its members cannot be read.
    fn from_request(request: &Request<Body>) -> Result<Self, InvalidRequest> {
        Self::ROUTE.operation(request)
    }
}

/// The rule for sending a request a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Safety {
    /// Sending it again has no further effect.
    Repeatable,
    /// Sending it again would act, and cost, a second time. Retried only if the first attempt was certainly not processed.
    Once,
    /// Never retried outside its own flow: resuming and cancelling a run name a sandbox, not a run, so a retry could reach a
    /// later run.
    FlowOnly,
}

/// One request and its whole response.
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
    /// The result of a successful response.
    type Output;

    /// Decodes the response.
    ///
    /// A member that is missing, `null` or of another type than documented is read as unknown. A list element that cannot be read
    /// is left out. Only members that give the response its meaning are required, such as the id of a new sandbox.
    ///
    /// # Errors
    /// An error response, or an invalid one. Both errors carry the status, and mask the secrets of this operation.
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// One request whose response may have a long or endless body: its head is decoded before the body is read.
pub trait StreamingOperation: Endpoint {
    /// The result of a successful response.
    type Output;

    /// Decodes the head.
    fn decode_head(&self, head: &Parts) -> Head<Self::Output>;

    /// Decodes a whole response, after [`decode_head`](Self::decode_head) has returned [`Head::Read`].
    ///
    /// # Errors
    /// As [`Operation::decode`].
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// The result of decoding a response head: whether to read the body.
///
/// Deliberately exhaustive: the sender of the request must handle each variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head<T> {
    /// The result, which the head alone gives. Leave the body open: whoever needs its content reads it as it arrives.
    Open(T),
    /// Read the whole body, then call [`StreamingOperation::decode`].
    Read,
}

/// One request whose body is not held in memory.
///
/// [`Endpoint::to_request`] returns the request with an empty body; the sender fills it in.
pub trait UploadOperation: Endpoint {
    /// The result of a successful response.
    type Output;

    /// Returns the length of the body in bytes, if it is known.
    fn length(&self) -> Option<u64>;

    /// Decodes the response.
    ///
    /// # Errors
    /// As [`Operation::decode`].
    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Self::Output, ResponseError>;
}

/// Decodes a response with `read` if its status is a success, and as an error otherwise.
///
/// For operations of your own whose response [`decode_json`] cannot read.
///
/// # Errors
/// An [`ApiError`] for any status but 2xx; otherwise the error of `read`. A body with a content coding, such as `gzip`, is an
/// [`InvalidResponse`], because requests ask for none. Every error masks the secrets of `endpoint`.
pub fn decode_with<E: Endpoint, T>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, InvalidResponse>,
) -> Result<T, ResponseError> {
    decode_status(endpoint, head, body, || {
        if !body.is_empty()
            && let Some(problem) = unreadable_coding(&head.headers)
        {
            return Err(InvalidResponse::new(head, problem, b""));
        }
        read(body)
    })
}

/// Decodes a response whose body should have been a stream.
pub(crate) fn decode_no_stream<E: Endpoint>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
    expected: &'static str,
) -> ResponseError {
    let result = decode_status(endpoint, head, body, || -> Result<Infallible, _> {
        Err(match unreadable_coding(&head.headers) {
            Some(problem) => InvalidResponse::new(head, problem, b""),
            None => InvalidResponse::new(head, expected, body),
        })
    });
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Decodes a response with `read` if its status is a success, and as an error otherwise. Masks secrets in errors.
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
        // A response may bring a secret of its own, such as a new token.
        secrets.add_json(body);
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        error.redacted(&secrets)
    })
}

/// Returns the problem with a body that has a content coding (RFC 9110, section 8.4): this crate decodes none. `None` if it has no
/// coding.
///
/// `identity` is not a coding. Neither is `none`, which the relay sends with its streams.
pub(crate) fn unreadable_coding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<_> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|coding| String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
        .filter(|coding| !matches!(coding.as_str(), "" | "identity" | "none"))
        .collect();
    (!codings.is_empty()).then(|| {
        let codings = codings.join(", ");
        format!("its content-encoding is {codings}, and only identity was asked for")
    })
}

/// Decodes a response whose body is the JSON of `T`.
///
/// Tolerates defects that strict parsers refuse: half a surrogate pair becomes U+FFFD, and a control character in a string stands
/// for itself.
///
/// # Errors
/// As [`decode_with`]. A body that is not `T` is an [`InvalidResponse`].
pub fn decode_json<E: Endpoint, T: DeserializeOwned>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
) -> Result<T, ResponseError> {
    decode_with(endpoint, head, body, |body| {
        tolerant::from_slice(body).map_err(|error| InvalidResponse::new(head, error, body))
    })
}

/// Decodes a response whose status is its only result.
pub(crate) fn decode_empty<E: Endpoint>(
    endpoint: &E,
    head: &Parts,
    body: &[u8],
) -> Result<(), ResponseError> {
    decode_status(endpoint, head, body, || Ok(()))
}
