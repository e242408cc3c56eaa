//! The transport from its users' view. Servers run on loopback and speak HTTP byte by byte, so that a test can stop
//! anywhere; the test controls the clock.

mod body;
#[cfg(feature = "cassette")]
mod cassette;
mod clock;
mod connectors;
mod cuts;
mod endings;
mod http;
mod http2;
mod http2_streams;
mod pem;
mod pieces;
mod process;
mod proxies;
mod proxy_settings;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod secrets;
mod secure;
mod server;
mod services;
mod sources;
mod timeouts;
mod tls;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "ureq")]
mod ureq;

use std::time::Duration;

use twentyfirst_transport::Error;

/// Waits for an immediate event, with a timeout so that a broken test does not hang.
async fn soon<F: Future>(event: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), event)
        .await
        .expect("this happens soon")
}

/// Returns an error and its sources, one per line.
fn chain(error: &Error) -> String {
    let mut lines = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        lines.push(error.to_string());
        source = error.source();
    }
    lines.join("\n")
}
