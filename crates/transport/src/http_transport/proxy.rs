//! Which requests go by way of a proxy.

use std::fmt;
use std::io;
use std::net::IpAddr;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::InvalidSetting;

/// The proxy that requests go through, if any.
///
/// Requests to `https` servers go through a tunnel (`CONNECT`), in which the proxy sees the server's name and nothing
/// else. Requests to `http` servers are given to the proxy as they are, with their whole URI, as HTTP has it
/// (RFC 9112, section 3.2.2) and as proxies expect it: many allow tunnels to port 443 only. Requests to this machine
/// itself (`localhost`, names below it, loopback addresses) never go through a proxy.
///
/// The proxy is an `http` or `https` URL; without a scheme it is `http`. Its user and password, percent-encoded where
/// need be, are sent to it as `Basic` authorization, and never shown.
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    None,
    Environment,
    All { proxy: String, except: String },
}

impl Proxy {
    /// The proxy that the environment names when the transport is built: `HTTPS_PROXY` or `HTTP_PROXY` for the scheme
    /// of the server, `ALL_PROXY` where that is not set, and `NO_PROXY` for the servers that are reached without one
    /// (see [`all_except`](Self::all_except)). Names in lower case count, too, where the others are not set.
    ///
    /// This is the default. As with curl, a URL that cannot be used is as good as none; one of a `socks` proxy makes
    /// connecting fail. In a CGI script (`REQUEST_METHOD` is set) there is no proxy, because a request's own header
    /// could name one there.
    pub const fn from_env() -> Self {
        Self {
            kind: Kind::Environment,
        }
    }

    /// No proxy, whatever the environment says.
    pub const fn none() -> Self {
        Self { kind: Kind::None }
    }

    /// This proxy, whatever the environment says.
    ///
    /// # Errors
    /// Where it is not an `http` or `https` URL.
    pub fn all(proxy: &str) -> Result<Self, InvalidSetting> {
        Self::all_except(proxy, "")
    }

    /// This proxy, whatever the environment says, but not for some servers.
    ///
    /// They are listed as in `NO_PROXY`, separated by commas: a name (`example.com` or `.example.com`) stands for
    /// itself and all names below it, an address (`10.0.0.1`, `fd00::1`) for itself, an address with a length
    /// (`10.0.0.0/8`) for its network, and `*` for every server. Addresses match only where the request names one.
    ///
    /// # Errors
    /// Where the proxy is not an `http` or `https` URL.
    pub fn all_except(proxy: &str, except: &str) -> Result<Self, InvalidSetting> {
        let any = Uri::from_static("https://server.invalid/");
        let usable = Matcher::builder()
            .all(proxy)
            .build()
            .intercept(&any)
            .is_some_and(|proxy| is_http(proxy.uri()));
        if !usable {
            return Err(InvalidSetting::new("the proxy is not an http or https URL"));
        }
        Ok(Self {
            kind: Kind::All {
                proxy: proxy.to_owned(),
                except: except.to_owned(),
            },
        })
    }

    /// Reads the environment, if it is to be read.
    pub(super) fn build(&self) -> Proxies {
        Proxies {
            matcher: match &self.kind {
                Kind::None => Matcher::builder().build(),
                Kind::Environment => Matcher::from_env(),
                Kind::All { proxy, except } => Matcher::builder().all(proxy).no(except).build(),
            },
        }
    }
}

/// [`Proxy`] as it was when the transport was built.
pub(super) struct Proxies {
    matcher: Matcher,
}

/// How to get to a server.
pub(super) enum Route {
    Direct,
    Proxy(Intercept),
}

impl Proxies {
    pub(super) fn route(&self, server: &Uri) -> io::Result<Route> {
        match self.intercept(server) {
            None => Ok(Route::Direct),
            Some(proxy) if is_http(proxy.uri()) => Ok(Route::Proxy(proxy)),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the proxy is neither an http nor an https proxy",
            )),
        }
    }

    /// What a request must say to the proxy that reads it. A tunnel has been authorized when it was made.
    pub(super) fn authorization(&self, server: &Uri) -> Option<HeaderValue> {
        if server.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        self.intercept(server)?.basic_auth().cloned()
    }

    fn intercept(&self, server: &Uri) -> Option<Intercept> {
        if is_this_machine(server.host()?) {
            return None;
        }
        self.matcher.intercept(server)
    }
}

fn is_http(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
}

/// `localhost` and all names below it resolve to loopback addresses (RFC 6761, section 6.3).
fn is_this_machine(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last_label = name.rsplit('.').next().unwrap_or(name);
    if last_label.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback())
}

impl Default for Proxy {
    fn default() -> Self {
        Self::from_env()
    }
}

/// Without the proxy's URL, which may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::None => "Proxy(none)",
            Kind::Environment => "Proxy(from the environment)",
            Kind::All { .. } => "Proxy(***)",
        })
    }
}
