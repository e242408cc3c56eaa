//! A thousand browsers that chat through one server: what a browser costs it in memory and time, and how much later the
//! deltas arrive.
//!
//! `crates/client/benches/browsers/run` measures the handlers of this client beside the same routes with the published
//! client for Node, and `BENCHMARKS.md` explains the figures. What follows are its parts, each a process of its own, and
//! without arguments a short run of all that needs no Node. It reads `/proc`, and so needs Linux.
//!
//! ```text
//! browsers relay BROWSERS INTERVAL_MS DELTAS       the relay, until standard input ends
//! browsers server BROWSERS INTERVAL_MS DELTAS      the server, of the relay in RELAY_BASE_URL, until it is killed
//! browsers recording BROWSERS INTERVAL_MS DELTAS   the same with a run log, in memory
//! browsers server-http2 …, recording-http2 …       the same of a relay that speaks HTTP/2
//! browsers bare BROWSERS INTERVAL_MS DELTAS        hyper alone, which says the deltas itself
//! browsers browsers BROWSERS INTERVAL_MS DELTAS    the browsers, at the server in SERVER
//! browsers warm BROWSERS INTERVAL_MS DELTAS        tokens only, at the server in SERVER, before it is measured
//! browsers direct BROWSERS INTERVAL_MS DELTAS      the same streams, read from the relay itself
//! ```

mod bare;
mod browsers;
#[path = "../streams/load.rs"]
mod load;
#[path = "../streams/meter.rs"]
mod meter;
#[path = "../streams/relay.rs"]
mod relay;
mod server;
#[path = "../streams/sockets.rs"]
mod sockets;

use std::error::Error;
use std::future::pending;

use twentyfirst_client::AgentClient;

use crate::load::{Http, Load, frugal_client};
use crate::server::Way;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// As many as the machine that the figures are for has cores.
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().filter(|it| it != "--bench").collect();
    let Some(mode) = arguments.get(1) else {
        return smoke().await;
    };
    let load = Load::from_arguments(&arguments[2..])?;
    match mode.as_str() {
        "relay" => relay::serve(load)?,
        "server" | "recording" | "server-http2" | "recording-http2" => {
            let (way, http) = match mode.strip_suffix("-http2") {
                Some(way) => (way, Http::Two),
                None => (mode.as_str(), Http::One),
            };
            let way = match way {
                "server" => Way::Passing,
                _ => Way::Recording,
            };
            let (url, key) = (
                std::env::var("RELAY_BASE_URL")?,
                std::env::var("API_KEY_21ST")?,
            );
            let client = frugal_client(&url, &key, http)?;
            println!("{}", server::start(load, client, way).await?);
            pending::<()>().await;
        }
        "bare" => {
            println!("{}", server::start_bare(load).await?);
            pending::<()>().await;
        }
        "browsers" => {
            let server = std::env::var("SERVER")?;
            println!("{}", browsers::measure(load, server.parse()?).await?);
        }
        "warm" => browsers::warm(std::env::var("SERVER")?.parse()?).await?,
        "direct" => {
            let key = std::env::var("API_KEY_21ST")?;
            let report = sockets::measure(load, &AgentClient::from_env()?, &key).await?;
            println!("{report}");
        }
        other => return Err(format!("there is no `{other}`").into()),
    }
    Ok(())
}

/// Twenty browsers for two seconds, with everything in this process: whether it works, and no measurement.
async fn smoke() -> Result<()> {
    let load = Load::from_arguments(&["20", "100", "20"])?;
    browsers::measure(load, server::start_bare(load).await?).await?;
    for http in [Http::One, Http::Two] {
        let relay = relay::start(load, http)?;
        let client = frugal_client(relay.url(), relay.api_key(), http)?;
        if let Http::One = http {
            sockets::measure(load, &client, relay.api_key()).await?;
        }
        for way in [Way::Passing, Way::Recording] {
            let server = server::start(load, client.clone(), way).await?;
            browsers::warm(server).await?;
            browsers::measure(load, server).await?;
        }
    }
    println!("20 browsers are served; crates/client/benches/browsers/run measures 1,000");
    Ok(())
}
