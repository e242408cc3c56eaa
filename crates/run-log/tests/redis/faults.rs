//! Faults of a server with logs: closed connections, full memory, lost data, crashes, hangs.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_run_log::{AppendError, LogId, Position, ReadError, RedisLog, RunLog};

use crate::server::{PATIENCE, Server};
use crate::{KEEP, append, connect, create, read, server_or_return};

const NO_WAIT: Duration = Duration::ZERO;

/// Connects with a time limit that is short enough for a test.
async fn connect_impatiently(server: &Server) -> RedisLog {
    RedisLog::builder(&server.url())
        .timeout(Duration::from_secs(1))
        .connect()
        .await
        .unwrap()
}

/// Returns everything that an error prints.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// Appends an entry, and repeats that while the server is unavailable.
async fn append_at_last(log: &RedisLog, id: &LogId, at: (u64, u64), entry: &'static str) {
    let start = Instant::now();
    loop {
        match append(log, id, at, entry).await {
            Ok(()) => return,
            Err(AppendError::Unavailable(_)) if start.elapsed() < PATIENCE => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_connections_neither_lose_nor_double_entries() {
    const ENTRIES: u64 = 300;
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let reading = tokio::spawn({
        let id = id.clone();
        async move {
            let mut after = Position::START;
            let mut seen = Vec::new();
            while after.seq < ENTRIES {
                match readers.read(&id, after, 100, PATIENCE).await {
                    Ok(page) => seen.extend(page.entries.iter().map(|(at, _)| at.seq)),
                    Err(ReadError::Unavailable(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
                after.seq = seen.last().copied().unwrap_or_default();
                after.epoch = 1;
            }
            seen
        }
    });
    for seq in 1..=ENTRIES {
        if seq % 3 == 0 {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        if seq % 5 == 0 {
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
        append_at_last(&writer, &id, (1, seq), "b").await;
    }
    let seen = reading.await.unwrap();
    // Also the first entry, at 0, only once: a reader that begins again would read it twice.
    assert!(seen.iter().copied().eq(0..=ENTRIES), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_reads_survive_one_closed_connection() {
    let server = server_or_return!();
    let log = connect(&server).await;
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    for seq in 1..=20 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        append(&log, &id, (1, seq), "b").await.unwrap();
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(log.last(&id).await.unwrap().unwrap().0.seq, seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_entries_until_there_is_room() {
    let server = server_or_return!("--maxmemory-policy", "noeviction");
    let log = connect(&server).await;
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);

    for full in [
        append(&log, &id, (1, 1), "b").await,
        create(&log, &LogId::run("another"), (1, 0), "a").await,
    ] {
        let full = full.unwrap_err();
        assert!(matches!(full, AppendError::Full(_)), "{full:?}");
        let text = whole(&full);
        assert!(text.starts_with("the store of the log is full: "), "{text}");
        assert!(text.contains("OOM"), "{text}");
    }
    // A full server still accepts connections and reads.
    let reader = connect(&server).await;
    let page = read(&reader, &id, (0, 0), NO_WAIT).await.unwrap();
    assert_eq!(page.entries.len(), 1);

    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    append(&log, &id, (1, 1), "b").await.unwrap();
    let page = read(&log, &id, (0, 0), NO_WAIT).await.unwrap();
    assert_eq!(page.entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_log_is_missing_and_is_never_recreated() {
    let server = server_or_return!();
    let (log, other) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let waits = tokio::spawn({
        let id = id.clone();
        async move { read(&other, &id, (1, 0), PATIENCE).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.command(&["FLUSHALL"]);

    for at in [(1, 0), (1, 1), (2, 0)] {
        let missing = append(&log, &id, at, "a").await;
        assert!(matches!(missing, Err(AppendError::Missing)), "{missing:?}");
    }
    let missing = read(&log, &id, (0, 0), PATIENCE).await;
    assert!(matches!(missing, Err(ReadError::Missing)), "{missing:?}");
    assert_eq!(log.last(&id).await.unwrap(), None);
    // `PEXPIRE` creates no key, either.
    assert!(server.command(&["DBSIZE"]).starts_with(":0"));
    let start = Instant::now();
    let missing = waits.await.unwrap();
    assert!(matches!(missing, Err(ReadError::Missing)), "{missing:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persistent_server_has_its_logs_after_a_crash() {
    let mut server = server_or_return!("--appendonly", "yes", "--appendfsync", "always");
    let (log, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    append(&log, &id, (1, 1), "b").await.unwrap();
    server.restart();
    append(&log, &id, (1, 1), "b").await.unwrap();
    append(&log, &id, (1, 2), "c").await.unwrap();
    let fenced = append(&log, &id, (1, 1), "B").await;
    assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    let page = read(&readers, &id, (0, 0), NO_WAIT).await.unwrap();
    assert_eq!(page.entries.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_persistence_loses_its_logs_in_a_crash() {
    let mut server = server_or_return!();
    let log = connect(&server).await;
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    server.restart();
    let missing = append(&log, &id, (1, 1), "b").await;
    assert!(matches!(missing, Err(AppendError::Missing)), "{missing:?}");
    let missing = read(&log, &id, (0, 0), NO_WAIT).await;
    assert!(matches!(missing, Err(ReadError::Missing)), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_unavailable_until_it_is_back() {
    let mut server = server_or_return!("--appendonly", "yes", "--appendfsync", "always");
    let (log, readers) = (connect_impatiently(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let waits = tokio::spawn({
        let (readers, id) = (readers.clone(), id.clone());
        async move { read(&readers, &id, (1, 0), PATIENCE).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();

    let down = append(&log, &id, (1, 1), "b").await;
    assert!(matches!(down, Err(AppendError::Unavailable(_))), "{down:?}");
    let down = read(&log, &id, (0, 0), NO_WAIT).await;
    assert!(matches!(down, Err(ReadError::Unavailable(_))), "{down:?}");
    let down = waits.await.unwrap();
    assert!(matches!(down, Err(ReadError::Unavailable(_))), "{down:?}");

    server.start_again();
    append_at_last(&log, &id, (1, 1), "b").await;
    let page = read(&readers, &id, (1, 0), PATIENCE).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_server_is_unavailable_in_bounded_time_and_applies_nothing_twice() {
    let server = server_or_return!();
    let log = connect_impatiently(&server).await;
    let readers = connect_impatiently(&server).await;
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let waits = read(&readers, &id, (1, 0), Duration::from_millis(100)).await;
    assert!(waits.unwrap().is_empty());

    server.signal("-STOP");
    let start = Instant::now();
    let hangs = append(&log, &id, (1, 1), "b").await.unwrap_err();
    assert!(matches!(hangs, AppendError::Unavailable(_)), "{hangs:?}");
    assert_eq!(
        whole(&hangs),
        "the store of the log is unavailable: Redis did not respond within 1s"
    );
    // The server hangs longer than the wait: the read must fail, not return an empty page.
    let hangs = read(&readers, &id, (1, 0), Duration::from_millis(100)).await;
    assert!(matches!(hangs, Err(ReadError::Unavailable(_))), "{hangs:?}");
    let hangs = log.last(&id).await;
    assert!(matches!(hangs, Err(ReadError::Unavailable(_))), "{hangs:?}");
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    server.signal("-CONT");

    append_at_last(&log, &id, (1, 1), "b").await;
    append_at_last(&log, &id, (1, 2), "c").await;
    let page = read(&readers, &id, (0, 0), NO_WAIT).await.unwrap();
    assert_eq!(page.entries.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_data_is_refused_with_a_description() {
    let server = server_or_return!();
    let log = connect(&server).await;
    server.command(&["SET", "twentyfirst:run/text", "x"]);
    server.command(&["XADD", "twentyfirst:run/fields", "1-0", "e", "x", "f", "y"]);
    server.command(&["XADD", "twentyfirst:run/name", "1-0", "other", "x"]);
    for (id, expected) in [
        ("text", "WRONGTYPE"),
        ("fields", "an entry with other fields"),
        ("name", "an entry with other fields"),
    ] {
        let id = LogId::run(id);
        for wait in [NO_WAIT, PATIENCE] {
            let error = read(&log, &id, (0, 0), wait).await.unwrap_err();
            assert!(whole(&error).contains(expected), "{}", whole(&error));
        }
        let error = log.last(&id).await.unwrap_err();
        assert!(whole(&error).contains(expected), "{}", whole(&error));
    }
    let id = LogId::run("text");
    let error = append(&log, &id, (2, 0), "a").await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    assert!(whole(&error).contains("WRONGTYPE"), "{}", whole(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_has_a_time_to_live_even_after_a_refused_append() {
    let server = server_or_return!();
    let log = connect(&server).await;
    let id = LogId::run("r");
    let at = Position::new(1, 0);
    let refused = log.append(&id, Position::START, Bytes::new(), KEEP.or_create());
    assert!(matches!(refused.await, Err(AppendError::Fenced)));
    assert!(server.command(&["DBSIZE"]).starts_with(":0"));
    log.append(&id, at, Bytes::new(), KEEP.or_create())
        .await
        .unwrap();
    let ttl = server.command(&["PTTL", "twentyfirst:run/r"]);
    let ttl: i64 = ttl.trim_start_matches(':').trim().parse().unwrap();
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
}
