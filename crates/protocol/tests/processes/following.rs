//! Pages of any length, at any offsets, across cuts: all bytes come, once and in their order.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::Flow;
use twentyfirst_protocol::flow::drive::{Advanced, BlockingIo, advance};
use twentyfirst_protocol::processes::{ExitStatus, Offsets, OutputStream, ProcessError};
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::sandboxes::{Exec, ExecOutput};

use crate::support::{Came, Relay, process, words};

const BLOCK: usize = 64 * 1024;

/// A process that writes a piece between two looks.
struct Writer {
    pieces: Vec<(usize, usize)>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// When it was looked at, and whether a page was full.
    looks: Vec<(Instant, bool)>,
}

impl Writer {
    fn new(pieces: Vec<(usize, usize)>) -> Self {
        Self {
            pieces,
            stdout: Vec::new(),
            stderr: Vec::new(),
            looks: Vec::new(),
        }
    }

    fn look(&mut self, exec: &Exec, now: Instant) -> ExecOutput {
        let words = words(exec);
        let ["look", "p", hold, stdout, stderr, blocks] = words[..] else {
            panic!("{words:?}");
        };
        assert_eq!((hold, blocks), ("200", "16"));
        let state = match self.pieces.pop() {
            Some((out, err)) => {
                grow(&mut self.stdout, out);
                grow(&mut self.stderr, err);
                "running"
            }
            None => "exited 3 -",
        };
        let (stdout, out_full) = page(&self.stdout, stdout);
        let (stderr, err_full) = page(&self.stderr, stderr);
        self.looks.push((now, out_full || err_full));
        let text = format!("state {state}\nstdout {stdout}\nstderr {stderr}\nend\n");
        ExecOutput::new(0, text, "")
    }
}

fn grow(bytes: &mut Vec<u8>, by: usize) {
    let from = bytes.len();
    bytes.extend((from..from + by).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8));
}

/// As `dd` and `tail` do it: 16 blocks, from the one in which the offset lies.
fn page(bytes: &[u8], offset: &str) -> (String, bool) {
    let Ok(offset) = offset.parse::<usize>() else {
        assert_eq!(offset, "-");
        return (String::new(), false);
    };
    let end = (offset / BLOCK + 16) * BLOCK;
    let page = bytes.get(offset..end.min(bytes.len())).unwrap_or_default();
    (BASE64_STANDARD.encode(page), bytes.len() >= end)
}

/// Plays a flow over a writer, with a cut wherever this says so.
fn play<F: Flow>(
    flow: &mut F,
    writer: &RefCell<Writer>,
    mut is_cut: impl FnMut() -> bool,
    mut item: impl FnMut(F::Item),
) -> F::Output {
    let mut relay = Relay::new(|exec, now| match is_cut() {
        true => Came::Cut,
        false => Came::Output(writer.borrow_mut().look(&exec, now)),
    });
    loop {
        let now = relay.now();
        match advance(flow, now, &mut relay) {
            Advanced::Item(found) => item(found),
            Advanced::Done(output) => return output,
            Advanced::Waits { until } => {
                if let Some(event) = relay.wait(until) {
                    flow.handle(event);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_bytes_come_once_and_in_order_from_any_offset(
        pieces in prop::collection::vec((0..200_000_usize, 0..200_000_usize), 0..12),
        burst in 0..3_000_000_usize,
        from in (0..300_000_u64, prop::option::of(0..300_000_u64)),
        cuts in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let mut pieces = pieces;
        pieces.push((burst, 0));
        let writer = RefCell::new(Writer::new(pieces));
        let mut offsets = Offsets::stdout(from.0);
        offsets.stderr = from.1;
        let options = CallOptions::new().retry(RetryPolicy::standard().attempts(50));
        let mut flow = process("p").output(offsets, &options, 7).unwrap();
        let mut cuts = cuts.into_iter();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = play(&mut flow, &writer, || cuts.next().unwrap_or_default(), |chunk| {
            assert!(!chunk.bytes.is_empty());
            let (of, from) = match chunk.stream {
                OutputStream::Stdout => (&mut stdout, from.0),
                OutputStream::Stderr => (&mut stderr, from.1.unwrap()),
            };
            assert_eq!(chunk.offset, from + of.len() as u64);
            of.extend_from_slice(&chunk.bytes);
        });
        prop_assert_eq!(status.unwrap(), ExitStatus::new(3));
        let writer = writer.into_inner();
        let rest = |bytes: &[u8], from: u64| {
            bytes.get(usize::try_from(from).unwrap()..).unwrap_or_default().to_vec()
        };
        prop_assert!(stdout == rest(&writer.stdout, from.0));
        prop_assert!(stderr == from.1.map(|from| rest(&writer.stderr, from)).unwrap_or_default());
        prop_assert_eq!(flow.offsets().stdout, Some(from.0 + stdout.len() as u64));

        // It asks again at once only behind a full page.
        for pair in writer.looks.windows(2) {
            let pause = pair[1].0 - pair[0].0;
            prop_assert!(pair[0].1 || pause >= Duration::from_millis(250), "{:?}", pause);
        }
    }
}

#[test]
fn offsets_count_only_what_was_handed_out() {
    let writer = RefCell::new(Writer::new(vec![(10, 5)]));
    let mut flow = process("p")
        .output(Offsets::START, &CallOptions::new(), 7)
        .unwrap();
    let mut relay = Relay::new(|exec, now| Came::Output(writer.borrow_mut().look(&exec, now)));
    let first = twentyfirst_protocol::flow::drive::next(&mut flow, &mut relay).unwrap();
    assert_eq!(
        (first.stream, first.bytes.len()),
        (OutputStream::Stdout, 10)
    );
    assert_eq!(flow.offsets(), {
        let mut offsets = Offsets::START;
        offsets.stdout = Some(10);
        offsets
    });
}

#[test]
fn a_look_waits_no_longer_than_half_a_timeout() {
    let short = CallOptions::new().total_timeout(Duration::from_secs(8));
    let mut flow = process("p").wait(&short, 7).unwrap();
    let mut relay = Relay::new(|exec: Exec, _| {
        assert_eq!(words(&exec)[2..], ["40", "-", "-", "16"]);
        Came::Output(ExecOutput::new(0, "state exited 0 -\nend\n", ""))
    });
    let ended = twentyfirst_protocol::flow::drive::finish(&mut flow, &mut relay);
    assert!(ended.unwrap().success());
}

#[test]
fn a_page_that_is_longer_than_asked_for_is_refused() {
    let mut flow = process("p")
        .output(Offsets::stdout(5), &CallOptions::new(), 7)
        .unwrap();
    let long = BASE64_STANDARD.encode(vec![0; 16 * BLOCK - 4]);
    let mut relay = Relay::new(|_, _| {
        Came::Output(ExecOutput::new(
            0,
            format!("state running\nstdout {long}\nend\n"),
            "",
        ))
    });
    let ended = twentyfirst_protocol::flow::drive::finish(&mut flow, &mut relay);
    assert!(matches!(ended, Err(ProcessError::InvalidResponse(_))));
}
