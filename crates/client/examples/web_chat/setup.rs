//! The parts of an instance: options, a relay, a database and a run log.

use std::env;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use twentyfirst_client::AgentClient;
use twentyfirst_client::run_log::{AnyRunLog, MemoryLog};
use twentyfirst_local_relay::LocalRelay;

use crate::Failure;
use crate::agent;
use crate::database::Database;
use crate::server::Server;

/// The options of the command line.
pub(crate) struct Options {
    /// 0 for any free port.
    pub(crate) port: u16,
    pub(crate) instances: usize,
    redis: Option<String>,
    /// The most that each user may spend a day, in US dollars.
    budget: Option<f64>,
}

impl Options {
    pub(crate) fn read() -> Result<Self, Failure> {
        let port = env::var("PORT").unwrap_or_else(|_| "0".to_owned());
        let mut options = Self {
            port: number("PORT", &port)?,
            instances: 1,
            redis: None,
            budget: None,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--instances" => options.instances = number("--instances", &value()?)?,
                "--budget" => options.budget = Some(number("--budget", &value()?)?),
                "--redis" => options.redis = Some(value()?),
                port => options.port = number("the port", port)?,
            }
        }
        Ok(options)
    }
}

fn number<N: FromStr>(name: &str, text: &str) -> Result<N, String> {
    let number = text.parse();
    number.map_err(|_| format!("{name} has to be a number in range, and not {text}"))
}

/// The parts that all instances share.
#[derive(Clone)]
pub(crate) struct Setup {
    relay: Relay,
    database: Arc<Database>,
    log: Log,
    budget: Option<f64>,
}

/// The real relay with `API_KEY_21ST` and `AGENT_SLUG`, or else a local relay in this process, which lives as long as it is used.
#[derive(Clone)]
enum Relay {
    Real { agent: String },
    Local(Arc<LocalRelay>),
}

/// The run log, where answers are recorded.
#[derive(Clone)]
enum Log {
    /// In the memory of the only instance.
    Own,
    /// In the memory of this process, for all its instances.
    Memory(MemoryLog),
    Redis(String),
}

impl Setup {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let relay = Relay::find()?;
        let database = match env::var("DATABASE") {
            Ok(path) => Database::open(&path)?,
            Err(_) if matches!(relay, Relay::Local(_)) => Database::open(":memory:")?,
            Err(_) => Database::open("web_chat.db")?,
        };
        let log = match &options.redis {
            Some(url) => Log::Redis(url.clone()),
            None if options.instances > 1 => Log::Memory(MemoryLog::new(tokio::time::sleep)),
            None => Log::Own,
        };
        Ok(Self {
            relay,
            database: Arc::new(database),
            log,
            budget: options.budget,
        })
    }

    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// Creates a server with its own client.
    pub(crate) fn server(&self) -> Result<Server, twentyfirst_client::Error> {
        let (client, agent) = match &self.relay {
            Relay::Real { agent } => (AgentClient::from_env()?, agent.clone()),
            Relay::Local(relay) => {
                let builder = AgentClient::builder().api_key(relay.api_key());
                let client = builder.base_url(relay.url()).build()?;
                (client, "assistant".to_owned())
            }
        };
        Ok(Server {
            client,
            agent,
            database: self.database(),
            budget: self.budget,
        })
    }

    /// Returns the log that the instances share, with a new connection; `None` for a single instance.
    pub(crate) async fn log(&self) -> Result<Option<AnyRunLog>, Failure> {
        match &self.log {
            Log::Own => Ok(None),
            Log::Memory(log) => Ok(Some(AnyRunLog::new(log.clone()))),
            Log::Redis(url) => redis(url).await.map(Some),
        }
    }
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<AnyRunLog, Failure> {
    let log = twentyfirst_client::run_log::RedisLog::connect(url).await?;
    Ok(AnyRunLog::new(log))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<AnyRunLog, Failure> {
    Err("--redis needs the feature: cargo run --example web_chat --features redis".into())
}

impl Relay {
    fn find() -> Result<Self, Failure> {
        if env::var_os("API_KEY_21ST").is_some() {
            let agent = env::var("AGENT_SLUG")
                .map_err(|_| "AGENT_SLUG is not set: with API_KEY_21ST it has to name an agent")?;
            return Ok(Self::Real { agent });
        }
        let relay = LocalRelay::builder()
            .agent("assistant", agent::assistant())
            // The real relay holds an answer back from readers that join its run, mostly until the end. The demo shows it at once.
            .hold_back(Duration::ZERO)
            .start()?;
        println!("No API_KEY_21ST: using a local relay at {}.", relay.url());
        Ok(Self::Local(Arc::new(relay)))
    }
}
