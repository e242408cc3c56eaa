//! A run that is followed comes to an end, whatever the relay says.
#![no_main]

use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use twentyfirst_protocol::flow::{Failure, Flow, Now, Sent, Slot, Step};
use twentyfirst_protocol::http::Response;
use twentyfirst_protocol::runs::{Follow, FollowRun};
use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    // A line is what the relay does next: `data: …` and empty lines are of the stream, `=200 …` answers a question.
    let mut lines = data.split_inclusive(|byte| *byte == b'\n');
    let follow = match first % 3 {
        0 => Follow::wait(),
        1 => Follow::live(),
        _ => Follow::off(),
    };
    let (Ok(sandbox_id), Ok(thread_id)) = (SandboxId::new("sb"), ThreadId::new("th")) else {
        return;
    };
    let options = CallOptions::new().follow(follow);
    let run = FollowRun::new("agent", sandbox_id, thread_id);
    let flow = match first & 4 {
        0 => run.read(&options, 7),
        _ => run.user_message_id("u").join(&options, 7),
    };
    let Ok(mut flow) = flow else {
        return;
    };
    let mut now = Now {
        mono: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    let mut open = first & 4 == 0;
    let mut asked = None;
    let mut steps = 0_u32;
    loop {
        steps += 1;
        assert!(steps < 1_000_000, "it does not end");
        match flow.poll(now) {
            Step::Item(_) => {}
            Step::Done(_) => break,
            Step::Close(Slot::Stream) => open = false,
            Step::Close(Slot::Exchange) => asked = None,
            Step::Send(send) => asked = Some(send.slot),
            Step::Read { until } => {
                let line = lines.next().unwrap_or_default();
                let answer = line.strip_prefix(b"=").zip(asked);
                match (answer, line.first()) {
                    (Some((answer, slot)), _) => {
                        asked = None;
                        let (status, body) = answer.split_at(answer.len().min(3));
                        let status = std::str::from_utf8(status).ok();
                        let status: u16 =
                            status.and_then(|status| status.parse().ok()).unwrap_or(200);
                        let Ok(head) = Response::builder()
                            .status(status)
                            .header("content-type", "text/event-stream")
                            .body(())
                        else {
                            return;
                        };
                        open |= slot == Slot::Stream;
                        let body = match slot {
                            Slot::Stream => Vec::new(),
                            Slot::Exchange => body.to_vec(),
                        };
                        flow.handle_answer(slot, head.into_parts().0, body.into());
                    }
                    (None, Some(b'!')) if open => {
                        open = false;
                        flow.handle_failure(Slot::Stream, Failure::new(Sent::Maybe, "cut"));
                    }
                    (None, Some(b'.')) if open => {
                        open = false;
                        flow.handle_end();
                    }
                    (None, Some(b'>')) | (None, None) => match until {
                        Some(until) => now.mono = until.max(now.mono + Duration::from_millis(1)),
                        None if open => {
                            open = false;
                            flow.handle_end();
                        }
                        None => now.mono += Duration::from_secs(60),
                    },
                    (None, Some(_)) if open => flow.handle_data(line.to_vec().into()),
                    (None, Some(_)) => {}
                }
            }
        }
    }
    assert!(flow.has_message() && flow.outcome().is_some());
    let _ = flow.message();
});
