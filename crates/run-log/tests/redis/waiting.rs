//! Reads that wait: their connections, their delays, and lost messages.

use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use twentyfirst_run_log::{LogId, Page, ReadError, RedisLog};

use crate::server::{PATIENCE, Server};
use crate::{append, connect, create, read, server_or_return};

/// The interval of looks at a log with a subscription.
const LOOK: Duration = Duration::from_secs(1);

/// The delay within which a message wakes a read, even on a busy machine. A read that misses a message takes longer: it began just before
/// the append, and looks again only after [`LOOK`].
const WOKEN: Duration = Duration::from_millis(900);

/// Returns the number of connections to the server, including the one that asks.
fn connections(server: &Server) -> usize {
    let info = server.command(&["INFO", "clients"]);
    let mut lines = info.lines();
    let line = lines.find_map(|it| it.strip_prefix("connected_clients:"));
    line.unwrap().parse::<usize>().unwrap() - 1
}

/// Returns the number of these logs with a subscription.
fn subscribed(server: &Server, ids: &[LogId]) -> usize {
    let keys: Vec<_> = ids.iter().map(|id| format!("twentyfirst:{id}")).collect();
    let mut command = vec!["PUBSUB", "NUMSUB"];
    command.extend(keys.iter().map(String::as_str));
    let reply = server.command(&command);
    reply.matches("\r\n:1").count()
}

async fn until_connected(server: &Server, count: usize) {
    let start = Instant::now();
    while connections(server) != count {
        let count = connections(server);
        assert!(start.elapsed() < PATIENCE, "{count} are connected");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_subscribed(server: &Server, ids: &[LogId], count: usize) {
    let start = Instant::now();
    while subscribed(server, ids) != count {
        let count = subscribed(server, ids);
        assert!(start.elapsed() < PATIENCE, "{count} are subscribed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Reading = JoinHandle<(Result<Page, ReadError>, Instant)>;

/// Spawns a read of the second entry of a log, which also returns the time of its arrival.
fn wait(readers: &RedisLog, id: &LogId) -> Reading {
    let (readers, id) = (readers.clone(), id.clone());
    tokio::spawn(async move {
        let page = read(&readers, &id, (1, 0), PATIENCE).await;
        (page, Instant::now())
    })
}

/// Creates logs, each with a waiting reader and a subscription.
async fn waited_for(
    server: &Server,
    writer: &RedisLog,
    readers: &RedisLog,
    count: usize,
) -> Vec<(LogId, Reading)> {
    let ids: Vec<_> = (0..count).map(|it| LogId::run(&it.to_string())).collect();
    let mut tasks = Vec::new();
    for id in &ids {
        create(writer, id, (1, 0), "a").await.unwrap();
        tasks.push(wait(readers, id));
    }
    until_subscribed(server, &ids, count).await;
    ids.into_iter().zip(tasks).collect()
}

/// Appends an entry, and returns the delay until the reader had it.
async fn late(writer: &RedisLog, id: &LogId, reading: Reading) -> Duration {
    append(writer, id, (1, 1), "b").await.unwrap();
    let start = Instant::now();
    let (page, at) = reading.await.unwrap();
    assert_eq!(page.unwrap().entries.len(), 1);
    at.saturating_duration_since(start)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_at_one_position_are_woken_at_once() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let tasks: Vec<_> = (0..1000).map(|_| wait(&readers, &id)).collect();
    until_subscribed(&server, std::slice::from_ref(&id), 1).await;
    append(&writer, &id, (1, 1), "b").await.unwrap();
    let start = Instant::now();
    for task in tasks {
        let (page, at) = task.await.unwrap();
        assert_eq!(page.unwrap().entries[0].1, "b");
        assert!(at - start < WOKEN, "{:?}", at - start);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_six_hundred_logs_wait_over_one_connection() {
    const LOGS: usize = 600;
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let waits = waited_for(&server, &writer, &readers, LOGS).await;
    // The writer's for appends and for reads, the readers' for reads, and the one with the subscriptions.
    until_connected(&server, 4).await;
    let mut times = Vec::new();
    for (id, reading) in waits {
        times.push(late(&writer, &id, reading).await);
    }
    times.sort_unstable();
    // Without messages, each read would take half a second on average. A busy machine delays a few reads, but not most of them.
    let median = times[LOGS / 2];
    assert!(median < LOOK / 10, "{median:?}");
    until_connected(&server, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_to_six_hundred_logs_wake_all_readers_at_once() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let waits = waited_for(&server, &writer, &readers, 600).await;
    // Wait past the look that follows the subscription. The next look is 0.9 s later.
    tokio::time::sleep(LOOK / 10).await;
    let mut all = tokio::task::JoinSet::new();
    let start = Instant::now();
    for (id, reading) in waits {
        let writer = writer.clone();
        all.spawn(async move { late(&writer, &id, reading).await });
    }
    all.join_all().await;
    assert!(start.elapsed() < LOOK * 8 / 10, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_append_is_missed_while_subscribing() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    for number in 0..200 {
        let id = LogId::run(&number.to_string());
        create(&writer, &id, (1, 0), "a").await.unwrap();
        let waits = wait(&readers, &id);
        tokio::time::sleep(Duration::from_micros(10 * number)).await;
        let late = late(&writer, &id, waits).await;
        assert!(late < WOKEN, "{number}: {late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_subscription_is_renewed() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let mut lost = waited_for(&server, &writer, &readers, 20).await;
    let later = lost.split_off(10);
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    // These are appended without a subscription.
    for (id, reading) in lost {
        assert!(late(&writer, &id, reading).await < WOKEN);
    }
    let ids: Vec<_> = later.iter().map(|(id, _)| id.clone()).collect();
    until_subscribed(&server, &ids, ids.len()).await;
    for (id, reading) in later {
        assert!(late(&writer, &id, reading).await < WOKEN);
    }
    until_connected(&server, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_with_a_lost_message_is_found_within_about_a_second() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let waits = wait(&readers, &id);
    until_subscribed(&server, std::slice::from_ref(&id), 1).await;
    tokio::time::sleep(LOOK / 10).await;
    // Appended by hand, without a message.
    server.command(&["XADD", "twentyfirst:run/r", "1-1", "e", "b"]);
    let start = Instant::now();
    let (page, at) = waits.await.unwrap();
    assert_eq!(page.unwrap().entries[0].1, "b");
    assert!(at - start < 3 * LOOK, "{:?}", at - start);
    // A message without an entry does no harm.
    server.command(&["PUBLISH", "twentyfirst:run/r", "9-9"]);
    server.command(&["PUBLISH", "twentyfirst:run/r", "nonsense"]);
    let next = read(&readers, &id, (1, 1), LOOK / 10).await.unwrap();
    assert!(next.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_of_a_log_is_left_after_a_while_without_readers() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let (left, kept) = (LogId::run("left"), LogId::run("kept"));
    for id in [&left, &kept] {
        create(&writer, id, (1, 0), "a").await.unwrap();
    }
    let kept_on = wait(&readers, &kept);
    let ids = [left, kept];
    let page = read(&readers, &ids[0], (1, 0), Duration::from_millis(100)).await;
    assert!(page.unwrap().is_empty());
    until_subscribed(&server, &ids, 2).await;
    let start = Instant::now();
    // The log has no readers most of the time, but one that comes back in time finds the subscription.
    while start.elapsed() < Duration::from_secs(6) {
        let page = read(&readers, &ids[0], (1, 0), Duration::from_millis(100)).await;
        assert!(page.unwrap().is_empty());
        assert_eq!(subscribed(&server, &ids), 2);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    until_subscribed(&server, &ids, 1).await;
    late(&writer, &ids[1], kept_on).await;
    // A later reader subscribes again.
    let again = wait(&readers, &ids[0]);
    until_subscribed(&server, &ids[..1], 1).await;
    late(&writer, &ids[0], again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscription_ends_with_the_store() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let page = read(&readers, &id, (1, 0), Duration::from_millis(300)).await;
    assert!(page.unwrap().is_empty());
    until_connected(&server, 4).await;
    drop(readers);
    until_connected(&server, 2).await;
}

#[test]
fn a_listener_that_ended_with_its_runtime_is_replaced_on_the_next() {
    let server = server_or_return!();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let readers = first.block_on(connect(&server));
    let id = LogId::run("r");
    let ids = std::slice::from_ref(&id);
    first.block_on(async {
        create(&readers, &id, (1, 0), "a").await.unwrap();
        let _waits = wait(&readers, &id);
        until_subscribed(&server, ids, 1).await;
    });
    drop(first);
    runtime().block_on(async {
        let writer = connect(&server).await;
        until_subscribed(&server, ids, 0).await;
        let waits = wait(&readers, &id);
        until_subscribed(&server, ids, 1).await;
        assert!(late(&writer, &id, waits).await < WOKEN);
    });
}

#[test]
fn a_read_whose_flight_ended_with_another_runtime_says_so() {
    let server = server_or_return!();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let id = LogId::run("r");
    let readers = second.block_on(async {
        let readers = connect(&server).await;
        create(&readers, &id, (1, 0), "a").await.unwrap();
        readers
    });
    // The first reader starts the flight on its own runtime. The second one joins it.
    first.block_on(async {
        // Its task goes on until the runtime ends.
        drop(wait(&readers, &id));
        until_subscribed(&server, std::slice::from_ref(&id), 1).await;
    });
    let mut joined = Box::pin(read(&readers, &id, (1, 0), PATIENCE));
    second.block_on(async {
        let polled = std::future::poll_fn(|cx| Poll::Ready(joined.as_mut().poll(cx).is_pending()));
        assert!(polled.await);
    });
    drop(first);

    let error = second.block_on(joined).unwrap_err();
    let ReadError::Unavailable(cause) = error else {
        panic!("{error:?}");
    };
    let expected = "whose tokio runtime has shut down: read again";
    assert!(cause.to_string().contains(expected), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_waiting_read_does_not_affect_others() {
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let start = Instant::now();
    for seq in 1..=20 {
        let dropped = read(&readers, &id, (1, seq - 1), PATIENCE);
        let dropped = tokio::time::timeout(Duration::from_millis(5), dropped).await;
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
    // Each of the others is woken.
    assert!(start.elapsed() < 5 * LOOK, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_in_the_writers_store_see_appends_of_other_instances() {
    let server = server_or_return!();
    let (log, other) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let start = Instant::now();
    for epoch in 1..=10 {
        let read_own = read(&log, &id, (epoch, 0), PATIENCE);
        let write = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            append(&log, &id, (epoch, 1), "b").await.unwrap();
        };
        let (own, ()) = tokio::join!(read_own, write);
        assert_eq!(own.unwrap().entries.len(), 1);
        let read_taken = read(&log, &id, (epoch, 1), PATIENCE);
        let take = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            append(&other, &id, (epoch + 1, 0), "c").await.unwrap();
        };
        let (taken, ()) = tokio::join!(read_taken, take);
        assert_eq!(taken.unwrap().entries[0].1, "c");
    }
    assert!(start.elapsed() < 5 * LOOK, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_with_different_limits_and_waits_share_a_flight() {
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

/// Returns the number of looks at logs so far.
fn looks(server: &Server) -> usize {
    let stats = server.command(&["INFO", "commandstats"]);
    let mut lines = stats.lines();
    let line = lines.find_map(|it| it.strip_prefix("cmdstat_xrange:calls="));
    let calls = line.and_then(|it| it.split(',').next());
    calls.map_or(0, |it| it.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_keeps_up_looks_once_per_entry_and_a_late_one_finds_it_at_once() {
    const ENTRIES: u64 = 100;
    let server = server_or_return!();
    let (writer, readers) = (connect(&server).await, connect(&server).await);
    let id = LogId::run("r");
    create(&writer, &id, (1, 0), "a").await.unwrap();
    let waits = wait(&readers, &id);
    until_subscribed(&server, std::slice::from_ref(&id), 1).await;
    append(&writer, &id, (1, 1), "b").await.unwrap();
    waits.await.unwrap().0.unwrap();

    let before = looks(&server);
    for seq in 2..=ENTRIES {
        let next = read(&readers, &id, (1, seq - 1), PATIENCE);
        let append = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            append(&writer, &id, (1, seq), "b").await.unwrap();
        };
        let (next, ()) = tokio::join!(next, append);
        assert_eq!(next.unwrap().entries.len(), 1);
    }
    let looked = looks(&server) - before;
    // On a busy machine, an entry may be there before its reader comes back: that reader looks twice.
    assert!(looked < ENTRIES as usize * 3 / 2, "{looked} looks");

    for seq in 0..ENTRIES {
        let start = Instant::now();
        let page = read(&readers, &id, (1, seq), PATIENCE).await.unwrap();
        assert_eq!(page.entries.len(), (ENTRIES - seq) as usize);
        assert!(start.elapsed() < WOKEN, "{seq}: {:?}", start.elapsed());
    }
}
