//! Connections that can be interrupted individually.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::Uri;
use http::uri::{Authority, Scheme};
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::connection::{Sent, TrackedConnector};

/// All connections of a transport. Each is a separate agent that runs one exchange at a time.
///
/// ```text
///   take ──► lane ──► response read to its end ──► idle ──► taken again, or closed when it is too old
///              └────► dropped before ──► Agent::shutdown: its socket is closed, and what blocks on it ends
/// ```
///
/// `ureq` can interrupt all exchanges of an agent, but not a single one: so each exchange has its own agent. The agent's pool holds
/// its one connection while it is idle, and knows whether the connection is still open.
pub(super) struct Lanes {
    config: Config,
    connector: Arc<DefaultConnector>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    agent: Agent,
    sent: Sent,
    server: Server,
    since: Instant,
}

type Server = Option<(Scheme, Authority)>;

/// An agent for one exchange. Dropping it interrupts the exchange.
pub(super) struct Lane {
    agent: Agent,
    sent: Sent,
    server: Server,
    lanes: Arc<Lanes>,
    is_over: bool,
}

impl Lanes {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            connector: Arc::default(),
            idle: Mutex::default(),
        }
    }

    /// Returns the most recently used idle connection to this server, or a new agent.
    pub(super) fn take(self: &Arc<Self>, uri: &Uri) -> Lane {
        let server = uri.scheme().cloned().zip(uri.authority().cloned());
        let idle = {
            let mut idle = self.lock();
            // The most recent is the least likely to be closed by the server.
            let place = idle.iter().rposition(|idle| idle.server == server);
            place.map(|place| idle.remove(place))
        };
        let (agent, sent) = match idle {
            Some(idle) => (idle.agent, idle.sent),
            None => self.make(),
        };
        sent.set(false);
        Lane {
            agent,
            sent,
            server,
            lanes: Arc::clone(self),
            is_over: false,
        }
    }

    fn make(&self) -> (Agent, Sent) {
        let sent = Sent::default();
        let connector = TrackedConnector {
            connector: Arc::clone(&self.connector),
            sent: sent.clone(),
        };
        let resolver = DefaultResolver::default();
        let agent = Agent::with_parts(self.config.clone(), connector, resolver);
        (agent, sent)
    }

    /// Locks the idle agents and drops those that were idle for too long.
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < self.config.max_idle_age());
        idle
    }
}

impl Lane {
    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Returns whether the request may have been sent, once the exchange has ended.
    pub(super) fn maybe_sent(&self) -> bool {
        self.sent.get()
    }

    /// Keeps the connection for the next exchange.
    pub(super) fn give_back(mut self) {
        self.is_over = true;
        let (agent, sent) = (self.agent.clone(), self.sent.clone());
        let server = mem::take(&mut self.server);
        let config = &self.lanes.config;
        let mut idle = self.lanes.lock();
        // Beyond the limits, the agent is dropped here, which closes its connection.
        let same = idle.iter().filter(|idle| idle.server == server).count();
        if same < config.max_idle_connections_per_host()
            && idle.len() < config.max_idle_connections()
        {
            let since = Instant::now();
            idle.push(Idle {
                agent,
                sent,
                server,
                since,
            });
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.is_over {
            self.agent.clone().shutdown();
        }
    }
}
