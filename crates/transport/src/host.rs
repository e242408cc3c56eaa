//! Hosts in requests and in lists of exceptions.

use std::net::IpAddr;

/// A host in a form that can be compared: a lower-case name without a final dot, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    /// An address. An IPv4-mapped IPv6 address is stored as the IPv4 address.
    Address(IpAddr),
}

impl Host {
    /// Parses the host of a URL or of a list's entry. IPv6 addresses may be in brackets.
    ///
    /// A name that ends in a number is refused: the WHATWG URL standard takes it for an IPv4 address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: std::net::Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<IpAddr>() {
            // An IPv6 address never ends in a dot.
            let whole = name == text || address.is_ipv4();
            return whole.then(|| Self::Address(address.to_canonical()));
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let last = name.rsplit('.').next().unwrap_or(name);
        let ends_in_number = last.bytes().all(|byte| byte.is_ascii_digit());
        (name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number)
            .then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Returns whether the host is this machine: `localhost`, a name below it (they resolve to loopback addresses, RFC 6761, section
    /// 6.3), or a loopback address.
    pub(crate) fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// Splits `host:port`. The colons of an IPv6 address belong to the address; an empty port counts as no port.
#[cfg(feature = "http")]
pub(crate) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port),
        _ => (text, ""),
    };
    if port.is_empty() {
        return Some((host, None));
    }
    // `parse` would accept a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| *port > 0 && digits)?;
    Some((host, Some(port)))
}
