//! The responses to requests, and their times.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use twentyfirst_protocol::Endpoint;
use twentyfirst_protocol::flow::drive::{BlockingIo, Io, finish};
use twentyfirst_protocol::flow::{Event, Failure, Now, SendRequest, Sent, Slot};
use twentyfirst_protocol::runs::{CancelError, CancelStream, Cancelled};
use twentyfirst_protocol::threads::{GetThread, ListThreads};

use super::{Relay, Resumes, When, ms};

/// The time that a response takes.
const LATENCY: Duration = ms(1);

impl Relay {
    /// Cancels the run as another process does, without touching the follower's requests.
    pub(crate) fn cancel(&mut self) -> Result<Cancelled, CancelError> {
        let run = self.run_ref();
        let mut flow = run.cancel(&self.options, 11).unwrap();
        let mut beside = Beside {
            relay: self,
            exchange: None,
        };
        finish(&mut flow, &mut beside)
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.sent.iter().filter(|(_, sent)| *sent == what).count()
    }

    fn change(&mut self, is_now: impl Fn(&When) -> bool) {
        while let Some(at) = self.changes.iter().position(|(when, _)| is_now(when)) {
            let (_, change) = self.changes.remove(at);
            change(self);
        }
    }

    fn pass(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let now = self.now;
        self.change(|when| matches!(when, When::At(at) if *at <= now));
    }

    /// Returns the response to a request, and opens the stream if it asks for one.
    fn respond(&mut self, send: &SendRequest) -> Event {
        let what = match send.slot {
            Slot::Stream => "resume",
            Slot::Exchange if ListThreads::ROUTE.matches(&send.request) => "list",
            Slot::Exchange if GetThread::ROUTE.matches(&send.request) => "look",
            Slot::Exchange if CancelStream::ROUTE.matches(&send.request) => "cancel",
            Slot::Exchange => panic!("{:?}", send.request),
        };
        self.sent.push((self.now, what));
        let count = self.count(what);
        self.change(
            |when| matches!(when, When::Sent(of, number) if *of == what && *number == count),
        );
        let slot = send.slot;
        let mut refusals = self.refusals.iter_mut();
        if let Some(refusal) = refusals.find(|one| one.of == what && one.times > 0) {
            refusal.times -= 1;
            let (status, retry_after) = (refusal.status, refusal.retry_after);
            if refusal.is_done {
                let _ = self.serve(what, slot);
            }
            return match status {
                None => Event::Failure(slot, Failure::new(Sent::Maybe, "connection reset")),
                Some(0) => {
                    let failure = Failure::new(Sent::Maybe, "it is too long");
                    Event::Failure(slot, failure.permanent())
                }
                Some(status) => response(slot, status, retry_after, &json!({"error": "refused"})),
            };
        }
        self.serve(what, slot)
    }

    fn serve(&mut self, what: &str, slot: Slot) -> Event {
        if self.is_deleted {
            let gone = json!({"error": {"code": "sandbox_not_found", "message": "It is gone."}});
            return response(slot, 404, None, &gone);
        }
        let is_streaming = self.thread_status() == "streaming";
        let has_begun = self.now > self.start_up;
        let other = self.newer.iter().any(|(_, status)| *status == "streaming");
        match what {
            "list" => {
                let newer = self.newer.iter();
                let newer = newer.map(|(id, status)| json!({"id": id, "status": status}));
                let mut threads: Vec<Value> = newer.collect();
                if !self.is_thread_deleted {
                    threads.push(json!({"id": "th_1", "status": self.thread_status()}));
                }
                response(slot, 200, None, &threads.into())
            }
            "look" if self.is_thread_deleted => {
                let gone = json!({"error": {"code": "thread_not_found", "message": "It is gone."}});
                response(slot, 404, None, &gone)
            }
            "look" => response(slot, 200, None, &self.thread()),
            "cancel" if other => panic!("another run is cancelled"),
            "cancel" if is_streaming && has_begun => {
                self.cancel_now();
                response(
                    slot,
                    200,
                    None,
                    &json!({"status": "cancelled", "streamId": "s_1"}),
                )
            }
            "cancel" => response(slot, 200, None, &json!({"status": "idle"})),
            _ if !self.scripts.is_empty() || self.resumed_first.is_some() => self.open(slot),
            _ if is_streaming && has_begun && self.resumes != Resumes::Nothing => self.open(slot),
            _ => response(slot, 204, None, &Value::Null),
        }
    }

    fn open(&mut self, slot: Slot) -> Event {
        self.stream = self.events();
        self.has_open_stream = true;
        let head = Response::builder().header("content-type", "text/event-stream");
        let (head, ()) = head.body(()).unwrap().into_parts();
        let body = Bytes::new();
        Event::Response { slot, head, body }
    }

    /// Returns the next event until this time.
    fn next_event(&mut self, until: Option<Instant>, exchange: Option<Duration>) -> Option<Slot> {
        let until = until.map(|until| until.saturating_duration_since(self.begin.mono));
        let stream = self.stream.front().map(|(at, _)| *at);
        let changes = self.changes.iter().filter_map(|(when, _)| match when {
            When::At(at) => Some(*at),
            When::Sent(..) => None,
        });
        let next = [stream, exchange, until].into_iter().flatten();
        let next = next.chain(changes).min();
        let next = next.expect("nothing is under way");
        self.pass(next);
        if exchange.is_some_and(|at| at <= self.now) {
            Some(Slot::Exchange)
        } else if stream.is_some_and(|at| at <= self.now) {
            Some(Slot::Stream)
        } else {
            None
        }
    }

    fn time(&self) -> Now {
        Now {
            mono: self.begin.mono + self.now,
            wall: self.begin.wall + self.now,
        }
    }
}

fn response(slot: Slot, status: u16, retry_after: Option<u64>, body: &Value) -> Event {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    let (head, ()) = response.body(()).unwrap().into_parts();
    let body = Bytes::from(body.to_string());
    Event::Response { slot, head, body }
}

impl Io for Relay {
    fn send(&mut self, send: SendRequest) {
        if send.slot == Slot::Stream {
            self.stream.clear();
            self.longest_silence = send.timeouts.silence;
        }
        let event = self.respond(&send);
        match send.slot {
            Slot::Exchange => self.exchange = Some((self.now + LATENCY, event)),
            // Its head comes before any of its body.
            Slot::Stream => self.stream.push_front((self.now, event)),
        }
    }

    fn close(&mut self, slot: Slot) {
        match slot {
            Slot::Exchange => self.exchange = None,
            Slot::Stream => {
                self.stream.clear();
                self.has_open_stream = false;
            }
        }
    }
}

impl BlockingIo for Relay {
    fn now(&mut self) -> Now {
        self.time()
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        let exchange = self.exchange.as_ref().map(|(at, _)| *at);
        match self.next_event(until, exchange)? {
            Slot::Exchange => self.exchange.take().map(|(_, event)| event),
            Slot::Stream => {
                let (_, event) = self.stream.pop_front()?;
                self.has_open_stream &= matches!(event, Event::Data(_) | Event::Response { .. });
                Some(event)
            }
        }
    }
}

/// A flow beside the one that follows the run.
struct Beside<'r> {
    relay: &'r mut Relay,
    exchange: Option<(Duration, Event)>,
}

impl Io for Beside<'_> {
    fn send(&mut self, send: SendRequest) {
        let event = self.relay.respond(&send);
        self.exchange = Some((self.relay.now + LATENCY, event));
    }

    fn close(&mut self, _: Slot) {
        self.exchange = None;
    }
}

impl BlockingIo for Beside<'_> {
    fn now(&mut self) -> Now {
        self.relay.time()
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        let until = until.map(|until| until.saturating_duration_since(self.relay.begin.mono));
        let exchange = self.exchange.as_ref().map(|(at, _)| *at);
        let next = [until, exchange].into_iter().flatten().min();
        self.relay.pass(next.expect("nothing is under way"));
        let has_come = exchange.is_some_and(|at| at <= self.relay.now);
        self.exchange.take_if(|_| has_come).map(|(_, event)| event)
    }
}
