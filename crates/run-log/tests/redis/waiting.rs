//! Reads that wait: how many connections they take, and whether they are woken.

use std::time::{Duration, Instant};

use twentyfirst_run_log::{LogId, RedisLog};

use crate::server::{PATIENCE, Server};
use crate::{append, connect, create, read, server_or_return};

/// How many clients wait for a stream.
fn waiting(server: &Server) -> usize {
    let info = server.command(&["INFO", "clients"]);
    let line = info
        .lines()
        .find_map(|it| it.strip_prefix("blocked_clients:"));
    line.unwrap().parse().unwrap()
}

async fn until_waiting(server: &Server, count: usize) {
    let start = Instant::now();
    while waiting(server) != count {
        assert!(start.elapsed() < PATIENCE, "{} wait", waiting(server));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_at_one_position_take_one_connection() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let (readers, id) = (readers.clone(), id.clone());
            tokio::spawn(async move { read(&readers, &id, (1, 0), PATIENCE).await })
        })
        .collect();
    until_waiting(&server, 1).await;
    // The writer's, the readers', the one that waits, and the one that asks.
    let info = server.command(&["INFO", "clients"]);
    assert!(info.contains("connected_clients:4\r"), "{info}");
    append(&writer, &id, (1, 1), "b").await.unwrap();
    for task in tasks {
        let page = task.await.unwrap().unwrap();
        assert_eq!(page.entries.len(), 1);
        assert_eq!(page.entries[0].1, "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_dropped_while_it_waits_spoils_no_connection() {
    let server = server_or_return!();
    let writer = connect(&server).await;
    let readers = RedisLog::builder(&server.url())
        .max_waiting_connections(1)
        .connect()
        .await
        .unwrap();
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let quiet = LogId::run("quiet");
    create(&writer, &quiet, (1, 0), "a").await.unwrap();
    let start = Instant::now();
    for seq in 1..=20 {
        // Its connection still waits, for a log that nobody writes.
        let dropped = read(&readers, &quiet, (1, 0), PATIENCE);
        let dropped = tokio::time::timeout(Duration::from_millis(20), dropped).await;
        assert!(dropped.is_err());
        let next = read(&readers, &id, (1, seq - 1), PATIENCE);
        let append = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            append(&writer, &id, (1, seq), "b").await.unwrap();
        };
        let (next, ()) = tokio::join!(next, append);
        let at: Vec<_> = next.unwrap().entries.iter().map(|(at, _)| at.seq).collect();
        assert_eq!(at, [seq]);
    }
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    until_waiting(&server, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_wait_than_may_and_all_readers_are_woken() {
    let server = server_or_return!();
    let writer = connect(&server).await;
    let readers = RedisLog::builder(&server.url())
        .max_waiting_connections(4)
        .connect()
        .await
        .unwrap();
    let ids: Vec<_> = (0..20).map(|it| LogId::run(&it.to_string())).collect();
    let mut tasks = Vec::new();
    for id in &ids {
        create(&writer, id, (1, 0), "a").await.unwrap();
        let (readers, id) = (readers.clone(), id.clone());
        tasks.push(tokio::spawn(async move {
            read(&readers, &id, (1, 0), PATIENCE).await
        }));
    }
    until_waiting(&server, 4).await;
    let start = Instant::now();
    for id in &ids {
        append(&writer, id, (1, 1), "b").await.unwrap();
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().entries.len(), 1);
    }
    assert!(start.elapsed() < PATIENCE / 3, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_writes_a_log_waits_for_it_without_a_connection() {
    let server = server_or_return!();
    let (log, other) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let start = Instant::now();
    for seq in 1..=10 {
        let own = read(&log, &id, (1, seq - 1), PATIENCE);
        let write = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(waiting(&server), 0);
            append(&log, &id, (1, seq), "b").await.unwrap();
        };
        let (own, ()) = tokio::join!(own, write);
        assert_eq!(own.unwrap().entries.len(), 1);
    }
    // Woken: a log of one's own is looked at only once a second.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );

    // Another takes the log over: that is noticed, too.
    let taken = read(&log, &id, (1, 10), PATIENCE);
    let take = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        append(&other, &id, (2, 0), "c").await.unwrap();
    };
    let start = Instant::now();
    let (taken, ()) = tokio::join!(taken, take);
    assert_eq!(taken.unwrap().entries[0].1, "c");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_with_limits_and_waits_of_their_own_share_what_they_wait_for() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let long = read(&readers, &id, (1, 0), PATIENCE);
    let short = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let page = read(&readers, &id, (1, 0), Duration::from_millis(50)).await;
        assert!(page.unwrap().is_empty());
        append(&writer, &id, (1, 1), "b").await.unwrap();
    };
    let (page, ()) = tokio::join!(long, short);
    assert_eq!(page.unwrap().entries.len(), 1);
}
