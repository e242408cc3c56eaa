//! For any bytes from a store, an entry of a run log is read or refused, and an entry that was read is written the same. A reader takes a
//! page of such entries without a panic, and yields no chunk twice.
#![no_main]

use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use twentyfirst_protocol::run_log::{Logged, Position, Reader, ReaderStep};

fuzz_target!(|entries: Vec<(u8, u8, &[u8])>| {
    let mut page = Vec::new();
    for (epoch, seq, bytes) in entries {
        let bytes = Bytes::copy_from_slice(bytes);
        if let Ok(logged) = Logged::decode(&bytes) {
            let again = Logged::decode(&logged.encode());
            assert_eq!(again, Ok(logged));
        }
        page.push((Position::new(epoch.into(), seq.into()), bytes));
    }
    let now = Instant::now();
    let mut reader = Reader::from(0);
    let mut next = 0;
    let mut page = Some(page);
    loop {
        match reader.poll(now) {
            ReaderStep::Read { .. } => match page.take() {
                Some(page) => reader.handle_page(page, now),
                None => reader.handle_missing(),
            },
            ReaderStep::Chunk { index, .. } => {
                assert_eq!(index, next);
                next += 1;
            }
            ReaderStep::Over(_) => break,
            _ => {}
        }
    }
});
