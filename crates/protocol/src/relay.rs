use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri};

use crate::error::{InvalidRequest, Problem};

/// The address of the relay: a scheme, a host and, behind a proxy, a path prefix.
///
/// ```
/// use twentyfirst_protocol::BaseUrl;
///
/// assert_eq!(BaseUrl::default().to_string(), "https://relay.an.dev");
/// assert_eq!(BaseUrl::new("http://127.0.0.1:8080/relay/")?.to_string(), "http://127.0.0.1:8080/relay");
/// assert!(BaseUrl::new("relay.an.dev").is_err());
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// The path prefix without a slash at its end. Empty if there is none.
    prefix: String,
}

impl BaseUrl {
    /// Parses a URL. A slash at its end is dropped.
    ///
    /// # Errors
    /// The URL is not an absolute `http` or `https` URL, has user information, a query or a fragment, or its port is not a number
    /// up to 65535.
    pub fn new(url: &str) -> Result<Self, InvalidRequest> {
        let wrong = |rule| InvalidRequest::new("base_url", Problem::MustBe(rule));
        if url.contains(['?', '#']) {
            return Err(wrong("a URL without query and fragment"));
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| wrong("an absolute http or https URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("an absolute http or https URL"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("an absolute http or https URL"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("a URL without user and password"));
        }
        let port = authority.as_str().strip_prefix(authority.host());
        if port.is_some_and(|port| port.len() > 1) && authority.port_u16().is_none() {
            return Err(wrong("a URL with a port of at most 65535"));
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        Ok(Self {
            scheme,
            authority,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the absolute URI for a path and query, such as those of an operation's request.
    ///
    /// # Errors
    /// The prefix, the path and the query together are longer than a URI can be: 65,534 bytes.
    pub fn join(&self, target: &Uri) -> Result<Uri, InvalidRequest> {
        let path_and_query = target.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.prefix))
            .build()
            .map_err(|_| InvalidRequest::uri_too_long())
    }

    /// Returns whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns the host, without the port.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Returns the port of the URL, or the default port of its scheme.
    pub fn port(&self) -> u16 {
        let of_scheme = if self.is_https() { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(of_scheme)
    }

    /// Returns whether the host is this machine: `localhost`, an address of 127.0.0.0/8, or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// The relay of 21st Agents: `https://relay.an.dev`.
impl Default for BaseUrl {
    fn default() -> Self {
        Self {
            scheme: Scheme::HTTPS,
            authority: Authority::from_static("relay.an.dev"),
            prefix: String::new(),
        }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidRequest;

    fn from_str(url: &str) -> Result<Self, InvalidRequest> {
        Self::new(url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An API key of 21st Agents (`21st_sk_…`, `an_sk_…`), or a token in its place.
///
/// `Debug` prints `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Creates a key.
    ///
    /// # Errors
    /// The key is empty, or contains anything but visible ASCII characters, such as a space or a line break. Such a key was copied
    /// or read wrongly. The error does not show it.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidRequest> {
        let key = key.into();
        if key.is_empty() {
            return Err(InvalidRequest::new("api_key", Problem::Empty));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidRequest::new(
                "api_key",
                Problem::MustContain("visible ASCII characters only, no spaces and no line breaks"),
            ));
        }
        Ok(Self(key))
    }

    /// Returns the key in plain text. Do not show or log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the value of the header `authorization`, marked as sensitive.
    pub fn authorization(&self) -> HeaderValue {
        let text = format!("Bearer {}", self.0);
        // Never the alternative: `new` has refused everything but visible ASCII.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// Adds the key to a request.
    pub fn authorize<B>(&self, request: &mut Request<B>) {
        request
            .headers_mut()
            .insert(http::header::AUTHORIZATION, self.authorization());
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A relay that knows its own address and a valid key, such as a local one in a test.
pub trait RelayAccess {
    /// Returns its base URL.
    fn base_url(&self) -> &str;

    /// Returns a key that it accepts.
    fn api_key(&self) -> &str;
}
