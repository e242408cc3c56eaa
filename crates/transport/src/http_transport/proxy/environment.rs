//! Reads the environment variables for proxies.

use std::env::var_os;

use super::exceptions::Exceptions;
use super::server::Server;
use super::{InvalidSetting, Proxies, not_a_proxy, not_exceptions};

/// Reads the variables that apply.
pub(super) fn read() -> Result<Proxies, InvalidSetting> {
    let find = |names: &[&'static str]| -> Result<Option<(&'static str, String)>, InvalidSetting> {
        names
            .iter()
            .find_map(|name| Some((*name, var_os(name).filter(|value| !value.is_empty())?)))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(InvalidSetting::new(format!("{name} is not UTF-8"))),
            })
            .transpose()
    };
    let proxy = |names: &[&'static str]| {
        find(names)?
            .map(|(name, url)| Server::parse(&url, name).map_err(|why| not_a_proxy(name, why)))
            .transpose()
    };
    // A CGI server sets `HTTP_PROXY` from a `Proxy` header of the incoming request.
    let is_cgi = var_os("REQUEST_METHOD").is_some();
    let http = if is_cgi {
        proxy(&["http_proxy"])?
    } else {
        proxy(&["HTTP_PROXY", "http_proxy"])?
    };
    let https = proxy(&["HTTPS_PROXY", "https_proxy"])?;
    // If both schemes have their own proxy, `ALL_PROXY` does not apply and may hold anything.
    let all = if http.is_some() && https.is_some() {
        None
    } else {
        proxy(&["ALL_PROXY", "all_proxy"])?
    };
    let http = http.or_else(|| all.clone());
    let https = https.or(all);
    // Without a proxy, exceptions do not apply either.
    let except = match find(&["NO_PROXY", "no_proxy"])? {
        Some((name, list)) if http.is_some() || https.is_some() => {
            Exceptions::parse(&list).map_err(|unreadable| not_exceptions(name, unreadable))?
        }
        _ => Exceptions::default(),
    };
    Ok(Proxies {
        http,
        https,
        except,
    })
}
