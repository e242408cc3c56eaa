//! Connections to the server.
//!
//! ```text
//!   send ─► current connection, or a new one ─► replies
//!              │ lost ─► give it up ─► send once more
//!              │ no reply in time, or a replica replies ─► give it up ─► error
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::values::has_code;

/// A route to the server: one connection for all commands, replaced when it is lost, and a new connection for each listener.
pub(super) struct Link {
    server: Arc<Server>,
    timeout: Duration,
    current: Mutex<Current>,
}

pub(super) enum Server {
    Single(Box<Client>),
    #[cfg(feature = "redis-cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
}

/// The shared connection and its number. The number tells a failed call whether another call has replaced the connection already.
#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    generation: u64,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Link {
    pub(super) fn new(server: Arc<Server>, timeout: Duration) -> Self {
        Self {
            server,
            timeout,
            current: Mutex::default(),
        }
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether the server can announce appends. A cluster is excluded: it sends every message to every node.
    pub(super) fn can_listen(&self) -> bool {
        match *self.server {
            Server::Single(_) => true,
            #[cfg(feature = "redis-cluster")]
            Server::Cluster(_) => false,
        }
    }

    /// Sends commands within the time limit, and returns their replies. Error replies are values.
    ///
    /// If the server closes an idle connection, only the next command notices. That command is sent once more over a new connection, which
    /// is safe because every command of the run log can be repeated.
    pub(super) async fn send(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut used = None;
        let sending = async {
            match self.send_once(commands, &mut used).await {
                Err(error) if is_lost(&error) => self.send_once(commands, &mut used).await,
                sent => sent,
            }
        };
        match timeout(self.timeout, sending).await {
            Ok(sent) => sent,
            Err(_) => {
                // The server is slow, or it is gone without closing the connection. A new connection is right for both.
                // If the lock is taken, another call is making one.
                if let Ok(mut current) = self.current.try_lock() {
                    current.give_up(used);
                }
                Err(self.no_response())
            }
        }
    }

    async fn send_once(
        &self,
        commands: &Pipeline,
        used: &mut Option<u64>,
    ) -> RedisResult<Vec<Value>> {
        let (mut connection, generation) = self.connection().await?;
        *used = Some(generation);
        let sent = connection.send(commands).await;
        let is_lost = match &sent {
            Ok(values) => values.iter().any(is_of_a_replica),
            Err(error) => is_lost(error) || has_code(error, "READONLY"),
        };
        if is_lost {
            self.current.lock().await.give_up(Some(generation));
        }
        sent
    }

    async fn connection(&self) -> RedisResult<(Connection, u64)> {
        // Held while connecting, so that concurrent calls share the new connection.
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.generation));
        }
        let connection = match &*self.server {
            Server::Single(client) => Connection::Single(self.open(client).await?),
            #[cfg(feature = "redis-cluster")]
            Server::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        current.connection = Some(connection.clone());
        current.generation += 1;
        Ok((connection, current.generation))
    }

    async fn open(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            // `send` applies the time limit, to the repetition as well.
            .set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Opens a connection for subscriptions.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        match &*self.server {
            Server::Single(client) => {
                let opened = timeout(self.timeout, client.get_async_pubsub()).await;
                opened.unwrap_or_else(|_| Err(self.no_response()))
            }
            #[cfg(feature = "redis-cluster")]
            // Never called: see `can_listen`.
            Server::Cluster(_) => Err(self.no_response()),
        }
    }

    pub(super) fn no_response(&self) -> RedisError {
        let text = format!("Redis did not respond within {:?}", self.timeout);
        io::Error::new(io::ErrorKind::TimedOut, text).into()
    }
}

impl Current {
    /// Drops the connection that a failed call used, so that the next call makes a new one. Keeps a newer connection.
    fn give_up(&mut self, used: Option<u64>) {
        // The calls that shared a lost connection fail one after the other. A later one must not drop the replacement.
        if used == Some(self.generation) {
            self.connection = None;
        }
    }
}

impl Connection {
    async fn send(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        match self {
            Self::Single(it) => it.req_packed_commands(commands, 0, count).await,
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(it) => it.req_packed_commands(commands, 0, count).await,
        }
    }
}

fn is_lost(error: &RedisError) -> bool {
    // Not a timeout: no time of the call is left for sending once more.
    (error.is_io_error() || error.is_unrecoverable_error()) && !error.is_timeout()
}

/// Returns whether the reply comes from a server that was the primary and has become a replica. Another server has its name now, so a
/// new connection leads to the primary.
fn is_of_a_replica(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "READONLY")
}
