//! The events of a stream of the run from the time it is opened.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use twentyfirst_protocol::flow::Event;
use twentyfirst_protocol::flow::{Failure, Sent, Slot};

use super::{End, Fault, Relay, Resumes, ms};
use crate::lines::{Line, line};

impl Relay {
    /// Opens the stream with which the run was started.
    pub(crate) fn open_first(&mut self) {
        self.stream = self.events();
        self.has_open_stream = true;
    }

    /// Sends the end of the stream and leaves its body open.
    pub(crate) fn send_done_only(&mut self) {
        self.stream.push_back((self.now, line::done()));
    }

    /// Gives the first stream to another reader.
    pub(crate) fn give_stream_away(&mut self) {
        self.stream.clear();
        self.has_open_stream = false;
    }

    /// Returns the events of the stream that is opened now.
    pub(super) fn events(&mut self) -> VecDeque<(Duration, Event)> {
        self.opened += 1;
        let fault = self.faults.pop_front().or(self.every);
        let fault = fault.unwrap_or(Fault::None);
        let resumed = self.resumed_first.take_if(|_| self.opened == 2);
        if let Some(script) = resumed.or_else(|| self.scripts.pop_front()) {
            let mut at = self.now;
            let mut events = VecDeque::new();
            for line in script {
                match line {
                    Line::Pause(pause) => at += pause,
                    Line::Says(data) => events.push_back((at, line::event(&data))),
                    Line::Cut => events.push_back((at, cut())),
                    Line::Ends => events.push_back((at, Event::End)),
                }
            }
            return events;
        }
        let mut events: Vec<(Duration, String)> = Vec::new();
        let (is_first, opened) = (self.opened == 1, self.now);
        let number = self.opened;
        let is_replay = is_first || self.resumes == Resumes::Replay;
        let held_until = match self.resumes {
            Resumes::HeldBack if !is_first => self.end_at().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let start = json!({"type": "start", "messageId": format!("m{number}")});
        events.push((opened.max(self.start_up), start.to_string()));
        let mut reader = line::Reader::new(number, is_replay);
        for (at, chunk) in &self.run {
            let seen = is_replay || *at >= opened;
            for chunk in reader.sees(chunk, seen) {
                events.push(((*at).max(opened).max(held_until), chunk.to_string()));
            }
        }
        let end = self.end_at().map(|end| end.max(opened));
        let mut events = faulty(events, fault, opened);
        let is_broken = events
            .back()
            .is_some_and(|(_, event)| !matches!(event, Event::Data(_)));
        if is_broken || matches!(fault, Fault::FallsSilent(_)) {
            return events;
        }
        match (&self.end, end) {
            (End::Completes, Some(end)) => {
                events.push_back((end + self.done_after, line::done()));
                events.push_back((end + self.done_after, Event::End));
            }
            (End::Fails(_), Some(end)) => events.push_back((end + ms(500), Event::End)),
            (End::IsNotStored(_), Some(end)) => events.push_back((end + ms(20), Event::End)),
            _ => {}
        }
        if let Fault::CutAfter(after) = fault {
            events.retain(|(at, _)| *at < opened + after);
            events.push_back((opened + after, cut()));
        }
        events
    }
}

fn cut() -> Event {
    Event::Failure(Slot::Stream, Failure::new(Sent::Maybe, "connection reset"))
}

/// Returns the bytes of a stream with a fault inserted.
fn faulty(
    events: Vec<(Duration, String)>,
    fault: Fault,
    opened: Duration,
) -> VecDeque<(Duration, Event)> {
    let after = |kind: &str| {
        let is_kind = |data: &String| data.contains(&format!("\"type\":\"{kind}\""));
        let mut total = 0;
        for (_, data) in &events {
            total += data.len() + "data: \n\n".len();
            if is_kind(data) {
                break;
            }
        }
        total
    };
    let (mut left, mut end) = match fault {
        Fault::None | Fault::CutAfter(_) => (usize::MAX, None),
        Fault::Cut(bytes) => (bytes, Some(cut())),
        Fault::CutAfterEvent(kind) => (after(kind), Some(cut())),
        Fault::Ends(bytes) => (bytes, Some(Event::End)),
        Fault::FallsSilent(bytes) => (bytes, None),
        Fault::Says(bytes, data) => (bytes, Some(line::event(data))),
    };
    let mut came = VecDeque::new();
    for (at, data) in events {
        let bytes = format!("data: {data}\n\n");
        if let Fault::Says(..) = fault
            && left < bytes.len()
            && let Some(event) = end.take()
        {
            came.push_back((at, event));
            left = usize::MAX;
        }
        let length = bytes.len().min(left);
        left -= length;
        if length > 0 {
            let bytes = Bytes::copy_from_slice(&bytes.as_bytes()[..length]);
            came.push_back((at, Event::Data(bytes)));
        }
        if left == 0 {
            came.extend(end.take().map(|end| (at.max(opened), end)));
            break;
        }
    }
    came
}
