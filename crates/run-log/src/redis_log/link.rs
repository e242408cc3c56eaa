//! Connections to the server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::values::has_code;

/// A way to the server: one connection that commands share, and as many that hear of appends as are asked for.
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

/// The connection that is shared, and the how manieth it is.
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

    /// Returns whether appends can be heard of. In a cluster every message would go to every node.
    pub(super) fn can_listen(&self) -> bool {
        match *self.server {
            Server::Single(_) => true,
            #[cfg(feature = "redis-cluster")]
            Server::Cluster(_) => false,
        }
    }

    /// Sends commands and returns their replies, errors among them, within the time limit.
    ///
    /// A connection that has been closed is noticed only by the next command. That one is sent again over a new connection: all that
    /// the run log sends can be repeated.
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
                // Either the server is slow, or it is gone and nothing says so. A new connection is right for both.
                // Whoever holds the lock makes one already.
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
            // `send` has the time limit.
            .set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Opens a connection that hears what is published.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        match &*self.server {
            Server::Single(client) => {
                let opened = timeout(self.timeout, client.get_async_pubsub()).await;
                opened.unwrap_or_else(|_| Err(self.no_response()))
            }
            #[cfg(feature = "redis-cluster")]
            Server::Cluster(_) => Err(self.no_response()),
        }
    }

    pub(super) fn no_response(&self) -> RedisError {
        let text = format!("Redis did not respond within {:?}", self.timeout);
        io::Error::new(io::ErrorKind::TimedOut, text).into()
    }
}

impl Current {
    /// Lets the next command make a new connection, unless another did so already.
    fn give_up(&mut self, used: Option<u64>) {
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
    (error.is_io_error() || error.is_unrecoverable_error()) && !error.is_timeout()
}

/// A server that was the primary and no longer is: another has taken its name over.
fn is_of_a_replica(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "READONLY")
}
