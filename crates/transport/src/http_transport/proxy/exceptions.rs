//! Servers that are reached without a proxy: `NO_PROXY`.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use ipnet::{IpNet, Ipv4Net};

use crate::host::{Host, split_port};

/// A list of servers, as in `NO_PROXY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// The port; `None` matches any port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// The name and all names below it.
    Domain(String),
    /// All names below it, but not the name itself.
    Below(String),
    Network(IpNet),
}

/// The number, from 1, of an entry that cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) usize);

impl Exceptions {
    /// Parses a list separated by commas, blanks or both.
    pub(super) fn parse(list: &str) -> Result<Self, Unreadable> {
        list.split(|next: char| next == ',' || next.is_whitespace())
            .filter(|entry| !entry.is_empty())
            .enumerate()
            .map(|(index, entry)| Entry::parse(entry).ok_or(Unreadable(index + 1)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether the list contains the server of this URI, whose host is `host`.
    pub(super) fn contain(&self, uri: &Uri, host: &Host) -> bool {
        let default = if uri.scheme() == Some(&Scheme::HTTP) {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default);
        self.0
            .iter()
            .any(|entry| entry.port.is_none_or(|it| it == port) && entry.hosts.contain(host))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if text.contains('/') {
            let hosts = Hosts::Network(network(text)?);
            return Some(Self { hosts, port: None });
        }
        let (host, port) = split_port(text)?;
        let hosts = if host == "*" {
            Hosts::All
        } else if let Some(name) = host.strip_prefix("*.") {
            Hosts::Below(domain(name)?)
        } else if let Some(name) = host.strip_prefix('.') {
            Hosts::Domain(domain(name)?)
        } else {
            match Host::parse(host)? {
                Host::Name(name) => Hosts::Domain(name),
                Host::Address(address) => Hosts::Network(address.into()),
            }
        };
        Some(Self { hosts, port })
    }
}

fn domain(text: &str) -> Option<String> {
    match Host::parse(text)? {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    }
}

/// Parses an address with a prefix length. A network of IPv4-mapped IPv6 addresses becomes the IPv4 network, as [`Host`] does with
/// addresses.
fn network(text: &str) -> Option<IpNet> {
    let (address, length) = text.rsplit_once('/')?;
    let Host::Address(_) = Host::parse(address)? else {
        return None;
    };
    // `parse` would accept a sign.
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let address: IpAddr = address
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    let length = length.parse().ok()?;
    let network = IpNet::new(address, length).ok()?.trunc();
    let IpAddr::V6(first) = network.network() else {
        return Some(network);
    };
    match (first.to_ipv4_mapped(), length.checked_sub(96)) {
        (Some(first), Some(length)) => Ipv4Net::new(first, length).ok().map(IpNet::V4),
        _ => Some(network),
    }
}

impl Hosts {
    fn contain(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Domain(domain), Host::Name(name)) => name == domain || is_below(name, domain),
            (Self::Below(domain), Host::Name(name)) => is_below(name, domain),
            (Self::Network(network), Host::Address(address)) => network.contains(address),
            _ => false,
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'))
}
