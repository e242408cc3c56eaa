//! A watch waits for the end of a run by its log's last entry.

use std::time::Instant;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    Claim, Ended, Entry, Found, Logged, Position, Reader, Watch, WatchStep,
};

fn entry(epoch: u64, seq: u64, entry: Entry) -> (Position, Bytes) {
    (Position::new(epoch, seq), Logged::new(0, entry).encode())
}

#[test]
fn a_watch_waits_for_the_claim_after_an_end() {
    let mut watch = Watch::of("run-1");
    let mut now = Instant::now();
    assert_eq!(watch.poll(now), WatchStep::Last);
    watch.handle_last(Found::Unavailable);
    assert!(matches!(watch.poll(now), WatchStep::Wait(_)));
    assert_eq!(watch.poll(now), WatchStep::Last);
    watch.handle_last(Found::Some(entry(1, 3, Entry::Beat)));
    let after = Position::new(1, 3);
    let wait = Reader::WAIT;
    assert_eq!(watch.poll(now), WatchStep::Read { after, wait });
    let end = Entry::End(Ended::new("completed"));
    let claim = Entry::Claim(Claim::new("there", "user", "chat"));
    let page = vec![entry(1, 4, end.clone()), entry(2, 0, claim)];
    watch.handle_page(Found::Some(page), now);
    let after = Position::new(2, 0);
    let silence = loop {
        match watch.poll(now) {
            WatchStep::Read { .. } => {
                now += wait;
                watch.handle_page(Found::Some(Vec::new()), now);
            }
            step => break step,
        }
    };
    assert_eq!(silence, WatchStep::TakeOver { after });
    // The take-over is requested once only, since it may be impossible.
    assert!(matches!(watch.poll(now), WatchStep::Read { .. }));
    watch.handle_page(Found::Some(Vec::new()), now + wait);
    assert_eq!(watch.poll(now), WatchStep::Last);
    watch.handle_last(Found::Some(entry(3, 1, end)));
    assert_eq!(watch.poll(now), WatchStep::Over);
}

#[test]
fn a_watch_of_a_missing_log_is_over_at_once() {
    let mut watch = Watch::of("run-1");
    watch.handle_last(Found::Nothing);
    assert_eq!(watch.poll(Instant::now()), WatchStep::Over);
}
