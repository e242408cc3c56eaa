//! A relay with one run in a time of its own, whose streams never are in memory as a whole.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Response;
use twentyfirst_protocol::flow::drive::{BlockingIo, Io, next};
use twentyfirst_protocol::flow::{Event, Failure, Now, SendRequest, Sent, Slot};
use twentyfirst_protocol::runs::{FollowPolicy, FollowRun, Outcome, RunEvent, RunRef};
use twentyfirst_protocol::threads::{GetThread, ListThreads};
use twentyfirst_protocol::{CallOptions, Endpoint, Operation, SandboxId, ThreadId};

/// What a run says, and how often its stream breaks off.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) follow: FollowPolicy,
    /// How many streams there are, one after the other.
    pub(crate) streams: usize,
    /// Chunk number so and so of a stream, which breaks off where there is none.
    pub(crate) says: fn(stream: usize, n: usize) -> Option<String>,
}

/// How many chunks come at once.
const AT_ONCE: usize = 50;

pub(crate) struct Relay {
    begin: Now,
    now: Duration,
    run: Run,
    /// How many streams were opened.
    opened: usize,
    /// How many chunks of the last one have come. `None` if it is not open.
    said: Option<usize>,
    bytes: usize,
    asked: usize,
    exchange: Option<Event>,
    head: Option<Event>,
    /// What is stored when the run is over, behind the question, in the JSON of messages.
    stored: fn() -> Option<String>,
}

/// What was told of a run.
#[derive(Default)]
pub(crate) struct Told {
    bytes: usize,
    chunks: usize,
    resumed: usize,
    gaps: usize,
    is_too_large: bool,
    transition: &'static str,
}

impl Relay {
    pub(crate) fn new(run: Run, stored: fn() -> Option<String>) -> Self {
        Self {
            begin: Now {
                mono: Instant::now(),
                wall: SystemTime::now(),
            },
            now: Duration::ZERO,
            run,
            opened: 1,
            said: Some(0),
            bytes: 0,
            asked: 0,
            exchange: None,
            head: None,
            stored,
        }
    }

    /// Follows the run until its end.
    pub(crate) fn follow(mut self, limit: usize) -> (Told, Outcome) {
        let run = RunRef::new(
            "my-agent",
            SandboxId::new("sb_1").unwrap(),
            ThreadId::new("th_1").unwrap(),
        );
        let run = FollowRun::new(run.user_message_id("u1"));
        let options = CallOptions::new().follow(self.run.follow.memory_limit(limit));
        let mut flow = run.read(&options, 7).unwrap();
        let mut told = Told::default();
        let outcome = loop {
            match next(&mut flow, &mut self) {
                Ok(RunEvent::Chunk(_)) => told.chunks += 1,
                Ok(RunEvent::Resumed) => told.resumed += 1,
                Ok(RunEvent::Gap) => told.gaps += 1,
                Ok(_) => {}
                Err(outcome) => break outcome,
            }
        };
        flow.message();
        told.bytes = self.bytes;
        told.is_too_large = flow.too_large().is_some();
        told.transition = flow.transition();
        (told, outcome)
    }

    fn status(&self) -> &'static str {
        let has_more = self.opened < self.run.streams && self.asked < 20;
        match self.said.is_some() || has_more {
            true => "streaming",
            false => "completed",
        }
    }

    fn thread(&mut self) -> Bytes {
        let status = self.status();
        let stored = match status {
            "completed" => (self.stored)(),
            _ => None,
        };
        let messages = stored.map_or_else(
            || "null".to_owned(),
            |answer| {
                let question = r#"{"id":"u1","role":"user","parts":[{"type":"text","text":"?"}]}"#;
                format!("[{question},{answer}]")
            },
        );
        let thread = format!(r#"{{"id":"th_1","status":"{status}","messages":{messages}}}"#);
        thread.into()
    }

    /// Reads what is stored when the run is over, and says how long it is.
    pub(crate) fn read_thread(&mut self) -> usize {
        let said = self.said.take();
        let opened = std::mem::replace(&mut self.opened, self.run.streams);
        let body = self.thread();
        (self.said, self.opened) = (said, opened);
        let ids = (SandboxId::new("sb_1"), ThreadId::new("th_1"));
        let read = GetThread::new(ids.0.unwrap(), ids.1.unwrap());
        let (head, ()) = Response::new(()).into_parts();
        assert!(read.decode(&head, &body).unwrap().messages.is_some());
        body.len()
    }

    /// The next bytes of the stream that is open.
    fn data(&mut self) -> Event {
        let from = self.said.unwrap_or_default();
        let mut data = String::new();
        for n in from..from + AT_ONCE {
            match (self.run.says)(self.opened - 1, n) {
                Some(chunk) => {
                    data.push_str("data: ");
                    data.push_str(&chunk);
                    data.push_str("\n\n");
                    self.said = Some(n + 1);
                }
                None if data.is_empty() => {
                    self.said = None;
                    let failure = Failure::new(Sent::Maybe, "connection reset");
                    return Event::Failure(Slot::Stream, failure);
                }
                None => break,
            }
            // What is long comes alone.
            if data.len() > 64 * 1024 {
                break;
            }
        }
        self.bytes += data.len();
        Event::Data(data.into())
    }
}

impl Io for Relay {
    fn send(&mut self, send: SendRequest) {
        if send.slot == Slot::Stream {
            let has_more = self.opened < self.run.streams;
            let status = match has_more {
                true => 200,
                false => 204,
            };
            if has_more {
                self.opened += 1;
                self.said = Some(0);
            }
            self.head = Some(response(Slot::Stream, status, Bytes::new()));
            return;
        }
        let body = match ListThreads::ROUTE.matches(&send.request) {
            true => {
                self.asked += 1;
                format!(r#"[{{"id":"th_1","status":"{}"}}]"#, self.status()).into()
            }
            false => self.thread(),
        };
        self.exchange = Some(response(Slot::Exchange, 200, body));
    }

    fn close(&mut self, slot: Slot) {
        match slot {
            Slot::Exchange => self.exchange = None,
            Slot::Stream => {
                self.head = None;
                self.said = None;
            }
        }
    }
}

impl BlockingIo for Relay {
    fn now(&mut self) -> Now {
        Now {
            mono: self.begin.mono + self.now,
            wall: self.begin.wall + self.now,
        }
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        if let Some(event) = self.head.take().or_else(|| self.exchange.take()) {
            return Some(event);
        }
        if self.said.is_some() {
            return Some(self.data());
        }
        let until = until.unwrap().saturating_duration_since(self.begin.mono);
        self.now = self.now.max(until);
        None
    }
}

fn response(slot: Slot, status: u16, body: Bytes) -> Event {
    let content_type = match slot {
        Slot::Stream => "text/event-stream",
        Slot::Exchange => "application/json",
    };
    let response = Response::builder().status(status);
    let response = response.header("content-type", content_type).body(());
    let (head, ()) = response.unwrap().into_parts();
    Event::Response { slot, head, body }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            ", {:.1} MiB came, {} chunks told, {} × resumed, {} gaps, too large: {}, {}",
            self.bytes as f64 / (1024.0 * 1024.0),
            self.chunks,
            self.resumed,
            self.gaps,
            self.is_too_large,
            self.transition,
        )
    }
}
