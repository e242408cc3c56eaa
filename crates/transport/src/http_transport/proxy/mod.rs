//! Decides which requests go through a proxy.

mod environment;
mod exceptions;
mod server;

use std::fmt;
use std::io;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Intercept;

use self::exceptions::{Exceptions, Unreadable};
use self::server::Server;
use crate::host::Host;
use crate::invalid_setting::InvalidSetting;

/// The proxy that requests go through, if any.
///
/// Requests to `https` servers go through a tunnel (`CONNECT`): the proxy sees only the server's name.
/// Requests to `http` servers are sent to the proxy itself with their whole URI, as HTTP specifies
/// (RFC 9112, section 3.2.2) and proxies expect: many allow tunnels to port 443 only. Requests to this machine
/// (`localhost`, names below it, loopback addresses) never go through a proxy.
///
/// The proxy is an `http` or `https` URL; without a scheme it is `http`. Its user and password, percent-encoded if
/// necessary, are sent to it as `Basic` authorization and never shown.
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    None,
    Environment,
    All(Arc<Proxies>),
}

impl Proxy {
    /// Uses the proxy from the environment at the time when the transport is built: `HTTPS_PROXY` or `HTTP_PROXY` for the scheme
    /// of the server, otherwise `ALL_PROXY`, and `NO_PROXY` for the servers that are reached without a proxy
    /// (see [`all_except`](Self::all_except)). Lower-case names apply if the upper-case ones are not set. An
    /// empty variable counts as not set.
    ///
    /// This is the default. If a variable that applies cannot be parsed, building the transport fails: ignoring it
    /// would send requests on another way than intended. The URL of a
    /// `socks` proxy is accepted, but such a proxy is not supported: connecting fails.
    ///
    /// In a CGI script (`REQUEST_METHOD` is set) `HTTP_PROXY` is ignored, because a header of the incoming request could
    /// set it; `http_proxy` applies.
    pub const fn from_env() -> Self {
        Self {
            kind: Kind::Environment,
        }
    }

    /// Uses no proxy and ignores the environment.
    pub const fn none() -> Self {
        Self { kind: Kind::None }
    }

    /// Uses this proxy and ignores the environment.
    ///
    /// # Errors
    /// If `proxy` is not the URL of an `http` or `https` proxy.
    pub fn all(proxy: &str) -> Result<Self, InvalidSetting> {
        Self::all_except(proxy, "")
    }

    /// Uses this proxy except for some servers, and ignores the environment.
    ///
    /// The list is like `NO_PROXY`, separated by commas or blanks. It accepts the entries that curl and Go accept:
    ///
    /// | entry | matches |
    /// |---|---|
    /// | `example.com`, `.example.com` | the name and all names below it |
    /// | `*.example.com` | all names below it |
    /// | `10.0.0.1`, `fd00::1`, `[fd00::1]` | the address |
    /// | `10.0.0.0/8`, `fd00::/8` | the network |
    /// | `*` | every server, whether the request names it by name or by address |
    /// | `example.com:8443`, `10.0.0.1:80`, `[fd00::1]:80` | the same, on this port only |
    ///
    /// Names are compared without regard to case or a final dot. They are not resolved: addresses match only
    /// requests that name an address.
    ///
    /// # Errors
    /// If `proxy` is not the URL of an `http` or `https` proxy, or an entry of the list has none of these forms.
    pub fn all_except(proxy: &str, except: &str) -> Result<Self, InvalidSetting> {
        let server =
            match Server::parse(proxy, "the proxy").map_err(|why| not_a_proxy("the proxy", why))? {
                Server::Socks(origin) => {
                    return Err(not_a_proxy(origin, "its scheme is neither http nor https"));
                }
                server @ Server::Http(_) => server,
            };
        let except = Exceptions::parse(except).map_err(|unreadable| {
            not_exceptions("the list of servers without proxy", unreadable)
        })?;
        let proxies = Proxies {
            http: Some(server.clone()),
            https: Some(server),
            except,
        };
        Ok(Self {
            kind: Kind::All(Arc::new(proxies)),
        })
    }

    /// Resolves the proxies; reads the environment if this is [`from_env`](Self::from_env).
    pub(super) fn build(&self) -> Result<Arc<Proxies>, InvalidSetting> {
        match &self.kind {
            Kind::None => Ok(Arc::default()),
            Kind::Environment => environment::read().map(Arc::new),
            Kind::All(proxies) => Ok(Arc::clone(proxies)),
        }
    }
}

fn not_a_proxy(origin: &str, why: &str) -> InvalidSetting {
    InvalidSetting::new(format!("{origin} is not the URL of a proxy: {why}"))
}

fn not_exceptions(origin: &str, Unreadable(entry): Unreadable) -> InvalidSetting {
    InvalidSetting::new(format!(
        "{origin} cannot be read: entry {entry} is neither a name, an address, a network nor `*`, with or without a port"
    ))
}

/// The proxies of a transport, fixed when it was built.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<Server>,
    https: Option<Server>,
    except: Exceptions,
}

/// The way to a server.
pub(super) enum Route<'p> {
    Direct,
    Proxy(&'p Intercept),
}

impl Proxies {
    pub(super) fn route(&self, server: &Uri) -> io::Result<Route<'_>> {
        match self.find(server) {
            None => Ok(Route::Direct),
            Some(Server::Http(proxy)) => Ok(Route::Proxy(proxy)),
            Some(Server::Socks(origin)) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "{origin} names a socks proxy, and only http and https proxies are supported"
                ),
            )),
        }
    }

    /// Returns the authorization header for a proxy that reads the request itself. Tunnels are authorized when they are opened.
    pub(super) fn authorization(&self, server: &Uri) -> Option<HeaderValue> {
        match self.find(server)? {
            Server::Http(proxy) if server.scheme() == Some(&Scheme::HTTP) => {
                proxy.basic_auth().cloned()
            }
            _ => None,
        }
    }

    fn find(&self, server: &Uri) -> Option<&Server> {
        let proxy = if server.scheme() == Some(&Scheme::HTTP) {
            &self.http
        } else {
            &self.https
        };
        let proxy = proxy.as_ref()?;
        // A host that is neither a name nor an address matches no exception.
        let direct = Host::parse(server.host()?)
            .is_some_and(|host| host.is_this_machine() || self.except.contain(server, &host));
        (!direct).then_some(proxy)
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self::from_env()
    }
}

/// Leaves out the proxy's URL, which may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::None => "Proxy(none)",
            Kind::Environment => "Proxy(from the environment)",
            Kind::All(_) => "Proxy(***)",
        })
    }
}
