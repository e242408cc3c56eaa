//! Single steps of a reader that random schedules reach too rarely.

use std::time::{Duration, Instant};

use twentyfirst_protocol::run_log::{
    Claim, Ended, Entry, Logged, Position, Reader, ReaderEnd, ReaderStep,
};

const AT: Position = Position::new(2, 7);

fn behind(last: Entry) -> Reader {
    Reader::behind(AT, &Logged::new(40, last))
}

/// Returns the number of reads that find nothing until another step is requested, and that step.
fn until_silent(mut reader: Reader) -> (usize, ReaderStep) {
    let mut now = Instant::now();
    for reads in 0..100 {
        match reader.poll(now) {
            ReaderStep::Read { after, wait } => {
                assert_eq!((after, wait), (AT, Duration::from_secs(5)));
                now += wait;
                reader.handle_page(Vec::new(), now);
            }
            step => return (reads, step),
        }
    }
    panic!("it reads for ever");
}

#[test]
fn a_silent_or_released_log_is_taken_over_after_its_last_entry() {
    let take_over = ReaderStep::TakeOver { after: AT };
    assert_eq!(until_silent(behind(Entry::Beat)), (3, take_over.clone()));
    let claim = Entry::Claim(Claim::new("i0", "user", "chat"));
    assert_eq!(until_silent(behind(claim)), (3, take_over.clone()));
    assert_eq!(until_silent(behind(Entry::Release)), (0, take_over));
    let ended = Ended::new("completed");
    let over = ReaderStep::Over(ReaderEnd::Ended(ended.clone()));
    assert_eq!(until_silent(behind(Entry::End(ended))), (0, over));
}

#[test]
fn a_living_writer_is_noticed_after_the_last_entry() {
    let now = Instant::now();
    let mut reader = behind(Entry::Beat);
    reader.poll(now);
    let next = (AT.next(), Logged::new(40, Entry::Beat).encode());
    reader.handle_page(vec![next], now);
    let read = ReaderStep::Read {
        after: AT.next(),
        wait: Reader::WAIT,
    };
    assert_eq!(reader.poll(now), read);
}
