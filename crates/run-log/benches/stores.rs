//! Measures the delay until a waiting read sees an append, and the time of a replay: in memory, and over a Redis server that this starts.
//! `BENCHMARKS.md` explains the figures.
//!
//! ```text
//! cargo bench -p twentyfirst-run-log --features redis --bench stores
//! ```

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_run_log::{Keep, LogId, MemoryLog, Position, RedisLog, RunLog};

const KEEP: Keep = Keep::existing(Duration::from_secs(600));
const WAIT: Duration = Duration::from_secs(30);

/// The number of measured appends, after a warm-up.
const APPENDS: u64 = 2000;
const WARM_UP: u64 = 200;

/// The number of chunks in a replay, and the bytes of each.
const ENTRIES: u64 = 20_000;
const CHUNK: usize = 62;

/// The number of timed replays. The median counts.
const ROUNDS: usize = 7;

/// The number of concurrent replays while appends are timed, and the entries in a page of theirs.
const REPLAYS: usize = 200;
const PAGE: usize = 1000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let memory = MemoryLog::new(tokio::time::sleep).with_limit(1 << 30);
    let in_memory = measure("in memory", &memory, &memory).await?;
    let Some(server) = Server::start()? else {
        println!("skipped Redis: there is no redis-server");
        return Ok(());
    };
    // Two stores with connections of their own stand for two processes.
    let writer = RedisLog::connect(&server.url).await?;
    let reader = RedisLog::connect(&server.url).await?;
    let between = measure("Redis, written elsewhere", &writer, &reader).await?;
    let within = measure("Redis, written here", &writer, &writer).await?;
    println!("Beside memory, an append is seen");
    println!(
        "  {:6.1} × later over Redis, written elsewhere",
        between / in_memory
    );
    println!(
        "  {:6.1} × later over Redis, written here",
        within / in_memory
    );
    Ok(())
}

/// Prints the figures of a store, and returns the median latency in microseconds.
async fn measure<L: RunLog + Clone>(name: &str, writer: &L, reader: &L) -> Result<f64, Failure> {
    println!("{name}");
    let mut latencies = latencies(writer, reader).await?;
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "  append to waiting read  {:7.0} µs, 99 of 100 within {:7.0} µs",
        at(0.5),
        at(0.99)
    );
    let median = at(0.5);
    let mut single = 0.0;
    for chunks in [1, 16] {
        let took = replay(writer, reader, chunks).await?;
        let milliseconds = took.as_secs_f64() * 1e3;
        print!("  replay of {ENTRIES} chunks, {chunks:2} an entry  {milliseconds:7.2} ms");
        match chunks {
            1 => {
                single = milliseconds;
                println!();
            }
            _ => println!(", {:.1} × faster", single / milliseconds),
        }
    }
    let mut latencies = beside_replays(writer).await?;
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  append while {REPLAYS} replay   {:7.2} ms, 99 of 100 within {:7.2} ms",
        at(0.5),
        at(0.99)
    );
    Ok(median)
}

/// Times appends while the same process serves replays.
async fn beside_replays<L: RunLog + Clone>(log: &L) -> Result<Vec<Duration>, Failure> {
    let long = LogId::run(&format!("long-{:?}", Instant::now()));
    for seq in 0..ENTRIES {
        let at = Position::new(1, seq);
        log.append(
            &long,
            at,
            Bytes::from_static(&[b'x'; CHUNK]),
            KEEP.or_create(),
        )
        .await?;
    }
    let mut replays = tokio::task::JoinSet::<Result<(), Failure>>::new();
    for _ in 0..REPLAYS {
        let (log, long) = (log.clone(), long.clone());
        replays.spawn(async move {
            let mut after = Position::START;
            loop {
                let page = log.read(&long, after, PAGE, Duration::ZERO).await?;
                after = page.entries.last().map_or(Position::START, |(at, _)| *at);
                // A browser would take the page here.
                tokio::task::yield_now().await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let short = LogId::run(&format!("short-{:?}", Instant::now()));
    let mut latencies = Vec::new();
    for seq in 0..100 {
        let at = Position::new(1, seq);
        let start = Instant::now();
        log.append(
            &short,
            at,
            Bytes::from_static(&[b'x'; CHUNK]),
            KEEP.or_create(),
        )
        .await?;
        latencies.push(start.elapsed());
    }
    // Replays never end on their own: one that ended has failed.
    match replays.try_join_next() {
        Some(ended) => Err(format!("a replay has ended: {:?}", ended?).into()),
        None => Ok(latencies),
    }
}

async fn latencies<L: RunLog + Clone>(writer: &L, reader: &L) -> Result<Vec<Duration>, Failure> {
    let id = LogId::run(&format!("latency-{:?}", Instant::now()));
    let first = Position::new(1, 0);
    writer
        .append(&id, first, Bytes::new(), KEEP.or_create())
        .await?;
    let reading = tokio::spawn({
        let (reader, id) = (reader.clone(), id.clone());
        async move {
            let mut seen = Vec::new();
            let mut after = first;
            while after.seq < APPENDS + WARM_UP {
                let page = reader.read(&id, after, 100, WAIT).await?;
                for (at, _) in page.entries {
                    seen.push(Instant::now());
                    after = at;
                }
            }
            Ok::<_, Failure>(seen)
        }
    });
    let mut appended = Vec::new();
    let mut at = first;
    for _ in 0..APPENDS + WARM_UP {
        // Gives the reader time to wait again.
        tokio::time::sleep(Duration::from_millis(2)).await;
        at = at.next();
        appended.push(Instant::now());
        writer
            .append(&id, at, Bytes::from_static(&[b'x'; CHUNK]), KEEP)
            .await?;
    }
    let seen = reading.await??;
    let late = appended
        .iter()
        .zip(&seen)
        .map(|(before, seen)| *seen - *before);
    Ok(late.skip(WARM_UP as usize).collect())
}

async fn replay<L: RunLog>(writer: &L, reader: &L, chunks: u64) -> Result<Duration, Failure> {
    let id = LogId::run(&format!("replay-{chunks}-{:?}", Instant::now()));
    let entry = Bytes::from(vec![b'x'; CHUNK * chunks as usize]);
    let entries = ENTRIES / chunks;
    for seq in 0..entries {
        let at = Position::new(1, seq);
        writer
            .append(&id, at, entry.clone(), KEEP.or_create())
            .await?;
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut after = Position::START;
        let mut count = 0;
        while count < entries {
            let page = reader.read(&id, after, 1000, Duration::ZERO).await?;
            after = page.entries.last().ok_or("the log is too short")?.0;
            count += page.entries.len() as u64;
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2])
}

/// A Redis server that is killed when this is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = spawned else { return Ok(None) };
        let url = format!("redis://127.0.0.1:{port}");
        let server = Self { child, url };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Some(server));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server did not start within 5 s".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
