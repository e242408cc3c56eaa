//! Measures what the run log costs a chat and what it saves: the latency that it adds to deltas, the time of a replay, the memory of a
//! run that can be replayed, and a thousand browsers on three instances, one of which dies.
//!
//! ```text
//! cargo bench -p twentyfirst-client --bench replay -- all
//! cargo bench -p twentyfirst-client --bench replay -- memory replay latency instances npm
//! ```
//!
//! `BENCHMARKS.md` explains the figures. Without arguments everything is done in small: whether it works, and no measurement. It reads
//! `/proc`, and so needs Linux. Redis is measured where there is a `redis-server`, which this starts. `npm` measures the same through
//! npm `resumable-stream`, over the same Redis, and takes Node.

mod browser;
mod instances;
mod latency;
mod memory;
mod npm;
mod redis;
mod replays;
mod ticking;

use std::error::Error;
use std::fs;
use std::time::Duration;

use crate::redis::Server;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The number of streams, of the deltas in each, and of the measurements.
const STREAMS: usize = 500;
const DELTAS: u32 = 200;
const ROUNDS: usize = 3;

/// The number of deltas in an answer that is replayed, and of its replays.
const CHUNKS: u64 = 20_000;
const REPLAYS: usize = 9;

/// The machine of the published figures has two cores.
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| arguments.iter().any(|it| it == name || it == "all");
    let is_small = !["memory", "replay", "latency", "instances", "npm"]
        .iter()
        .any(|name| wants(name));
    let server = Server::start()?;
    let redis = server.as_ref().map(|server| server.url.as_str());
    if redis.is_none() {
        println!("skipped Redis: there is no redis-server (Debian: apt-get install redis-server)");
    }
    if is_small {
        memory::measure(2, 100).await?;
        replays::measure(redis, 200, 2).await?;
        latency::measure(redis, 20, 20, 1).await?;
        if let Some(redis) = redis {
            let pace = Duration::from_millis(50);
            tokio::task::block_in_place(|| instances::measure(redis, 10, pace, 40))?;
        }
        println!("it works; `-- all` measures");
        return Ok(());
    }
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, load {load}");
    // First, while nothing that was freed can be used again.
    if wants("memory") {
        memory::measure(50, CHUNKS).await?;
    }
    if wants("replay") {
        replays::measure(redis, CHUNKS, REPLAYS).await?;
    }
    if wants("latency") {
        latency::measure(redis, STREAMS, DELTAS, ROUNDS).await?;
    }
    if wants("npm")
        && let Some(redis) = redis
    {
        tokio::task::block_in_place(|| npm::measure(redis, STREAMS, DELTAS, ROUNDS))?;
    }
    if wants("instances")
        && let Some(redis) = redis
    {
        let pace = Duration::from_millis(200);
        tokio::task::block_in_place(|| instances::measure(redis, 500, pace, 80))?;
    }
    Ok(())
}

/// The value below which this share of the sorted ones is; 1 is the greatest.
fn at<T: Copy>(sorted: &[T], share: f64) -> T {
    let place = (sorted.len() - 1) as f64 * share;
    sorted[place.round() as usize]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
