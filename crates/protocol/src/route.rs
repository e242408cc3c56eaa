use std::fmt;

use http::{HeaderValue, Method, Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Body;
use crate::error::{InvalidRequest, Problem};
use crate::ids;
use crate::operation::Endpoint;

/// The characters to encode in a path segment and in a query value: everything but the unreserved characters of RFC 3986, section
/// 2.3. `/` is encoded too, so a value never becomes two segments.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The relay's limit for a JSON or blob body, in bytes. It responds to a longer JSON body with a misleading `400 invalid_json`.
pub(crate) const LONGEST_BODY: usize = 10 * 1024 * 1024;

/// The method and path of an endpoint, and the members that travel in its query.
///
/// Members named in `path` and `query` travel there, all others in the JSON body. Every request of an operation carries its route
/// as an extension, for logs and spans. Unlike the path of the request, the route contains no ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path, with members in braces: `/v1/sandboxes/{sandboxId}/files`.
    pub path: &'static str,
    /// The query parameters, in the order in which they are sent.
    pub query: &'static [Query],
}

/// A query parameter of a [`Route`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because users write it by hand with all its fields.
pub enum Query {
    /// The member of this name, as text. Omitted if the member is absent.
    Text(&'static str),
    /// The member of this name, a number or a boolean. Omitted if the member is absent.
    Json(&'static str),
    /// A constant name and value.
    Fixed(&'static str, &'static str),
}

/// A JSON object whose members keep their order and the text of their values.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Route {
    /// Creates a route for `GET`.
    pub const fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Creates a route for `POST`.
    pub const fn post(path: &'static str) -> Self {
        Self::new(Method::POST, path)
    }

    /// Creates a route for `PATCH`.
    pub const fn patch(path: &'static str) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// Creates a route for `DELETE`.
    pub const fn delete(path: &'static str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Creates a route with this method and path. Members stand in braces: `/v1/sandboxes/{sandboxId}/files`.
    pub const fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            query: &[],
        }
    }

    /// Sets the query parameters.
    #[must_use]
    pub const fn with_query(mut self, query: &'static [Query]) -> Self {
        self.query = query;
        self
    }

    /// Returns whether a request belongs to this route, by its method, path and fixed query parameters. For servers.
    pub fn matches<B>(&self, request: &Request<B>) -> bool {
        let fixed = |parameter: &Query| match parameter {
            Query::Fixed(name, value) => query_pairs(request.uri())
                .any(|(given_name, given)| given_name == *name && given == *value),
            Query::Text(_) | Query::Json(_) => true,
        };
        self.method == *request.method()
            && self.path_values(request.uri().path()).is_some()
            && self.query.iter().all(fixed)
    }

    /// Creates the request of an operation, with path and query only: no authority and no authorization.
    pub(crate) fn request<T: Endpoint>(
        &self,
        operation: &T,
    ) -> Result<Request<Body>, InvalidRequest> {
        let mut members = Members::of(operation)?;
        let uri = self.uri(&mut members)?;
        let has_body = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        if !has_body {
            // A member that is in neither the path nor the query would be lost silently.
            return match members.0.first() {
                None => Ok(self.build(operation, uri, None, Body::empty())),
                Some((name, _)) => Err(InvalidRequest::new(
                    in_rust(name),
                    Problem::UnknownParameter,
                )),
            };
        }
        let body = members.to_json()?;
        check_length(body.len(), || members.longest())?;
        Ok(self.build(operation, uri, Some("application/json"), Body::from(body)))
    }

    /// Creates the request of an operation whose body is not JSON.
    pub(crate) fn request_with_bytes<T: Endpoint>(
        &self,
        operation: &T,
        content: Body,
    ) -> Result<Request<Body>, InvalidRequest> {
        let mut members = Members::of(operation)?;
        let uri = self.uri(&mut members)?;
        check_length(content.len(), || "content".to_owned())?;
        Ok(self.build(operation, uri, Some("application/octet-stream"), content))
    }

    /// Reads an operation from its request: the inverse of [`request`](Self::request). A JSON body is read if there is one.
    pub(crate) fn operation<T: DeserializeOwned>(
        &self,
        request: &Request<Body>,
    ) -> Result<T, InvalidRequest> {
        let body = request.body().as_bytes();
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().get(..16))
            .is_some_and(|value| value.eq_ignore_ascii_case(b"application/json"));
        let mut members = match body {
            body if is_json && !body.is_empty() => {
                serde_json::from_slice(body).map_err(|error| {
                    InvalidRequest::new("body", Problem::Unreadable(error.to_string()))
                })?
            }
            _ => Members::default(),
        };
        if self.method != *request.method() {
            return Err(InvalidRequest::new("method", Problem::OtherRoute));
        }
        let path = self
            .path_values(request.uri().path())
            .ok_or_else(|| InvalidRequest::new("path", Problem::OtherRoute))?;
        // The path and the query win over members of the same name in the body.
        for (name, value) in path {
            members.set(name, text_to_raw(&value)?);
        }
        for parameter in self.query {
            let find = |name: &str| query_pairs(request.uri()).find(|(given, _)| given == name);
            match *parameter {
                Query::Fixed(name, value) if find(name).is_none_or(|(_, given)| given != value) => {
                    return Err(InvalidRequest::new(name, Problem::OtherRoute));
                }
                Query::Fixed(..) => {}
                Query::Text(name) => {
                    if let Some((_, value)) = find(name) {
                        members.set(name, text_to_raw(&value)?);
                    }
                }
                Query::Json(name) => {
                    if let Some((_, value)) = find(name) {
                        let raw = RawValue::from_string(value).map_err(|error| {
                            InvalidRequest::new(name, Problem::Unreadable(error.to_string()))
                        })?;
                        members.set(name, raw);
                    }
                }
            }
        }
        let json = members.to_json()?;
        serde_json::from_slice(&json)
            .map_err(|error| InvalidRequest::new("body", Problem::Unreadable(error.to_string())))
    }

    fn build<T: Endpoint>(
        &self,
        operation: &T,
        uri: Uri,
        content_type: Option<&'static str>,
        body: Body,
    ) -> Request<Body> {
        let mut request = Request::new(body);
        request.extensions_mut().insert(self.clone());
        request.extensions_mut().insert(operation.secrets());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        // This crate decodes no content coding. Without this header a server may choose any (RFC 9110, section 12.5.3).
        request.headers_mut().insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        if let Some(content_type) = content_type {
            let length = request.body().len();
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            // HTTP libraries omit the length of an empty body, and the relay refuses an upload without one.
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        request
    }

    fn uri(&self, members: &mut Members) -> Result<Uri, InvalidRequest> {
        let mut target = String::with_capacity(self.path.len() + 64);
        for piece in pieces(self.path) {
            target.push('/');
            match piece {
                Piece::Literal(literal) => target.push_str(literal),
                Piece::Member(name) => {
                    let value = members
                        .take_text(name)?
                        .ok_or_else(|| InvalidRequest::new(in_rust(name), Problem::Empty))?;
                    ids::check(name, &value).map_err(|error| {
                        InvalidRequest::new(in_rust(name), error.problem().clone())
                    })?;
                    target.extend(utf8_percent_encode(&value, SEGMENT));
                }
            }
        }
        let mut separator = '?';
        for parameter in self.query {
            let (name, value) = match *parameter {
                Query::Fixed(name, value) => (name, Some(value.to_owned())),
                Query::Text(name) => (name, members.take_text(name)?),
                Query::Json(name) => (name, members.take(name).map(|raw| raw.get().to_owned())),
            };
            if let Some(value) = value {
                target.push(separator);
                target.push_str(name);
                target.push('=');
                target.extend(utf8_percent_encode(&value, SEGMENT));
                separator = '&';
            }
        }
        // All reserved characters are encoded, so only the length can be invalid.
        target
            .try_into()
            .map_err(|_| InvalidRequest::uri_too_long())
    }

    /// Returns the decoded members in `path`, if it matches this route.
    fn path_values(&self, path: &str) -> Option<Vec<(&'static str, String)>> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let mut values = Vec::new();
        for piece in pieces(self.path) {
            let segment = segments.next()?;
            match piece {
                Piece::Literal(literal) if literal == segment => {}
                Piece::Literal(_) => return None,
                Piece::Member(_) if segment.is_empty() => return None,
                Piece::Member(name) => {
                    values.push((
                        name,
                        percent_decode_str(segment).decode_utf8().ok()?.into_owned(),
                    ));
                }
            }
        }
        segments.next().is_none().then_some(values)
    }
}

/// Prints the method and the path template, for logs and spans.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

enum Piece {
    Literal(&'static str),
    Member(&'static str),
}

fn pieces(path: &'static str) -> impl Iterator<Item = Piece> {
    path.split('/').skip(1).map(|piece| {
        match piece
            .strip_prefix('{')
            .and_then(|piece| piece.strip_suffix('}'))
        {
            Some(name) => Piece::Member(name),
            None => Piece::Literal(piece),
        }
    })
}

/// Returns the decoded names and values of a query. `+` is a space, as in HTML forms.
fn query_pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    uri.query().unwrap_or_default().split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// Checks the length of a body. `member` returns the name of its longest member, for the error.
fn check_length(length: usize, member: impl FnOnce() -> String) -> Result<(), InvalidRequest> {
    if length <= LONGEST_BODY {
        return Ok(());
    }
    let member = member();
    let instead = match member.as_str() {
        "content" => "use `WriteStream`, the client's `write_stream`, which takes any length",
        "files" => {
            "write them in several requests, and long ones with `WriteStream`, the client's `write_stream`"
        }
        "messages" => "leave out earlier messages, which the thread has stored",
        _ => "send less",
    };
    let limit = LONGEST_BODY;
    Err(InvalidRequest::new(
        member,
        Problem::BodyTooLong { limit, instead },
    ))
}

/// Converts the name of a member to the name of its field in Rust: `sandboxId` becomes `sandbox_id`.
fn in_rust(name: &str) -> String {
    let mut rust = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            rust.push('_');
        }
        rust.push(char.to_ascii_lowercase());
    }
    rust
}

fn text_to_raw(text: &str) -> Result<Box<RawValue>, InvalidRequest> {
    serde_json::value::to_raw_value(text)
        .map_err(|error| InvalidRequest::new("path", Problem::Unreadable(error.to_string())))
}

impl Members {
    /// Serializes `operation`. Its values never become a `serde_json::Value`, so that raw JSON in them stays as it is.
    fn of<T: Serialize>(operation: &T) -> Result<Self, InvalidRequest> {
        serde_json::to_string(operation)
            .and_then(|json| serde_json::from_str(&json))
            .map_err(|error| InvalidRequest::new("body", Problem::Unreadable(error.to_string())))
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        let (_, value) = self.0.remove(at);
        (value.get() != "null").then_some(value)
    }

    fn take_text(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        self.take(name)
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()
            .map_err(|error| InvalidRequest::new(name, Problem::Unreadable(error.to_string())))
    }

    /// Returns the name, in Rust, of the longest member.
    fn longest(&self) -> String {
        let longest = self.0.iter().max_by_key(|(_, value)| value.get().len());
        longest.map_or_else(|| "body".to_owned(), |(name, _)| in_rust(name))
    }

    fn set(&mut self, name: &str, value: Box<RawValue>) {
        self.0.retain(|(given, _)| given != name);
        self.0.push((name.to_owned(), value));
    }

    fn to_json(&self) -> Result<Vec<u8>, InvalidRequest> {
        let mut json = Vec::with_capacity(
            2 + self
                .0
                .iter()
                .map(|(k, v)| k.len() + v.get().len() + 4)
                .sum::<usize>(),
        );
        json.push(b'{');
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, name).map_err(|error| {
                InvalidRequest::new(name.clone(), Problem::Unreadable(error.to_string()))
            })?;
            json.push(b':');
            json.extend_from_slice(value.get().as_bytes());
        }
        json.push(b'}');
        Ok(json)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
