//! Following a run ends, whatever the relay sends.
#![no_main]

use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use twentyfirst_protocol::flow::drive::{BlockingIo, Io, finish};
use twentyfirst_protocol::flow::{Event, Failure, Now, SendRequest, Sent, Slot};
use twentyfirst_protocol::http::Response;
use twentyfirst_protocol::runs::{FollowPolicy, RunRef};
use twentyfirst_protocol::ui::Decoder;
use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};

/// A relay that plays a script. Each line is its next action: `=200 …` is a response, `!` cuts the stream, `.` ends it, and `>` advances
/// the time. Every other line is content of the stream. After the last line, time passes, and the stream ends if the flow waits for
/// nothing else.
struct Relay<'a, L> {
    lines: L,
    now: Now,
    is_open: bool,
    /// The slot of the request that has no response yet.
    requested: Option<Slot>,
    waits: u32,
    last: &'a [u8],
}

impl<L> Io for Relay<'_, L> {
    fn send(&mut self, send: SendRequest) {
        self.requested = Some(send.slot);
    }

    fn close(&mut self, slot: Slot) {
        match slot {
            Slot::Stream => self.is_open = false,
            Slot::Exchange => self.requested = None,
        }
    }
}

impl<'a, L: Iterator<Item = &'a [u8]>> BlockingIo for Relay<'a, L> {
    fn now(&mut self) -> Now {
        self.now
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        self.waits += 1;
        assert!(self.waits < 1_000_000, "the flow did not end after 1,000,000 waits");
        self.last = self.lines.next().unwrap_or_default();
        let response = self.last.strip_prefix(b"=").zip(self.requested);
        match (response, self.last.first()) {
            (Some((response, slot)), _) => {
                self.requested = None;
                let (status, body) = response.split_at(response.len().min(3));
                let status = std::str::from_utf8(status).ok();
                let status: u16 = status.and_then(|status| status.parse().ok()).unwrap_or(200);
                let head = Response::builder()
                    .status(status)
                    .header("content-type", "text/event-stream")
                    .body(())
                    .unwrap_or_default();
                self.is_open |= slot == Slot::Stream;
                let body = match slot {
                    Slot::Stream => Vec::new(),
                    Slot::Exchange => body.to_vec(),
                };
                let (head, body) = (head.into_parts().0, body.into());
                Some(Event::Response { slot, head, body })
            }
            (None, Some(b'!')) if self.is_open => {
                self.is_open = false;
                Some(Event::Failure(Slot::Stream, Failure::new(Sent::Maybe, "cut")))
            }
            (None, Some(b'.')) if self.is_open => {
                self.is_open = false;
                Some(Event::End)
            }
            (None, Some(b'>') | None) => {
                match until {
                    Some(until) => {
                        self.now.mono = until.max(self.now.mono + Duration::from_millis(1));
                    }
                    None if self.is_open => {
                        self.is_open = false;
                        return Some(Event::End);
                    }
                    None => self.now.mono += Duration::from_secs(60),
                }
                None
            }
            (None, Some(_)) if self.is_open => Some(Event::Data(self.last.to_vec().into())),
            (None, Some(_)) => None,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let follow = match first % 3 {
        0 => FollowPolicy::wait(),
        1 => FollowPolicy::live(),
        _ => FollowPolicy::off(),
    };
    let (Ok(sandbox_id), Ok(thread_id)) = (SandboxId::new("sb"), ThreadId::new("th")) else {
        return;
    };
    let options = CallOptions::new().follow(follow);
    let run = RunRef::new("agent", sandbox_id, thread_id);
    let is_open = first & 4 == 0;
    // A flow may join a run whose first chunks another flow has delivered.
    let (before, data) = match first & 8 {
        0 => (&data[..0], data),
        _ => data.split_at(data.len() / 2),
    };
    let mut decoder = Decoder::new();
    decoder.push(before.to_vec());
    let before = std::iter::from_fn(|| decoder.next_chunk().map(|chunk| chunk.map(|chunk| chunk.into_owned())));
    let before: Vec<_> = before.take(1000).flatten().collect();
    let flow = match is_open {
        true => run.follow().read(&options, 7),
        false => run.user_message_id("u").follow().after(before).join(&options, 7),
    };
    let Ok(mut flow) = flow else {
        return;
    };
    let mut relay = Relay {
        lines: data.split_inclusive(|byte| *byte == b'\n'),
        now: Now {
            mono: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
        },
        is_open,
        requested: None,
        waits: 0,
        last: &[],
    };
    finish(&mut flow, &mut relay);
    assert!(flow.has_message() && flow.outcome().is_some());
    let _ = flow.message();
});
