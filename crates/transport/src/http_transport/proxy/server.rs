//! Parses a proxy's URL.

use std::fmt::Write as _;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::host::{Host, split_port};

/// A proxy.
#[derive(Clone)]
pub(super) enum Server {
    Http(Intercept),
    /// A `socks` proxy, which is not supported, with the name of its variable.
    Socks(&'static str),
}

impl Server {
    /// Parses the URL from a variable or an argument named `origin`.
    ///
    /// # Errors
    /// Describes the problem and shows nothing of the URL.
    pub(super) fn parse(url: &str, origin: &'static str) -> Result<Self, &'static str> {
        if url
            .chars()
            .any(|next| next.is_whitespace() || next.is_control())
        {
            return Err("it holds a blank or a control character");
        }
        if url.starts_with(['"', '\'', '`']) {
            return Err("it begins with a quotation mark");
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        let scheme = if is("http") {
            Scheme::HTTP
        } else if is("https") {
            Scheme::HTTPS
        } else if ["socks4", "socks4a", "socks5", "socks5h"]
            .into_iter()
            .any(is)
        {
            return Ok(Self::Socks(origin));
        } else {
            return Err("its scheme is neither http nor https");
        };
        // A host has no `@`, so the last one ends the user and password.
        let (user, server) = match rest.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, rest),
        };
        let server = server.strip_suffix('/').unwrap_or(server);
        let holds_delimiter = |text: &str| text.contains(['/', '?', '#', '\\']);
        if user.is_some_and(holds_delimiter) || holds_delimiter(server) {
            return Err(
                "it holds a `/`, `?`, `#` or `\\` after its beginning: a proxy has no path, and in a user name or \
                 password they are written %2F, %3F, %23 and %5C",
            );
        }
        let credentials = match user {
            Some(user) if !user.is_empty() => Some(Credentials::parse(user)?),
            _ => None,
        };
        let (host, port) = split_port(server).ok_or("its port is not a number from 1 to 65535")?;
        Host::parse(host).ok_or("it names no host")?;
        // Built anew and escaped: hyper-util parses it again, and must not find another host in the user or password.
        let mut normal = format!("{scheme}://");
        if let Some(Credentials { user, password }) = credentials {
            escape(&user, &mut normal);
            if let Some(password) = password {
                normal.push(':');
                escape(&password, &mut normal);
            }
            normal.push('@');
        }
        normal.push_str(host);
        if let Some(port) = port {
            let _ = write!(normal, ":{port}");
        }
        Matcher::builder()
            .all(normal)
            .build()
            .intercept(&Uri::from_static("https://server.invalid/"))
            .map(Self::Http)
            .ok_or("it is not a URL")
    }
}

struct Credentials {
    user: String,
    password: Option<String>,
}

impl Credentials {
    /// Parses `user` or `user:password`, percent-encoded.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        let user = unescape(user)?;
        if user.contains(':') {
            // RFC 7617, section 2.
            return Err("its user name holds a colon, which `Basic` authorization cannot carry");
        }
        let password = password.map(unescape).transpose()?;
        Ok(Self { user, password })
    }
}

/// Decodes percent-encoded text (RFC 3986, section 3.2.1). Accepts an `@` too, as curl and Go do.
fn unescape(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&next, after)) = rest.split_first() {
        rest = after;
        bytes.push(match next {
            b'%' => {
                let (digits, after) = rest
                    .split_at_checked(2)
                    .ok_or("a `%` in its user name or password is not followed by two digits")?;
                rest = after;
                hex(digits)
                    .ok_or("a `%` in its user name or password is not followed by two digits")?
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' => next,
            next if next.is_ascii_alphanumeric() => next,
            _ => {
                return Err(
                    "its user name or password holds a character that has to be \
                            percent-encoded",
                );
            }
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| "its user name or password is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("its user name or password holds a control character");
    }
    Ok(text)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Appends text in which every byte is percent-encoded, so that none has a meaning in the URL.
fn escape(text: &str, url: &mut String) {
    for byte in text.bytes() {
        let _ = write!(url, "%{byte:02X}");
    }
}
