use std::time::Duration;

use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use twentyfirst_protocol::ErrorCode;
use twentyfirst_protocol::git::{CloneRepository, ClonedRepository};

use crate::request::{Call, no_body};
use crate::responses::{Refusal, RelayResponse, json_response};
use crate::sandbox::{Command, quote};

/// All characters except the unreserved ones of RFC 3986.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const DEPRECATED: &str = "Use POST /v1/sandboxes/:id/exec with a git clone command instead";

/// `POST /v1/sandboxes/{sandboxId}/git/clone`
pub(crate) async fn clone(call: Call) -> Result<RelayResponse, Refusal> {
    let mut response = run(call).await.unwrap_or_else(RelayResponse::from);
    response
        .headers_mut()
        .insert("x-deprecated", HeaderValue::from_static(DEPRECATED));
    Ok(response)
}

async fn run(call: Call) -> Result<RelayResponse, Refusal> {
    let record = call.relay.record(&call.sandbox_id()?, &call.caller.team)?;
    if call.members().is_none() {
        return Err(failed(no_body("url")));
    }
    let clone: CloneRepository = call.operation()?;
    let token = clone.token.as_ref().map(|token| token.expose());
    let url = match token {
        Some(token) => {
            with_token(&clone.url, token).ok_or_else(|| failed("Invalid URL".to_owned()))?
        }
        None => clone.url,
    };
    // The path in a `file` URL is one of the sandbox, which git may have to find on the host.
    let url = match url.strip_prefix("file://") {
        Some(path) => format!("file://{}", record.sandbox.path(path)),
        None => url,
    };
    let path = clone
        .path
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/home/user/repo".to_owned());
    let branch = clone.branch.filter(|branch| !branch.is_empty());
    let mut line = "git clone".to_owned();
    if let Some(depth) = clone.depth.filter(|depth| *depth > 0) {
        line.push_str(&format!(" --depth {depth}"));
    }
    if let Some(branch) = &branch {
        line.push_str(&format!(" --branch {}", quote(branch)));
    }
    // `--`, because the URL comes from the client and may begin with a hyphen.
    line.push_str(&format!(
        " -- {} {}",
        quote(&url),
        quote(&record.sandbox.path(&path))
    ));
    let command = Command::new(line)
        .cwd("/home/user")
        // A prompt for a password would wait for ever.
        .env("GIT_TERMINAL_PROMPT", "0")
        .timeout(Duration::from_secs(600));
    match record.sandbox.exec(command).await {
        Ok(output) if output.success() => {
            let branch = branch.unwrap_or_else(|| "default".to_owned());
            let cloned = ClonedRepository::new(path, Some(branch));
            Ok(json_response(StatusCode::OK, &cloned))
        }
        Ok(output) => Err(failed(match token {
            // Git keeps the token out of its own messages, but a hook on the server may repeat it.
            Some(token) if !token.is_empty() => output
                .stderr
                .replace(token, "***")
                .replace(&encoded(token), "***"),
            _ => output.stderr,
        })),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Adds the token to an `https` URL as its password, and leaves other URLs as they are. Returns `None` if it is no URL.
fn with_token(url: &str, token: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Some(url.to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let token = encoded(token);
    let after = &rest[authority.len()..];
    Some(format!("https://x-access-token:{token}@{host}{after}"))
}

fn encoded(token: &str) -> String {
    utf8_percent_encode(token, USER_INFO).to_string()
}

fn failed(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::GitCloneFailed, message)
}
