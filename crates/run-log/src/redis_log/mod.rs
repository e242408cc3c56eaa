//! Logs in Redis or Valkey.

mod builder;
mod link;
mod listen;
mod values;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Pipeline, RedisError, Value};
use tokio::time::Instant;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

pub use self::builder::{ConnectError, RedisLogBuilder};
use self::link::Link;
use self::values::{Failure, entries, executed, has_code, is_not_above, replies};
use self::wait::{Flight, Waits};
use crate::{AppendError, Page, ReadError, RunLog};

/// The name of the one field of a stream entry.
const FIELD: &str = "e";

/// The largest `COUNT` of a page. Redis refuses counts beyond its integers, such as `usize::MAX`.
const MOST: usize = 1_000_000;

/// The longest time to live and the longest wait. Redis and tokio refuse or overflow far larger times.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A store in Redis 6.2 or later, or in Valkey, for any number of instances. Clones share the connections.
///
/// ```no_run
/// use twentyfirst_run_log::RedisLog;
///
/// # async fn connect() -> Result<(), twentyfirst_run_log::ConnectError> {
/// let log = RedisLog::connect("rediss://run-log:secret@redis.example.com/0").await?;
/// # Ok(())
/// # }
/// ```
///
/// # On the server
/// A log is a stream, and its positions are the ids of the stream's entries. `XADD` refuses ids that are not above the top, so one
/// command makes a fenced append. `NOMKSTREAM` keeps an append from creating a log that has vanished. Every append renews the log's time
/// to live (`PEXPIRE`), also a refused one.
///
/// Every log is one key, and every command uses one key. A key is the [`prefix`](RedisLogBuilder::prefix), `twentyfirst:` by default,
/// and the name of the log. The user needs no more permissions than these:
///
/// ```text
/// ACL SETUSER run-log on >secret ~twentyfirst:* resetchannels &twentyfirst:* -@all
///     +xadd +xrange +xrevrange +exists +pexpire +multi +exec +publish +subscribe +unsubscribe
/// ```
///
/// A database other than 0 needs `+select` as well. [`eviction`](Self::eviction) needs `+config|get`.
///
/// # Requirements on the server
/// - No eviction. With a `maxmemory-policy` other than `noeviction`, a server that is short of memory drops logs that are being written:
///   [`eviction`](Self::eviction) reports the policy. Without eviction, an append fails with [`AppendError::Full`] until there is room.
/// - Persistence. A server that restarts without its data has lost all logs ([`AppendError::Missing`]). With `appendonly yes` and
///   `appendfsync everysec`, it may lose the last second, and a log may then lack entries that its writer appended.
/// - No failover to a replica that lags behind, which loses entries in the same way.
///
/// # Connections
/// There are three. Appends share one and reads another, so that appends do not wait behind replays. A lost connection is replaced, and
/// the command that was lost with it is sent once more. A call takes at most 2 s by default ([`timeout`](RedisLogBuilder::timeout)),
/// without the wait of a read, and then fails with [`Unavailable`](AppendError::Unavailable).
///
/// The third is opened for the first read that waits, and receives the announcements of appends by all instances to any number of logs:
/// every append is followed by a `PUBLISH` of its position to a channel with the name of the log's key. Messages only wake reads; the
/// entries come from the log. A read notices a lost message or a lost log within a second. While the connection is lost, waiting reads
/// poll their logs every 50 ms.
///
/// Waiting reads always poll in a cluster, and if the user lacks the permission for the channels or for `publish`, `subscribe` and
/// `unsubscribe`. Everything works without these permissions, with more commands and with more delay.
///
/// # Runtime
/// Calls need a tokio runtime with IO and time enabled: the connection is a task of the runtime of the first call.
///
/// # TLS
/// `rediss://` verifies the server's certificate against the roots of the system, or those of
/// [`root_certificates`](RedisLogBuilder::root_certificates). It uses rustls with the process's default provider, and makes `ring` the
/// default if the process has none.
#[derive(Clone)]
pub struct RedisLog {
    shared: Arc<Shared>,
}

struct Shared {
    prefix: String,
    /// The address of the server, without user and password, for `Debug`.
    address: String,
    appends: Link,
    /// A separate connection, so that appends do not wait behind the pages of replays.
    reads: Arc<Link>,
    waits: Arc<Waits>,
}

/// The server's treatment of logs when it is short of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// The server drops no log and refuses appends: `noeviction`.
    Never,
    /// The server may drop logs that are being written. The value is the name of its policy, such as `allkeys-lru`.
    ByPolicy(String),
    /// The policy is unknown: the user may not read it, or the service has no such command.
    Unknown,
}

impl RedisLog {
    /// Connects to a server with default settings, and checks it.
    ///
    /// # Errors
    /// Those of [`RedisLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Returns a builder for a server's URL: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS, or
    /// `unix:///path`.
    pub fn builder(url: &str) -> RedisLogBuilder {
        RedisLogBuilder::new(url)
    }

    /// Asks the server for its eviction policy, which decides whether logs can get lost.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] if the server does not respond.
    pub async fn eviction(&self) -> Result<Eviction, ReadError> {
        let mut pipe = Pipeline::new();
        pipe.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
        let sent = self.shared.reads.send(&pipe).await.map_err(Failure::from)?;
        let text = |value: Option<Value>| match value {
            Some(Value::BulkString(text)) => String::from_utf8(text).ok(),
            _ => None,
        };
        let policy = match sent.into_iter().next() {
            Some(Value::Array(mut pair)) => text(pair.pop()),
            Some(Value::Map(mut pairs)) => text(pairs.pop().map(|(_, value)| value)),
            _ => None,
        };
        Ok(match policy {
            Some(policy) if policy == "noeviction" => Eviction::Never,
            Some(policy) => Eviction::ByPolicy(policy),
            None => Eviction::Unknown,
        })
    }
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLog")
            .field("address", &self.shared.address)
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}

impl RunLog for RedisLog {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Result<(), AppendError> {
        Ok(self.shared.append(log, at, &entry, keep).await?)
    }

    async fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Page, ReadError> {
        let limit = limit.max(1);
        if wait.is_zero() {
            return Ok(self.shared.look(log, after, limit).await?);
        }
        let deadline = Instant::now() + wait.min(LONGEST);
        let flight = Flight::join(&self.shared, log, after, limit);
        match flight.result(deadline).await {
            Some(result) => {
                let mut page = result?;
                // The flight has the limit of the reader that started it.
                page.entries.truncate(limit);
                Ok(page)
            }
            None => Ok(Page::default()),
        }
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, ReadError> {
        Ok(self.shared.last(log).await?)
    }
}

/// Stops the listener, which holds `waits` and would otherwise run for ever.
impl Drop for Shared {
    fn drop(&mut self) {
        self.waits.stop();
    }
}

fn count(limit: usize) -> usize {
    limit.clamp(1, MOST)
}

impl Shared {
    fn key(&self, log: &LogId) -> String {
        format!("{}{log}", self.prefix)
    }

    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: &[u8],
        keep: Keep,
    ) -> Result<(), Failure> {
        let key = self.key(log);
        let mut pipe = Pipeline::new();
        if keep.create {
            // A transaction: a log that was created, but whose PEXPIRE got lost with the connection, would stay for ever. An existing
            // log has its time to live already.
            pipe.cmd("MULTI");
        }
        pipe.cmd("XADD").arg(&key);
        if !keep.create {
            pipe.arg("NOMKSTREAM");
        }
        pipe.arg(at.to_string()).arg(FIELD).arg(entry);
        let ttl = keep.ttl.min(LONGEST).as_millis() as u64;
        pipe.cmd("PEXPIRE").arg(&key).arg(ttl.max(1));
        if keep.create {
            pipe.cmd("EXEC");
        }
        let wakes_others = self.appends.can_listen();
        if wakes_others {
            // After the append, so that a woken read finds the entry. Outside of the transaction, so that a user without the permission
            // to publish can append.
            pipe.cmd("PUBLISH").arg(&key).arg(at.to_string());
        }

        let mut sent = self.appends.send(&pipe).await?;
        if wakes_others {
            // The result of PUBLISH does not matter: waiting reads also look on their own.
            sent.pop();
        }
        if keep.create {
            sent = executed(sent)?;
        }
        let [added, expires] = replies(sent)?;
        match added {
            Value::Nil => Err(Failure::Missing),
            Value::ServerError(error) if is_not_above(&error) => {
                // The refusal may come from a repetition of this very append, after a lost reply.
                match self.entry(&key, at).await? == Some(entry.into()) {
                    true => Ok(()),
                    false => Err(Failure::Fenced),
                }
            }
            added => {
                added.extract_error()?;
                expires.extract_error()?;
                // Readers in this process need not wait for the message from the server.
                self.waits.wake(&key, at);
                Ok(())
            }
        }
    }

    /// Reads the entry at a position.
    async fn entry(&self, key: &str, at: Position) -> Result<Option<Vec<u8>>, Failure> {
        if at == Position::START {
            return Ok(None);
        }
        let mut pipe = Pipeline::new();
        pipe.cmd("XRANGE").arg(key);
        pipe.arg(at.to_string()).arg(at.to_string());
        // Over the connection of appends: it belongs to one, and must not wait behind replays.
        let [found] = replies(self.appends.send(&pipe).await?)?;
        let entry = entries(found)?.pop();
        Ok(entry.map(|(_, bytes)| bytes.into()))
    }

    /// Reads the entries above a position, without waiting.
    async fn look(&self, log: &LogId, after: Position, limit: usize) -> Result<Page, Failure> {
        let key = self.key(log);
        let mut pipe = Pipeline::new();
        // Redis refuses an exclusive range from the highest position. Read it inclusively: `retain` drops the entry.
        let (open, after) = match after == Position::new(u64::MAX, u64::MAX) {
            true => ("", after),
            false => ("(", after),
        };
        pipe.cmd("XRANGE").arg(&key);
        pipe.arg(format!("{open}{after}")).arg("+");
        pipe.arg("COUNT").arg(count(limit));
        let [found] = replies(self.reads.send(&pipe).await?)?;
        let mut page = Page::new(entries(found)?);
        page.entries.retain(|(at, _)| *at > after);
        // Only for an empty page: one that has entries proves that the log exists.
        if page.is_empty() && !self.exists(&key).await? {
            return Err(Failure::Missing);
        }
        Ok(page)
    }

    async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let mut pipe = Pipeline::new();
        pipe.cmd("EXISTS").arg(key);
        let [exists] = replies(self.reads.send(&pipe).await?)?;
        Ok(exists.extract_error()? != Value::Int(0))
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, Failure> {
        let mut pipe = Pipeline::new();
        pipe.cmd("XREVRANGE").arg(self.key(log));
        pipe.arg("+").arg("-").arg("COUNT").arg(1);
        let [found] = replies(self.reads.send(&pipe).await?)?;
        Ok(entries(found)?.pop())
    }

    /// Sends each command once, without any effect, to check that the server has it and the user may use it.
    async fn probe(&self) -> Result<(), RedisError> {
        // No log has this name: a `LogId` begins with its kind.
        let key = format!("{}probe", self.prefix);
        let mut pipe = Pipeline::new();
        pipe.cmd("MULTI");
        pipe.cmd("XADD").arg(&key).arg("NOMKSTREAM");
        pipe.arg("1-0").arg(FIELD).arg("");
        pipe.cmd("PEXPIRE").arg(&key).arg(1);
        pipe.cmd("XRANGE").arg(&key).arg("(0-1").arg("+");
        pipe.cmd("EXISTS").arg(&key);
        pipe.cmd("XREVRANGE").arg(&key).arg("+").arg("-");
        pipe.cmd("EXEC");
        match self.reads.send(&pipe).await.and_then(executed) {
            // A full server is suitable: it may have room again later.
            Err(error) if has_code(&error, "OOM") => Ok(()),
            Err(error) => Err(error),
            Ok(replies) => {
                let error = |reply: Value| reply.extract_error().err();
                replies.into_iter().find_map(error).map_or(Ok(()), Err)
            }
        }
    }
}
