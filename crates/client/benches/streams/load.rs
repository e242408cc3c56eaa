use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twentyfirst_client::transport::HttpTransport;
use twentyfirst_client::{AgentClient, SandboxId};

use crate::Result;

/// The agent's slug.
pub(crate) const AGENT: &str = "ticker";

/// The most streams that are being started at any time.
pub(crate) const STARTING: usize = 50;

/// The number of runs that share a sandbox. The relay's work for a sandbox is not to be measured.
const RUNS_IN_A_SANDBOX: usize = 100;

/// The streams to read.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) streams: usize,
    /// The time between two deltas of a stream.
    pub(crate) interval: Duration,
    /// The number of deltas in each stream.
    pub(crate) deltas: u32,
}

impl Load {
    pub(crate) fn from_arguments<S: AsRef<str>>(arguments: &[S]) -> Result<Self> {
        let [streams, interval, deltas] = arguments else {
            return Err("expected STREAMS INTERVAL_MS DELTAS".into());
        };
        Ok(Self {
            streams: streams.as_ref().parse()?,
            interval: Duration::from_millis(interval.as_ref().parse()?),
            deltas: deltas.as_ref().parse()?,
        })
    }

    /// Creates the sandboxes for it.
    pub(crate) async fn sandboxes(&self, client: &AgentClient) -> Result<Vec<SandboxId>> {
        let mut sandboxes = Vec::new();
        for _ in 0..self.streams.div_ceil(RUNS_IN_A_SANDBOX) {
            sandboxes.push(client.sandboxes().create(AGENT).await?.id);
        }
        Ok(sandboxes)
    }
}

/// Access to the relay.
#[derive(Clone, Copy)]
pub(crate) enum Http {
    One,
    Two,
}

/// A client that takes as little memory for each of many streams as can be set.
pub(crate) fn frugal_client(url: &str, key: &str, http: Http) -> Result<AgentClient> {
    let transport = HttpTransport::builder()
        .read_buffer(2048)
        .http2_prior_knowledge(matches!(http, Http::Two))
        .build()?;
    let client = AgentClient::builder().api_key(key).base_url(url);
    Ok(client.transport(transport).build()?)
}

/// The delta with this number, written now: as long as the few words that a model says at once.
pub(crate) fn delta(number: u32) -> String {
    format!("{number} {} ", now())
}

/// Number and moment of a delta.
pub(crate) fn parse_delta(delta: &str) -> Result<(u32, u64)> {
    let mut words = delta.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(number), Some(written), None) => Ok((number.parse()?, written.parse()?)),
        _ => Err(format!("{delta:?} is not a delta").into()),
    }
}

/// Microseconds since 1970, by the clock that all processes share.
pub(crate) fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_micros() as u64)
}
