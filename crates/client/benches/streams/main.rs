//! Thousands of runs at once, read by one process: what a stream costs in memory, and how late its deltas arrive.
//!
//! `crates/client/benches/streams/run` measures this client beside the published one for Node and beside bare sockets,
//! and `BENCHMARKS.md` explains the figures. What follows are its parts, each a process of its own, and without
//! arguments a short run of all that needs no Node. It reads `/proc`, and so needs Linux.
//!
//! ```text
//! streams relay STREAMS INTERVAL_MS DELTAS      the relay, until standard input ends
//! streams client STREAMS INTERVAL_MS DELTAS     this client, at the relay in RELAY_BASE_URL
//! streams frugal STREAMS INTERVAL_MS DELTAS     the same, set to take as little memory as can be
//! streams http2 STREAMS INTERVAL_MS DELTAS      the same, at a relay that speaks HTTP/2
//! streams sockets STREAMS INTERVAL_MS DELTAS    sockets, read with as little work as there can be
//! ```

mod client;
mod load;
mod meter;
mod relay;
mod sockets;

use std::error::Error;

use twentyfirst_client::AgentClient;

use crate::load::{Http, Load, frugal_client};

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
    let report = match mode.as_str() {
        "relay" => return relay::serve(load),
        "client" => client::measure(load, &AgentClient::from_env()?).await?,
        "frugal" | "http2" => {
            let http = match mode.as_str() {
                "http2" => Http::Two,
                _ => Http::One,
            };
            let (url, key) = (
                std::env::var("RELAY_BASE_URL")?,
                std::env::var("API_KEY_21ST")?,
            );
            client::measure(load, &frugal_client(&url, &key, http)?).await?
        }
        "sockets" => {
            let key = std::env::var("API_KEY_21ST")?;
            sockets::measure(load, &AgentClient::from_env()?, &key).await?
        }
        other => return Err(format!("there is no `{other}`").into()),
    };
    println!("{report}");
    Ok(())
}

/// Twenty streams for two seconds, with everything in this process: whether it works, and no measurement.
async fn smoke() -> Result<()> {
    let load = Load::from_arguments(&["20", "100", "20"])?;
    for http in [Http::One, Http::Two] {
        let relay = relay::start(load, http)?;
        let client = frugal_client(relay.url(), relay.api_key(), http)?;
        client::measure(load, &client).await?;
        if let Http::One = http {
            sockets::measure(load, &client, relay.api_key()).await?;
        }
    }
    println!("20 streams are complete; crates/client/benches/streams/run measures 2,000");
    Ok(())
}
