//! Logs on real Redis servers, with and without faults. Without `redis-server` every test is skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod faults;
mod server;
mod waiting;

use std::time::Duration;

use bytes::Bytes;
use twentyfirst_run_log::{
    AppendError, Keep, LogId, Page, Position, ReadError, RedisLog, RunLog, contract,
};

/// Starts a server, or ends the test if there is none to start.
macro_rules! server_or_return {
    ($($argument:expr),*) => {
        match crate::server::start(&[$($argument),*]) {
            Some(server) => server,
            None => return,
        }
    };
}
use server_or_return;

const KEEP: Keep = Keep::existing(Duration::from_secs(60));

async fn connect(server: &server::Server) -> RedisLog {
    RedisLog::connect(&server.url()).await.unwrap()
}

async fn append(
    log: &RedisLog,
    id: &LogId,
    at: (u64, u64),
    entry: &'static str,
) -> Result<(), AppendError> {
    let at = Position::new(at.0, at.1);
    log.append(id, at, Bytes::from_static(entry.as_bytes()), KEEP)
        .await
}

async fn create(
    log: &RedisLog,
    id: &LogId,
    at: (u64, u64),
    entry: &'static str,
) -> Result<(), AppendError> {
    let at = Position::new(at.0, at.1);
    let entry = Bytes::from_static(entry.as_bytes());
    log.append(id, at, entry, KEEP.or_create()).await
}

async fn read(
    log: &RedisLog,
    id: &LogId,
    after: (u64, u64),
    wait: Duration,
) -> Result<Page, ReadError> {
    let after = Position::new(after.0, after.1);
    log.read(id, after, 100, wait).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let server = server_or_return!();
    contract::check(&connect(&server).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract_over_resp3_and_in_another_database() {
    let server = server_or_return!();
    let log = RedisLog::builder(&format!("{}/3?protocol=resp3", server.url()))
        .prefix("p{*}: ")
        .connect()
        .await
        .unwrap();
    contract::check(&log).await.unwrap();
    assert!(server.command(&["DBSIZE"]).starts_with(":0"));
}
