//! The store in memory: its limit, its expiry, and its independence of a runtime.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::error::Error;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use twentyfirst_run_log::{AppendError, Keep, LogId, MemoryLog, Position, ReadError, RunLog};

const TTL: Duration = Duration::from_secs(60);
const KEEP: Keep = Keep::existing(TTL);
const PATIENCE: Duration = Duration::from_secs(30);

/// A waker that counts its calls and wakes a thread.
struct Woken {
    thread: thread::Thread,
    times: AtomicUsize,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn woken() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken {
        thread: thread::current(),
        times: AtomicUsize::new(0),
    });
    (woken.clone(), woken.into())
}

/// Runs a future on this thread: the only runtime of these tests.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let (_, waker) = woken();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// Sleeps on a thread of its own.
async fn sleep(duration: Duration) {
    let (done, is_done) = mpsc::channel();
    let mut done = Some(done);
    std::future::poll_fn(move |context| {
        if is_done.try_recv().is_ok() {
            return Poll::Ready(());
        }
        if let Some(done) = done.take() {
            let waker = context.waker().clone();
            thread::spawn(move || {
                thread::sleep(duration);
                let _ = done.send(());
                waker.wake();
            });
        }
        Poll::Pending
    })
    .await;
}

/// Creates a store whose clock stands still until a test advances it.
fn with_clock() -> (MemoryLog, impl Fn(Duration)) {
    let start = Instant::now();
    let passed = Arc::new(AtomicU64::new(0));
    let now = passed.clone();
    let now = move || start + Duration::from_millis(now.load(Ordering::SeqCst));
    let pass = move |time: Duration| {
        passed.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    };
    (MemoryLog::new(sleep).with_clock(now), pass)
}

fn append(
    log: &MemoryLog,
    id: &str,
    seq: u64,
    length: usize,
    keep: Keep,
) -> Result<(), AppendError> {
    let at = Position::new(1, seq);
    block_on(log.append(&LogId::run(id), at, vec![b'x'; length].into(), keep))
}

fn exists(log: &MemoryLog, id: &str) -> bool {
    block_on(log.last(&LogId::run(id))).unwrap().is_some()
}

#[test]
fn the_store_needs_no_runtime_and_wakes_across_threads() {
    let log = MemoryLog::new(sleep);
    append(&log, "r", 0, 1, KEEP.or_create()).unwrap();
    let reading = thread::spawn({
        let log = log.clone();
        move || {
            let mut seen = Vec::new();
            let mut after = Position::START;
            while after.seq < 1000 {
                let page = block_on(log.read(&LogId::run("r"), after, 7, PATIENCE)).unwrap();
                after = page.entries.last().unwrap().0;
                seen.extend(page.entries.iter().map(|(at, _)| at.seq));
            }
            seen
        }
    });
    for seq in 1..=1000 {
        append(&log, "r", seq, 1, KEEP).unwrap();
    }
    assert!(reading.join().unwrap().into_iter().eq(0..=1000));
    let wait = Duration::from_millis(20);
    let page = block_on(log.read(&LogId::run("r"), Position::new(1, 1000), 1, wait));
    assert!(page.unwrap().is_empty());
}

#[test]
fn an_append_wakes_the_readers_of_its_log_once_and_no_others() {
    let log = MemoryLog::new(|_| std::future::pending());
    append(&log, "r", 0, 1, KEEP.or_create()).unwrap();
    append(&log, "other", 0, 1, KEEP.or_create()).unwrap();
    let poll_read = |id: &'static str, waker: &Waker| {
        let log = log.clone();
        let read = async move {
            log.read(&LogId::run(id), Position::new(1, 0), 1, PATIENCE)
                .await
        };
        let mut read = Box::pin(read);
        assert!(
            read.as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
        read
    };
    let (own, own_waker) = woken();
    let (other, other_waker) = woken();
    let (gone, gone_waker) = woken();
    let mut read = poll_read("r", &own_waker);
    let _other = poll_read("other", &other_waker);
    drop(poll_read("r", &gone_waker));

    append(&log, "r", 1, 1, KEEP).unwrap();
    append(&log, "r", 2, 1, KEEP).unwrap();
    let count = |woken: &Woken| woken.times.load(Ordering::SeqCst);
    assert_eq!((count(&own), count(&other), count(&gone)), (1, 0, 0));
    let read = read.as_mut().poll(&mut Context::from_waker(&own_waker));
    assert!(matches!(read, Poll::Ready(Ok(page)) if page.entries.len() == 1));
}

/// A waker that uses the store when it is dropped, as one does that owns a task with a read.
struct Uses(MemoryLog);

impl Wake for Uses {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Uses {
    fn drop(&mut self) {
        let _taken = self.0.taken();
    }
}

#[test]
fn a_waker_may_use_the_store_when_it_is_dropped() {
    let (finished, end) = mpsc::channel();
    // On its own thread, because a deadlock would never end.
    thread::spawn(move || {
        let log = MemoryLog::new(|_| std::future::pending());
        append(&log, "r", 0, 1, KEEP.or_create()).unwrap();
        let id = LogId::run("r");
        let mut read = Box::pin(log.read(&id, Position::new(1, 0), 1, PATIENCE));
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Uses(log.clone())));
            let mut context = Context::from_waker(&waker);
            assert!(read.as_mut().poll(&mut context).is_pending());
            assert!(read.as_mut().poll(&mut context).is_pending());
            // The store has the only waker now. The next poll replaces it, or the end of the read drops it.
        }
        finished.send("replaced").unwrap();
        drop(read);
        finished.send("dropped").unwrap();
    });
    for step in ["replaced", "dropped"] {
        assert_eq!(end.recv_timeout(PATIENCE), Ok(step));
    }
}

#[test]
fn dropping_a_log_wakes_its_readers() {
    let (log, pass) = with_clock();
    append(&log, "r", 0, 1, KEEP.or_create()).unwrap();
    let id = LogId::run("r");
    let (woken, waker) = woken();
    let mut read = pin!(log.read(&id, Position::new(1, 0), 1, PATIENCE));
    let mut context = Context::from_waker(&waker);
    assert!(read.as_mut().poll(&mut context).is_pending());

    pass(TTL);
    // An append to another log drops the expired one. The timer of the read is not over yet: only the drop can have woken it.
    append(&log, "other", 0, 1, KEEP.or_create()).unwrap();
    assert_eq!(woken.times.load(Ordering::SeqCst), 1);
    let missing = read.as_mut().poll(&mut context);
    assert!(
        matches!(missing, Poll::Ready(Err(ReadError::Missing))),
        "{missing:?}"
    );
}

#[test]
fn logs_that_are_still_written_are_never_dropped_for_room() {
    let log = MemoryLog::new(sleep).with_limit(100_000);
    append(&log, "a", 0, 40_000, KEEP.or_create()).unwrap();
    append(&log, "b", 0, 40_000, KEEP.or_create()).unwrap();
    for full in [
        append(&log, "a", 1, 40_000, KEEP),
        append(&log, "c", 0, 40_000, KEEP.or_create()),
        append(&log, "d", 0, 200_000, KEEP.or_create()),
    ] {
        let full = full.unwrap_err();
        assert!(matches!(full, AppendError::Full(_)), "{full:?}");
        assert_eq!(
            full.source().unwrap().to_string(),
            "the entry does not fit into the memory limit of 100000 bytes, and too few logs are over to make room: \
             raise the limit with `MemoryLog::with_limit`"
        );
    }
    assert!(exists(&log, "a") && exists(&log, "b"));
    append(&log, "b", 1, 10_000, KEEP).unwrap();
}

#[test]
fn expired_logs_make_room_first_then_finished_logs_by_expiry() {
    let (log, pass) = with_clock();
    let log = log.with_limit(100_000);
    let over = |seconds| {
        Keep::existing(Duration::from_secs(seconds))
            .or_create()
            .over()
    };
    append(&log, "over-2", 0, 30_000, over(200)).unwrap();
    append(&log, "over-1", 0, 30_000, over(100)).unwrap();
    append(
        &log,
        "short",
        0,
        30_000,
        Keep::existing(Duration::from_secs(10)).or_create(),
    )
    .unwrap();
    pass(Duration::from_secs(11));

    append(&log, "a", 0, 30_000, Keep::existing(TTL * 10).or_create()).unwrap();
    assert!(exists(&log, "over-1") && exists(&log, "over-2") && !exists(&log, "short"));
    append(&log, "b", 0, 30_000, Keep::existing(TTL * 10).or_create()).unwrap();
    assert!(!exists(&log, "over-1") && exists(&log, "over-2"));
    // No log is dropped if dropping all of them would not be enough.
    let full = append(&log, "c", 0, 60_000, KEEP.or_create()).unwrap_err();
    assert!(matches!(full, AppendError::Full(_)), "{full:?}");
    assert!(exists(&log, "over-2"));
    append(&log, "c", 0, 30_000, KEEP.or_create()).unwrap();
    assert!(!exists(&log, "over-2"));
}

#[test]
fn a_later_append_drops_expired_logs() {
    let (log, pass) = with_clock();
    for id in 0..100 {
        append(&log, &id.to_string(), 0, 1000, KEEP.or_create()).unwrap();
    }
    assert!(log.taken() > 100_000);
    pass(TTL);
    append(&log, "r", 0, 1, KEEP.or_create()).unwrap();
    assert!(log.taken() < 1500, "{}", log.taken());
}

#[test]
fn all_allocated_memory_counts() {
    let buffer = Bytes::from(vec![b'x'; 1 << 20]);
    for (logs, entries, length) in [
        (1000, 1, 0),
        (10, 500, 16),
        (3, 10, 16 << 10),
        (2, 200, 3 << 10),
        (2, 200, 100 << 10),
    ] {
        let log = MemoryLog::new(sleep);
        let allocated = allocation_counter::measure(|| {
            for id in 0..logs {
                let id = LogId::run(&format!("run-{id}"));
                for seq in 0..entries {
                    let at = Position::new(1, seq);
                    // A small slice of a large buffer: the store must not keep the buffer.
                    let entry = buffer.slice(..length);
                    let append = log.append(&id, at, entry, KEEP.or_create());
                    // Polls by hand: `block_on` would allocate.
                    let context = &mut Context::from_waker(Waker::noop());
                    assert!(pin!(append).poll(context).is_ready());
                }
            }
            let page =
                block_on(log.read(&LogId::run("run-0"), Position::START, usize::MAX, PATIENCE));
            drop(page);
        });
        let (is, counted) = (allocated.bytes_current, log.taken() as i64);
        assert!(is <= counted, "{logs} logs take {is}, counted as {counted}");
        assert!(
            counted <= is * 3 + 10_000,
            "{logs} logs take {is}, counted as {counted}"
        );
    }
}

/// Hashes a number into one that looks random (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Returns the ratio of a run's memory to the bytes of its chunks, with one delta per entry.
fn taken_beside_chunks(delta: impl Fn(u64) -> String) -> f64 {
    let log = MemoryLog::new(sleep);
    let mut bytes = 0;
    for seq in 0..20_000 {
        let delta = delta(seq);
        let chunk = format!("{{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{delta}\"}}\n");
        bytes += chunk.len();
        let entry = format!("21st/1 data {seq}\n{chunk}").into();
        let at = Position::new(1, seq);
        block_on(log.append(&LogId::run("r"), at, entry, KEEP.or_create())).unwrap();
    }
    log.taken() as f64 / bytes as f64
}

#[test]
fn a_run_of_short_entries_takes_less_than_its_bytes() {
    // Random letters are the text that compresses worst.
    let letter = |number: u64| char::from(b'a' + (mixed(number) % 26) as u8);
    let chance = taken_beside_chunks(|seq| (0..16).map(|it| letter(16 * seq + it)).collect());
    assert!(chance < 1.0, "{chance}");
    let same = taken_beside_chunks(|seq| format!("{seq:05} and so on "));
    assert!(same < 0.6, "{same}");
}

/// Ten thousand browsers may each have such a log, of an answer in its first sentences.
#[test]
fn a_short_log_has_little_overhead() {
    let log = MemoryLog::new(sleep);
    let empty = log.taken();
    append(&log, "r", 0, 100, KEEP.or_create()).unwrap();
    let first = log.taken() - empty;
    assert!(first < 800, "{first}");
    for seq in 1..=30 {
        append(&log, "r", seq, 100, KEEP).unwrap();
    }
    let more = log.taken() - first;
    assert!(more < 30 * 140, "{more}");
}

#[test]
fn incompressible_entries_have_little_overhead() {
    let log = MemoryLog::new(sleep);
    for seq in 0..20_000 {
        let entry: Vec<u8> = (0..100).map(|it| mixed(100 * seq + it) as u8).collect();
        let at = Position::new(1, seq);
        block_on(log.append(&LogId::run("r"), at, entry.into(), KEEP.or_create())).unwrap();
    }
    let bytes = 20_000 * 100;
    assert!(log.taken() < bytes * 115 / 100, "{}", log.taken());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_limit_is_never_exceeded_and_dropped_logs_free_their_bytes(
        steps in prop::collection::vec((0_u64..8, 0_usize..30_000, 1_u64..20, any::<bool>()), 1..60),
    ) {
        let (log, pass) = with_clock();
        let log = log.with_limit(100_000);
        for (seq, (id, length, seconds, is_over)) in (1..).zip(steps) {
            let mut keep = Keep::existing(Duration::from_secs(seconds)).or_create();
            if is_over {
                keep = keep.over();
            }
            let appended = append(&log, &id.to_string(), seq, length, keep);
            prop_assert!(matches!(appended, Ok(()) | Err(AppendError::Full(_))), "{appended:?}");
            prop_assert!(log.taken() <= 100_000);
            pass(Duration::from_millis(500));
        }
        pass(TTL);
        let _ = append(&log, "last", 1, 0, Keep::existing(Duration::ZERO));
        prop_assert_eq!(log.taken(), 0);
    }

    #[test]
    fn entries_are_read_as_they_were_appended(
        steps in prop::collection::vec((0_u64..20, 0_u64..3, 0_usize..40_000), 1..400),
        after in 0_usize..400,
        limit in 1_usize..200,
    ) {
        let log = MemoryLog::new(sleep);
        let id = LogId::run("r");
        let mut at = Position::START;
        let mut all = Vec::new();
        for (index, (jump, seqs, length)) in steps.into_iter().enumerate() {
            at = match jump {
                // So far apart that two entries do not fit into one pack.
                0 => at.next_claim(),
                1 => Position::new(at.epoch, at.seq + (1 << 33)),
                _ => Position::new(at.epoch, at.seq + 1 + seqs),
            };
            // Most entries are short.
            let length = if jump == 2 { length } else { length % 50 };
            let mixing = if index % 3 == 0 { 1 } else { 0 };
            let entry: Bytes = (0..length).map(|it| (index + mixing * mixed(it as u64) as usize) as u8).collect();
            block_on(log.append(&id, at, entry.clone(), KEEP.or_create())).unwrap();
            all.push((at, entry));
        }
        let start = all.len().min(after);
        let after = start.checked_sub(1).map_or(Position::START, |index| all[index].0);
        let page = block_on(log.read(&id, after, limit, Duration::ZERO)).unwrap();
        let end = all.len().min(start + limit);
        prop_assert_eq!(&page.entries[..], &all[start..end]);
        prop_assert_eq!(block_on(log.last(&id)).unwrap(), all.last().cloned());
        for (at, entry) in &all {
            prop_assert!(block_on(log.append(&id, *at, entry.clone(), KEEP)).is_ok());
            let other = block_on(log.append(&id, *at, Bytes::from_static(b"other"), KEEP));
            prop_assert!(matches!(other, Err(AppendError::Fenced)));
        }
    }
}
