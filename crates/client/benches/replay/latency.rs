use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::run_log::RedisLog;

use crate::browser::{self, Events};
use crate::redis::Pings;
use crate::ticking::{self, PACE};
use crate::{Result, at, milliseconds};

/// The added latencies that are aimed at, in milliseconds.
const MEMORY_GOAL: f64 = 0.2;
const REDIS_GOAL: f64 = 1.5;

/// The way of an answer to its browser.
#[derive(Clone, Copy)]
enum Way {
    /// Without a log.
    Passing,
    /// Through the log in memory.
    Memory,
    /// Through the log in Redis, to whoever has sent the message.
    Redis,
    /// Through the log in Redis, where one browser of 16 is on another instance: what these see.
    SomeElsewhere,
    /// Through the log in Redis, where all browsers are on another instance.
    AllElsewhere,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Memory => "in memory",
            Self::Redis => "Redis",
            Self::SomeElsewhere => "elsewhere, 1 of 16",
            Self::AllElsewhere => "elsewhere, all",
        }
    }
}

/// Measures one stream and then many, in rounds: each way once a round.
pub(crate) async fn measure(
    redis: Option<&str>,
    streams: usize,
    deltas: u32,
    rounds: usize,
) -> Result<()> {
    let mut ways = vec![Way::Passing, Way::Memory];
    if redis.is_some() {
        ways.extend([Way::Redis, Way::SomeElsewhere, Way::AllElsewhere]);
    }
    for streams in [1, streams] {
        println!(
            "\nLatency of a delta, ms: {streams} streams, a delta every {} ms in each, {deltas} deltas, {rounds} rounds",
            PACE.as_millis()
        );
        println!(
            "{:18} {:>7} {:>7} {:>7}   added",
            "", "median", "99%", "most"
        );
        let mut all = vec![Vec::new(); ways.len()];
        let mut pings = Vec::new();
        for _ in 0..rounds {
            for (way, all) in ways.iter().zip(&mut all) {
                let beside = match (way, redis) {
                    (Way::Passing | Way::Memory, _) | (_, None) => None,
                    (_, Some(redis)) => Some(Pings::start(redis)?),
                };
                all.extend(latencies(*way, redis, streams, deltas).await?);
                if let Some(beside) = beside {
                    pings.extend(beside.stop()?);
                }
            }
        }
        let mut passing = 0.0;
        for (way, latencies) in ways.iter().zip(&mut all) {
            latencies.sort_unstable();
            let at = |share| at(latencies, share) as f64 / 1e6;
            print!(
                "{:18} {:7.3} {:7.2} {:7.2}",
                way.name(),
                at(0.5),
                at(0.99),
                at(1.0)
            );
            let added = at(0.5) - passing;
            let goal = match way {
                Way::Passing => None,
                Way::Memory => Some(MEMORY_GOAL),
                Way::Redis | Way::SomeElsewhere | Way::AllElsewhere => Some(REDIS_GOAL),
            };
            match goal {
                None => {
                    passing = at(0.5);
                    println!();
                }
                Some(goal) => {
                    let reached = ["missed", "reached"][usize::from(added < goal)];
                    println!(" {added:7.3} (goal {goal}: {reached})");
                }
            }
        }
        if !pings.is_empty() {
            pings.sort_unstable();
            let at = |share| milliseconds(at(&pings, share));
            let name = "a PING beside";
            println!("{name:18} {:7.3} {:7.2} {:7.2}", at(0.5), at(0.99), at(1.0));
        }
    }
    Ok(())
}

/// The latencies of all deltas of all streams, in nanoseconds.
async fn latencies(way: Way, redis: Option<&str>, streams: usize, deltas: u32) -> Result<Vec<u64>> {
    let since = Instant::now() + Duration::from_millis(500 + 2 * streams as u64);
    let client = ticking::client(streams, deltas, since)?;
    let chats = browser::chats(&client);
    let (chats, elsewhere) = match (way, redis) {
        (Way::Passing, _) => (chats.without_log(), None),
        (Way::Redis | Way::SomeElsewhere | Way::AllElsewhere, Some(redis)) => {
            let there = chats.clone().run_log(RedisLog::connect(redis).await?);
            let here = chats.run_log(RedisLog::connect(redis).await?);
            (here, Some(there))
        }
        _ => (chats, None),
    };
    let (chats, elsewhere) = (Arc::new(chats), Arc::new(elsewhere));
    let mut browsers: JoinSet<Result<Vec<u64>>> = JoinSet::new();
    // The logs of former rounds are still there.
    let round = ticking::now();
    for number in 0..streams {
        let chat = browser::chat("sb", &format!("th-{round}-{number}"));
        let (chats, elsewhere) = (Arc::clone(&chats), Arc::clone(&elsewhere));
        let is_elsewhere = match way {
            Way::SomeElsewhere => number % 16 == 0,
            _ => matches!(way, Way::AllElsewhere),
        };
        let counts = is_elsewhere || !matches!(way, Way::SomeElsewhere);
        browsers.spawn(async move {
            let elsewhere = elsewhere.as_ref().as_ref().filter(|_| is_elsewhere);
            let latencies = read(&chats, elsewhere, &chat, deltas).await?;
            Ok(if counts { latencies } else { Vec::new() })
        });
    }
    let mut all = Vec::new();
    while let Some(latencies) = browsers.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}

async fn read(
    chats: &ChatHandler,
    elsewhere: Option<&ChatHandler>,
    chat: &str,
    deltas: u32,
) -> Result<Vec<u64>> {
    let mut body = browser::body(chats.handle(browser::post(chat)).await)?;
    if let Some(elsewhere) = elsewhere {
        body = browser::body(elsewhere.handle(browser::resume(chat, None)).await)?;
    }
    let mut latencies = Vec::with_capacity(deltas as usize);
    let mut events = Events::default();
    let mut is_done = false;
    while let Some(piece) = browser::piece(&mut body).await? {
        let now = ticking::now();
        for event in events.push(&piece)? {
            is_done |= event.is_done();
            let delta = event.delta()?.unwrap_or_default();
            let mut words = delta.split_ascii_whitespace();
            while let (Some(number), Some(made)) = (words.next(), words.next()) {
                if number.parse::<usize>()? != latencies.len() {
                    return Err(format!("{number} comes for {}", latencies.len()).into());
                }
                latencies.push(now - made.parse::<u64>()?);
            }
        }
    }
    if !is_done || latencies.len() != deltas as usize {
        return Err(format!("an answer ended after {} deltas", latencies.len()).into());
    }
    Ok(latencies)
}
