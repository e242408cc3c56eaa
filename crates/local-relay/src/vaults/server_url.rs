use http::Uri;

use super::refusals::{internal, invalid};
use crate::responses::Refusal;

/// The URL of an MCP server, normalized so that all spellings of one server are equal.
pub(super) struct ServerUrl {
    pub(super) normalized: String,
    pub(super) host: String,
}

impl ServerUrl {
    pub(super) fn parse(url: &str) -> Result<Self, Refusal> {
        let uri: Uri = url.parse().map_err(|_| invalid("Invalid URL"))?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => {
                return Err(internal(format!(
                    "MCP server URL must use http or https: {url}"
                )));
            }
        };
        let authority = uri.authority().ok_or_else(|| invalid("Invalid URL"))?;
        if authority.as_str().contains('@') {
            return Err(internal(format!(
                "MCP server URL must not include credentials: {url}"
            )));
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().filter(|port| *port != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = match uri.path().trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let mut query: Vec<&str> = uri
            .query()
            .map(|query| query.split('&').collect())
            .unwrap_or_default();
        query.sort_unstable();
        let query = match query.join("&") {
            query if query.is_empty() => query,
            query => format!("?{query}"),
        };
        Ok(Self {
            normalized: format!("{scheme}://{host}{port}{path}{query}"),
            host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_server_are_the_same() {
        let normalized = |url| ServerUrl::parse(url).unwrap().normalized;
        assert_eq!(
            normalized("HTTPS://MCP.linear.app:443/mcp/#frag"),
            normalized("https://mcp.linear.app/mcp")
        );
        assert_eq!(
            normalized("http://b.example.com:80/x/"),
            "http://b.example.com/x"
        );
        assert_eq!(
            normalized("https://q.example.com"),
            "https://q.example.com/"
        );
        assert_eq!(
            normalized("https://mcp.notion.com:8443/mcp?b=2&a=1"),
            "https://mcp.notion.com:8443/mcp?a=1&b=2"
        );
    }
}
