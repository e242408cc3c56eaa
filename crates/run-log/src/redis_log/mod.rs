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

/// The one field of an entry.
const FIELD: &str = "e";

/// More entries than a page ever has.
const MOST: usize = 1_000_000;

/// No log is kept longer.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Logs in Redis 6.2 or later, or in Valkey: for any number of instances. Clones share the connections.
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
/// A log is a stream, and its positions are the ids of the stream's entries: `XADD` refuses ids that are not above the top, so that one
/// command is a fenced append. `NOMKSTREAM` keeps a log that vanished from coming back. Every append sets when the log expires
/// (`PEXPIRE`), also one that is refused.
///
/// Every log is a key of its own and every command has one key. The keys are `twentyfirst:` and the name of the log; the builder has
/// [`prefix`](RedisLogBuilder::prefix) for another. The user needs no more than this:
///
/// ```text
/// ACL SETUSER run-log on >secret ~twentyfirst:* resetchannels &twentyfirst:* -@all
///     +xadd +xrange +xrevrange +exists +pexpire +multi +exec +publish +subscribe +unsubscribe
/// ```
///
/// and `+select` for a database other than 0. `+config|get` lets [`eviction`](Self::eviction) see the server's policy.
///
/// # What the server must not do
/// - Evict: with a `maxmemory-policy` other than `noeviction`, a server that is short of memory drops logs that are being written.
///   [`eviction`](Self::eviction) tells. Without eviction, an append gets [`AppendError::Full`], and works again once there is room.
/// - Forget: a server that restarts without its data has lost all logs ([`AppendError::Missing`]). With `appendonly yes` and
///   `appendfsync everysec`, it may lose the last second: a log that is shorter than its writer knows.
/// - Fail over to a replica that is behind: the same.
///
/// # Connections
/// There are three. Appends share one and reads another, so that what is written does not wait behind what is replayed. Each is made
/// anew when it is lost, and a command that was lost with it is sent once more. Each call takes at most 2 s beside its wait, or as
/// [`timeout`](RedisLogBuilder::timeout) says, and then fails as [`Unavailable`](AppendError::Unavailable).
///
/// The third is made for the first read that waits, and hears of the appends of all instances to any number of logs: every append is
/// followed by a `PUBLISH` of its position, to a channel that has the name of the log's key. Messages only wake reads; entries
/// come from the log. A message that is lost, and a log that is gone, are noticed within a second. As long as the connection is lost,
/// the logs that are waited for are looked at every 50 ms.
///
/// So they are, for good, in a cluster, and where the user may not use the channels or `publish`, `subscribe` and `unsubscribe`:
/// all works without these, with more commands and later.
///
/// # Runtime
/// Calls have to be made within a tokio runtime with its IO and time enabled: the connection is a task of the runtime of the first call.
///
/// # TLS
/// `rediss://` verifies the server's certificate against the roots of the system, or those of
/// [`root_certificates`](RedisLogBuilder::root_certificates). It uses rustls with the process's default provider; where the process has
/// none, `ring` becomes it.
#[derive(Clone)]
pub struct RedisLog {
    shared: Arc<Shared>,
}

struct Shared {
    prefix: String,
    /// Where the server is, without user and password.
    address: String,
    appends: Link,
    /// Of its own, so that appends do not wait behind the pages of those who replay.
    reads: Arc<Link>,
    waits: Arc<Waits>,
}

/// What the server does with logs when it is short of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// It drops none, and refuses appends: `noeviction`.
    Never,
    /// It may drop logs that are being written, by the policy of this name, such as `allkeys-lru`.
    ByPolicy(String),
    /// It does not say: the user may not ask, or the service has no such command.
    Unknown,
}

impl RedisLog {
    /// Connects to a server by its URL, and checks it: see [`RedisLogBuilder::connect`].
    ///
    /// # Errors
    /// [`ConnectError`] says what is the matter.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Begins with the URL of a server: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`.
    pub fn builder(url: &str) -> RedisLogBuilder {
        RedisLogBuilder::new(url)
    }

    /// Asks what the server does when it is short of memory: whether logs can get lost.
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

/// The listener has no use for itself.
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
            // A log that was created, but whose PEXPIRE got lost with the connection, would stay for ever. A log that exists has its
            // time to live already.
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
            // Behind what it tells of, and not within the transaction, which would be refused where this is.
            pipe.cmd("PUBLISH").arg(&key).arg(at.to_string());
        }

        let mut sent = self.appends.send(&pipe).await?;
        if wakes_others {
            // Whether it was published or not: those who wait look for themselves.
            sent.pop();
        }
        if keep.create {
            sent = executed(sent)?;
        }
        let [added, expires] = replies(sent)?;
        match added {
            Value::Nil => Err(Failure::Missing),
            Value::ServerError(error) if is_not_above(&error) => {
                match self.entry(&key, at).await? == Some(entry.into()) {
                    true => Ok(()),
                    false => Err(Failure::Fenced),
                }
            }
            added => {
                added.extract_error()?;
                expires.extract_error()?;
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
        let [found] = replies(self.appends.send(&pipe).await?)?;
        let entry = entries(found)?.pop();
        Ok(entry.map(|(_, bytes)| bytes.into()))
    }

    /// Reads what is there, without waiting.
    async fn look(&self, log: &LogId, after: Position, limit: usize) -> Result<Page, Failure> {
        let key = self.key(log);
        let mut pipe = Pipeline::new();
        // Nothing is above the last of all positions, which Redis refuses to be asked for.
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

    /// Sends each command once in a way that changes nothing, to see whether the server has it and the user may use it.
    async fn probe(&self) -> Result<(), RedisError> {
        // No log has this name.
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
            // The server is full, which may pass.
            Err(error) if has_code(&error, "OOM") => Ok(()),
            Err(error) => Err(error),
            Ok(replies) => {
                let error = |reply: Value| reply.extract_error().err();
                replies.into_iter().find_map(error).map_or(Ok(()), Err)
            }
        }
    }
}
