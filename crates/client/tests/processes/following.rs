//! Output that is read from any offset, by any number of readers, across cuts.

use std::time::{Duration, Instant};

use twentyfirst_client::protocol::processes::{Offsets, OutputStream};
use twentyfirst_client::{Process, RetryPolicy};
use twentyfirst_local_relay::Fault;

use crate::{World, connect, read};

/// Lines of ten bytes that contain their own position.
const LINE: u64 = 10;
const LENGTH: u64 = 100_000_000;
const FIRST: u64 = 100_000_000;

/// Writes them in ten bursts, so that readers wait in between.
const WRITE: &str = "for i in 0 1 2 3 4 5 6 7 8 9; do \
    seq $((100000000 + i * 1000000)) $((100000000 + i * 1000000 + 999999)); echo burst $i >&2; sleep 0.2; done";

/// Returns the expected byte at this offset.
fn expected(offset: u64, length: usize) -> Vec<u8> {
    let first = FIRST + offset / LINE;
    let last = FIRST + (offset + length as u64) / LINE;
    let text: String = (first..=last).map(|line| format!("{line}\n")).collect();
    let from = usize::try_from(offset % LINE).unwrap();
    text.into_bytes()[from..from + length].to_vec()
}

/// Reads standard output from an offset, to its end or for this many chunks. Returns the offset reached.
async fn read_on(process: &Process, offset: u64, chunks: usize) -> u64 {
    let mut output = process.stdout_from(offset);
    let mut at = offset;
    for _ in 0..chunks {
        let Some(chunk) = output.next_chunk().await else {
            break;
        };
        let chunk = chunk.unwrap();
        assert_eq!((chunk.stream, chunk.offset), (OutputStream::Stdout, at));
        assert!(
            chunk.bytes == expected(at, chunk.bytes.len()),
            "other bytes at {at}"
        );
        at += chunk.bytes.len() as u64;
        assert_eq!(output.offsets(), Offsets::stdout(at));
    }
    at
}

#[tokio::test]
async fn two_readers_of_100_mb_get_the_same_bytes_though_one_is_late_and_one_is_cut_ten_times() {
    let world = World::new().await;
    let cut = Fault::cut_after(500_000)
        .on::<twentyfirst_client::protocol::sandboxes::Exec>()
        .times(10);
    let patient = RetryPolicy::standard()
        .attempts(11)
        .longest_delay(Duration::from_millis(20));
    let client = world
        .client
        .with_options(world.client.options().retry(patient));
    let process = client.sandboxes().spawn(&world.id, WRITE).await.unwrap();
    world.relay.inject(cut.clone());

    // The reader is also dropped again and again, and continues where it was. Only long responses are cut, so it takes a while.
    let begun = Instant::now();
    let mut at = 0;
    while cut.struck() < 10 && at < LENGTH {
        at = read_on(&process, at, 3).await;
    }
    assert_eq!(cut.struck(), 10);
    let late = async {
        let process = connect(&world.relay)
            .sandboxes()
            .process(process.process_ref());
        read_on(&process, 0, usize::MAX).await
    };
    let (cut, late) = tokio::join!(read_on(&process, at, usize::MAX), late);
    assert_eq!((cut, late), (LENGTH, LENGTH));
    eprintln!("100 MB, twice: {:?}", begun.elapsed());
    let stderr = read(process.stderr_from(0)).await;
    assert_eq!(stderr.1.lines().count(), 10);
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn both_streams_are_separate_and_their_bytes_unchanged() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(
            &world.id,
            r"printf 'out \377\000 \303'; printf 'err' >&2; sleep 0.3; printf '\244\n'",
        )
        .await
        .unwrap();
    let mut output = process.output();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = output.next_chunk().await {
        let chunk = chunk.unwrap();
        match chunk.stream {
            OutputStream::Stdout => stdout.extend_from_slice(&chunk.bytes),
            OutputStream::Stderr => stderr.extend_from_slice(&chunk.bytes),
        }
    }
    assert_eq!(stdout, b"out \xff\0 \xc3\xa4\n");
    assert_eq!(stderr, b"err");
    assert!(output.exit_status().unwrap().success());
    assert_eq!(output.offsets().stdout, Some(stdout.len() as u64));

    // From the middle, and from beyond the end.
    assert_eq!(read_from(&process, 7).await, b"\xc3\xa4\n");
    assert_eq!(read_from(&process, 1_000_000).await, b"");
}

async fn read_from(process: &Process, offset: u64) -> Vec<u8> {
    let mut output = process.stdout_from(offset);
    let mut read = Vec::new();
    while let Some(chunk) = output.next_chunk().await {
        read.extend_from_slice(&chunk.unwrap().bytes);
    }
    read
}

#[tokio::test]
async fn output_comes_while_the_process_runs() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "echo first; sleep 600")
        .await
        .unwrap();
    // A shell may say on standard error that it was killed.
    let mut output = process.stdout_from(0);
    let chunk = output.next_chunk().await.unwrap().unwrap();
    assert_eq!(chunk.bytes, "first\n");
    // The next chunk does not come while the process sleeps.
    let waits = tokio::time::timeout(Duration::from_millis(500), output.next_chunk());
    assert!(waits.await.is_err());
    let ended = tokio::join!(output.next_chunk(), process.kill());
    assert!(ended.0.is_none());
    assert_eq!(ended.1.unwrap().signal(), Some(15));
}
