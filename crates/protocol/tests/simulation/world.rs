//! Virtual time, and the network between the flows and the relay: latency, loss, cuts and silence.
//!
//! Everything that happens is an event in one queue, so that a schedule is played in milliseconds however long it takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Request;
use http::response::Parts;
use serde_json::{Value, json};
use twentyfirst_protocol::flow::{Now, SendRequest, Sent, Slot};
use twentyfirst_protocol::{Body, Timeouts};

use crate::faults::{Fault, Tally};
use crate::relay::{Alarm, At, Conn, Mark, Phase, Relay, Said, wall};
use crate::rng::Rng;

/// The most requests of one flow within ten seconds. Backoff begins with a quarter of a second, and each may be tried three
/// times.
const MOST_REQUESTS: usize = 30;

/// The sender of requests: the flow that follows the run, or the one that cancels it beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Follower,
    Canceller,
}

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    CreateSandbox,
    DeleteSandbox,
    CreateThread,
    SendMessages,
    Look,
    List,
    Get,
    Resume,
    Cancel,
}

/// The failure rates of the network, in percent.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// The rate for requests.
    pub(crate) exchanges: usize,
    /// The rate for streams.
    pub(crate) streams: usize,
    /// The latency of most messages, in milliseconds.
    pub(crate) latency: usize,
    /// The time at which the key is revoked.
    pub(crate) revoked: Option<At>,
    /// The numbers of drawn faults that do not strike: see [`Schedule::simpler`](crate::schedule::Schedule).
    pub(crate) spared: BTreeSet<usize>,
}

pub(crate) struct World {
    pub(crate) now: At,
    base: Instant,
    pub(crate) relay: Relay,
    weather: Weather,
    rng: Rng,
    queue: BTreeMap<(At, u64), Event>,
    queued: u64,
    lines: Vec<Line>,
    under_way: [[Option<Conn>; 2]; 2],
    /// Whether each actor has listed the threads and may be about to resume or to cancel: see [`World::must_wait`].
    deciding: [bool; 2],
    /// The status of our thread in each actor's last list.
    listed: [Option<&'static str>; 2],
    /// The number of chat POSTs that have taken effect, or may have: all except those that were certainly not sent or certainly
    /// refused.
    pub(crate) posts: usize,
    /// The same for sandboxes.
    pub(crate) creations: usize,
    /// The number of the follower's streams that were cut.
    cuts: usize,
    /// The number of faults that were drawn.
    pub(crate) drawn: usize,
    /// The last stream that was opened for the follower.
    opened: Option<Conn>,
    /// The times of the follower's requests in the last ten seconds.
    asked: VecDeque<At>,
    /// Whether these exceeded the limit.
    too_many: bool,
    pub(crate) tally: Tally,
    pub(crate) trace: Option<Vec<String>>,
}

enum Event {
    Arrives(Conn),
    Handed(Conn, Handed),
    Alarm(Alarm),
}

/// An event for a flow.
#[derive(Debug)]
pub(crate) enum Handed {
    /// A whole response.
    Response {
        head: Parts,
        body: Bytes,
        value: Value,
    },
    /// The head of a response whose body is still open.
    Opened(Parts),
    /// Bytes of it, and the events that they complete.
    Data(Bytes, Vec<Mark>),
    End,
    Failure(Sent),
}

/// One request and its response, on the way.
struct Line {
    actor: Actor,
    slot: Slot,
    asks: Asks,
    request: Request<Body>,
    timeouts: Timeouts,
    sent: At,
    /// The time of the last byte, once the head has come.
    heard: Option<At>,
    request_fault: RequestFault,
    stream_fault: StreamFault,
    /// The number of bytes that were sent.
    bytes: usize,
    events: usize,
    saw_finish: bool,
    last_arrival: At,
    /// Whether nothing more comes over it.
    over: bool,
    /// Whether the request has reached the relay.
    has_arrived: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestFault {
    None,
    Lost(Sent),
    ResponseLost,
    NoResponse,
    Status(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamFault {
    None,
    Cut {
        at: usize,
        clean: bool,
    },
    Silence {
        at: usize,
        lasts: Option<Duration>,
    },
    Malformed {
        event: usize,
        instead: bool,
    },
    /// It has struck: nothing more comes, without a sign.
    Mute,
}

impl World {
    pub(crate) fn new(relay: Relay, weather: Weather, rng: Rng, tracing: bool) -> Self {
        Self {
            now: At::ZERO,
            base: Instant::now(),
            relay,
            weather,
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            lines: Vec::new(),
            under_way: [[None; 2]; 2],
            deciding: [false; 2],
            listed: [None; 2],
            posts: 0,
            creations: 0,
            cuts: 0,
            drawn: 0,
            opened: None,
            asked: VecDeque::new(),
            too_many: false,
            tally: Tally::new(),
            trace: tracing.then(Vec::new),
        }
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            mono: self.base + self.now,
            wall: wall(self.now),
        }
    }

    /// Converts an instant of a flow to simulated time.
    pub(crate) fn moment(&self, instant: Instant) -> At {
        instant.saturating_duration_since(self.base)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.3} s  {}", self.now.as_secs_f64(), line()));
        }
    }

    pub(crate) fn alarm(&mut self, at: At, alarm: Alarm) {
        self.push(at, Event::Alarm(alarm));
    }

    fn push(&mut self, at: At, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    // ---- What flows ask for

    pub(crate) fn send(&mut self, actor: Actor, send: SendRequest) {
        self.close(actor, send.slot);
        if actor == Actor::Follower {
            self.count_request();
        }
        let conn = self.lines.len();
        let asks = asks(&send.request);
        let request_fault = self.request_fault(asks, &send.timeouts);
        self.note(|| {
            format!(
                "{actor:?} sends #{conn} {} {} ({:?}, attempt {}) {}",
                send.request.method(),
                send.request.uri(),
                send.slot,
                send.attempt,
                if request_fault == RequestFault::None {
                    String::new()
                } else {
                    format!("→ {request_fault:?}")
                }
            )
        });
        let is_harmless = matches!(
            request_fault,
            RequestFault::Lost(Sent::No) | RequestFault::Status(401 | 403 | 429)
        );
        match asks {
            Asks::SendMessages if !is_harmless => self.posts += 1,
            Asks::CreateSandbox if !is_harmless => self.creations += 1,
            _ => {}
        }
        self.lines.push(Line {
            actor,
            slot: send.slot,
            asks,
            request: send.request,
            timeouts: send.timeouts,
            sent: self.now,
            heard: None,
            request_fault,
            stream_fault: StreamFault::None,
            bytes: 0,
            events: 0,
            saw_finish: false,
            last_arrival: self.now,
            over: false,
            has_arrived: false,
        });
        self.under_way[actor as usize][send.slot as usize] = Some(conn);
        let latency = self.latency();
        match request_fault {
            RequestFault::Lost(sent) => {
                self.tally.struck(match sent {
                    Sent::No => Fault::NotSent,
                    Sent::Maybe => Fault::LostRequest,
                });
                self.hand(conn, latency, Handed::Failure(sent));
            }
            RequestFault::NoResponse => self.tally.struck(Fault::NoResponse),
            _ => self.push(self.now + latency, Event::Arrives(conn)),
        }
    }

    /// Returns whether the last stream that was opened for the follower belongs to our run.
    pub(crate) fn reads_ours(&self) -> bool {
        let run = self.opened.and_then(|conn| self.relay.run_on(conn));
        run.is_some() && run == self.relay.our_id()
    }

    /// Returns whether the follower has sent too many requests within ten seconds.
    pub(crate) fn take_too_many(&mut self, actor: Actor) -> bool {
        actor == Actor::Follower && std::mem::take(&mut self.too_many)
    }

    fn count_request(&mut self) {
        let since = self.now.saturating_sub(Duration::from_secs(10));
        self.asked.push_back(self.now);
        while self.asked.front().is_some_and(|at| *at < since) {
            self.asked.pop_front();
        }
        self.too_many |= self.asked.len() > MOST_REQUESTS;
    }

    /// Drops whatever is under way in a slot. A request that has been sent arrives all the same.
    pub(crate) fn close(&mut self, actor: Actor, slot: Slot) {
        if let Some(conn) = self.under_way[actor as usize][slot as usize].take() {
            self.note(|| format!("{actor:?} drops #{conn}"));
            self.lines[conn].over = true;
            self.relay.leave(conn);
        }
    }

    /// Notes that a flow has reacted to an event: if it does not resume or cancel now, its list of the threads does not matter
    /// any more.
    pub(crate) fn has_decided(&mut self, actor: Actor) {
        // A dropped request arrives all the same: a DELETE on its way ends a run, though nobody reads the response.
        let is_on_its_way = self.lines.iter().rev().take(8).any(|line| {
            line.actor == actor
                && line.asks == Asks::Cancel
                && !line.has_arrived
                && matches!(
                    line.request_fault,
                    RequestFault::None | RequestFault::ResponseLost
                )
        });
        let deciding = self.under_way[actor as usize].iter().flatten().any(|conn| {
            let line = &self.lines[*conn];
            let arrives = matches!(
                line.request_fault,
                RequestFault::None | RequestFault::ResponseLost
            );
            arrives
                && line.heard.is_none()
                && matches!(
                    line.asks,
                    Asks::Look | Asks::List | Asks::Get | Asks::Resume | Asks::Cancel
                )
        });
        self.deciding[actor as usize] &= deciding || is_on_its_way;
    }

    fn latency(&mut self) -> Duration {
        match self.rng.below(20) {
            0 => self.rng.millis(1, 4_000),
            _ => self.rng.millis(1, self.weather.latency),
        }
    }

    /// Returns whether a drawn fault strikes.
    fn strikes(&mut self) -> bool {
        self.drawn += 1;
        !self.weather.spared.contains(&(self.drawn - 1))
    }

    fn request_fault(&mut self, asks: Asks, timeouts: &Timeouts) -> RequestFault {
        match self.draw_request_fault(asks, timeouts) {
            RequestFault::None => RequestFault::None,
            fault if self.strikes() => fault,
            _ => RequestFault::None,
        }
    }

    fn stream_fault(&mut self, length: usize) -> StreamFault {
        match self.draw_stream_fault(length) {
            StreamFault::None => StreamFault::None,
            fault if self.strikes() => fault,
            _ => StreamFault::None,
        }
    }

    fn draw_request_fault(&mut self, asks: Asks, timeouts: &Timeouts) -> RequestFault {
        if self.weather.revoked.is_some_and(|at| at <= self.now) {
            return RequestFault::Status(*self.rng.pick(&[401, 403]));
        }
        // A run that does not start is quickly played, and other faults are more interesting.
        let chance = match asks {
            Asks::CreateSandbox | Asks::CreateThread | Asks::SendMessages => {
                self.weather.exchanges / 4
            }
            _ => self.weather.exchanges,
        };
        if !self.rng.percent(chance) {
            return RequestFault::None;
        }
        let limited = timeouts.total.or(timeouts.head).is_some();
        match self.rng.below(10) {
            0 => RequestFault::Lost(Sent::No),
            1 => RequestFault::Lost(Sent::Maybe),
            2 | 3 => RequestFault::ResponseLost,
            4 if limited => RequestFault::NoResponse,
            5 | 6 => RequestFault::Status(429),
            7 => RequestFault::Status(500),
            _ => RequestFault::Status(503),
        }
    }

    fn draw_stream_fault(&mut self, length: usize) -> StreamFault {
        if !self.rng.percent(self.weather.streams) {
            return StreamFault::None;
        }
        // Some at the very end, where `finish` and `[DONE]` are.
        let at = if self.rng.percent(20) {
            length.saturating_sub(self.rng.below(60))
        } else {
            self.rng.below(length + length / 10)
        };
        match self.rng.below(10) {
            0..=2 => StreamFault::Cut { at, clean: true },
            3..=5 => StreamFault::Cut { at, clean: false },
            6 => StreamFault::Silence { at, lasts: None },
            7 => {
                let lasts = Some(self.rng.millis(60_000, 2_400_000));
                StreamFault::Silence { at, lasts }
            }
            _ => StreamFault::Malformed {
                event: self.rng.below(30),
                instead: self.rng.percent(60),
            },
        }
    }

    /// Returns the status of our thread in this actor's last list, or `None` before there was a run.
    pub(crate) fn listed(&self, actor: Actor) -> Option<&'static str> {
        self.listed[actor as usize]
    }

    // ---- What happens

    /// Advances to the next event for a flow, or to `until`, and returns which.
    ///
    /// `None` means that nothing will happen any more.
    pub(crate) fn advance(
        &mut self,
        until: Option<At>,
    ) -> Option<Option<(Actor, Slot, Asks, Handed)>> {
        loop {
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let timeout = self.next_timeout();
            let next = [event, timeout.map(|(at, _)| at), until]
                .into_iter()
                .flatten()
                .min()?;
            self.now = self.now.max(next);
            if let Some((_, conn)) = timeout.filter(|(at, _)| *at == next) {
                let line = &mut self.lines[conn];
                line.over = true;
                if line.heard.is_some() {
                    self.tally.struck(Fault::StreamTimeout);
                }
                self.relay.leave(conn);
                if let Some(told) = self.told(conn, Handed::Failure(Sent::Maybe)) {
                    return Some(Some(told));
                }
                continue;
            }
            if event != Some(next) {
                return Some(None);
            }
            let (_, event) = self.queue.pop_first()?;
            if self.must_wait(&event) {
                self.push(self.now + Duration::from_millis(20), event);
                continue;
            }
            match event {
                Event::Arrives(conn) => self.arrives(conn),
                Event::Alarm(alarm) => {
                    self.relay.wake(self.now, alarm, &mut self.tally);
                    self.listen();
                }
                Event::Handed(conn, handed) => {
                    if let Some(told) = self.told(conn, handed) {
                        return Some(Some(told));
                    }
                }
            }
        }
    }

    /// Spares flows the one race that no client can prevent: resuming and cancelling name only the sandbox, and the run that they
    /// mean can change between the list of the threads and the next request.
    ///
    /// So from the moment at which a list is made until that request arrives (or the flow shows that there is none), no run
    /// begins in another thread, and ours does not end while another thread streams.
    fn must_wait(&self, event: &Event) -> bool {
        let deciding = |but: Option<Actor>| {
            [Actor::Follower, Actor::Canceller]
                .into_iter()
                .any(|actor| Some(actor) != but && self.deciding[actor as usize])
        };
        match event {
            Event::Alarm(Alarm::Begin { ours: false, .. }) => deciding(None),
            Event::Alarm(alarm) => {
                deciding(None) && self.relay.would_end_ours(alarm) && self.relay.another_streams()
            }
            Event::Arrives(conn) => {
                let line = &self.lines[*conn];
                line.asks == Asks::Cancel
                    && deciding(Some(line.actor))
                    && self.relay.another_streams()
            }
            Event::Handed(..) => false,
        }
    }

    fn next_timeout(&self) -> Option<(At, Conn)> {
        let under_way = self.under_way.iter().flatten().flatten();
        under_way
            .filter(|conn| {
                !self.lines[**conn].over || self.lines[**conn].stream_fault == StreamFault::Mute
            })
            .flat_map(|conn| {
                let line = &self.lines[*conn];
                let after =
                    |from: At, limit: Option<Duration>| limit.map(|limit| (from + limit, *conn));
                let part = match line.heard {
                    None => after(line.sent, line.timeouts.head),
                    Some(heard) => after(heard, line.timeouts.silence),
                };
                part.into_iter()
                    .chain(after(line.sent, line.timeouts.total))
            })
            .min()
    }

    /// Passes an event to a flow that still listens.
    fn told(&mut self, conn: Conn, handed: Handed) -> Option<(Actor, Slot, Asks, Handed)> {
        let line = &mut self.lines[conn];
        let (actor, slot, asks) = (line.actor, line.slot, line.asks);
        if self.under_way[actor as usize][slot as usize] != Some(conn) {
            return None;
        }
        if actor == Actor::Follower && asks == Asks::Resume && matches!(handed, Handed::Opened(_)) {
            self.opened = Some(conn);
        }
        let line = &mut self.lines[conn];
        let first = line.heard.replace(self.now).is_none();
        if !matches!(handed, Handed::Opened(_) | Handed::Data(..)) {
            self.under_way[actor as usize][slot as usize] = None;
        }
        // A request of the other flow was sent earlier: no flow has two requests without a response.
        let overtaken = self.under_way.iter().flatten().flatten();
        let overtaken =
            overtaken.filter(|other| **other < conn && self.lines[**other].heard.is_none());
        if first && overtaken.count() > 0 {
            self.tally.struck(Fault::Reordered);
        }
        self.note(|| format!("{actor:?} is told #{conn} {}", describe(&handed)));
        Some((actor, slot, asks, handed))
    }

    fn arrives(&mut self, conn: Conn) {
        let line = &self.lines[conn];
        let (actor, asks) = (line.actor, line.asks);
        match line.request_fault {
            RequestFault::Status(status) => {
                self.tally.struck(match status {
                    429 => Fault::TooMany,
                    401 | 403 => Fault::Refused,
                    _ => Fault::ServerError,
                });
                let (headers, body) = self.error(status);
                self.reply(conn, status, &headers, body);
            }
            _ => {
                let request = std::mem::take(&mut self.lines[conn].request);
                self.relay
                    .handle(self.now, conn, asks, &request, &mut self.tally);
                self.lines[conn].has_arrived = true;
                match asks {
                    // Nobody decides on a response that nobody reads.
                    Asks::Look | Asks::List | Asks::Get if self.lines[conn].over => {}
                    Asks::Look | Asks::List => {
                        self.deciding[actor as usize] = true;
                        self.listed[actor as usize] =
                            self.relay.our_thread().map(|thread| thread.status);
                    }
                    // Cancelling begins by checking if the run is over.
                    Asks::Get if actor == Actor::Canceller => {
                        self.deciding[actor as usize] = true;
                        if self.relay.our_phase() == Some(Phase::Completed) {
                            self.listed[actor as usize] = Some("completed");
                        }
                    }
                    Asks::Resume | Asks::Cancel => self.deciding[actor as usize] = false,
                    _ => {}
                }
                // The sender left before its request arrived, so it reads nothing of the response.
                if self.lines[conn].over {
                    self.relay.leave(conn);
                }
                self.listen();
            }
        }
    }

    fn error(&mut self, status: u16) -> (Vec<(&'static str, String)>, Value) {
        let seconds = *self.rng.pick(&[1, 2, 20]);
        let headers = match self.rng.below(3) {
            0 => vec![("retry-after", seconds.to_string())],
            _ => Vec::new(),
        };
        let body = match (status, self.rng.below(3)) {
            (429, 0) => {
                json!({"error": {"code": "rate_limit_exceeded", "message": "Slow down", "retryAfter": seconds}})
            }
            (401 | 403, _) => json!({"error": "Invalid API key"}),
            (_, 1) => Value::Null,
            _ => json!({"error": {"code": "sandbox_unavailable", "message": "Try again"}}),
        };
        (headers, body)
    }

    /// Collects the relay's output and alarms.
    fn listen(&mut self) {
        for (at, alarm) in self.relay.take_alarms() {
            self.alarm(at, alarm);
        }
        let mut said = self.relay.take_said().into_iter().peekable();
        while let Some((conn, what)) = said.next() {
            match what {
                Said::Response {
                    status,
                    headers,
                    body,
                } => {
                    if self.response_is_lost(conn) {
                        continue;
                    }
                    self.reply(conn, status, &headers, body);
                }
                Said::Opened => {
                    if self.response_is_lost(conn) {
                        self.relay.leave(conn);
                        continue;
                    }
                    // Includes `start`.
                    let length = 50 + self.relay.ours().map_or(2_000, |run| run.truth.bytes());
                    let fault = self.stream_fault(length);
                    self.lines[conn].stream_fault = fault;
                    if fault != StreamFault::None {
                        self.note(|| format!("the stream of #{conn} is going to suffer {fault:?}"));
                    }
                    let latency = self.latency();
                    let head = head(200, &[("content-type", "text/event-stream".to_owned())]);
                    self.hand(conn, latency, Handed::Opened(head));
                }
                Said::Event(bytes, mark) => {
                    let mut events = vec![(bytes, mark)];
                    while let Some((_, Said::Event(bytes, mark))) = said
                        .next_if(|(other, what)| *other == conn && matches!(what, Said::Event(..)))
                    {
                        events.push((bytes, mark));
                    }
                    self.transmit(conn, events);
                }
                Said::Ended => {
                    if !self.lines[conn].over {
                        self.hand(conn, Duration::ZERO, Handed::End);
                    }
                }
            }
        }
    }

    fn response_is_lost(&mut self, conn: Conn) -> bool {
        let lost = self.lines[conn].request_fault == RequestFault::ResponseLost;
        if lost {
            self.tally.struck(Fault::LostResponse);
            let latency = self.latency();
            self.hand(conn, latency, Handed::Failure(Sent::Maybe));
            self.lines[conn].over = true;
        }
        lost
    }

    /// Sends a response that is not a stream. In the slot of the stream its body comes separately.
    fn reply(&mut self, conn: Conn, status: u16, headers: &[(&'static str, String)], value: Value) {
        let body = match &value {
            Value::Null => Bytes::new(),
            value => Bytes::from(value.to_string()),
        };
        let head = head(status, headers);
        let latency = self.latency();
        match self.lines[conn].slot {
            Slot::Exchange => self.hand(conn, latency, Handed::Response { head, body, value }),
            Slot::Stream => {
                self.hand(conn, latency, Handed::Opened(head));
                if !body.is_empty() {
                    self.hand(conn, Duration::ZERO, Handed::Data(body, Vec::new()));
                }
                self.hand(conn, Duration::ZERO, Handed::End);
            }
        }
    }

    /// Sends an event over a line, keeping the order.
    fn hand(&mut self, conn: Conn, after: Duration, handed: Handed) {
        let line = &mut self.lines[conn];
        line.last_arrival = line.last_arrival.max(self.now + after);
        let at = line.last_arrival;
        self.push(at, Event::Handed(conn, handed));
    }

    /// Sends events over a line, in pieces that ignore their boundaries.
    fn transmit(&mut self, conn: Conn, events: Vec<(Bytes, Mark)>) {
        if self.lines[conn].over {
            return;
        }
        let mut blob = BytesMut::new();
        let mut marks = Vec::new();
        for (bytes, mark) in events {
            let line = &mut self.lines[conn];
            let at = line.events;
            line.events += 1;
            match line.stream_fault {
                // `start` is kept: without it, the stream would not be recognized as ours.
                StreamFault::Malformed { event, instead } if event + 1 == at => {
                    let garbage = *self.rng.pick(&[
                        "data: {\"type\":\"text-delta\",\"id\":\n\n",
                        "data: nothing to see here\n\n",
                        "data: {\"type\":\"tool-input-start\",\"toolName\":\"Bash\"}\n\n",
                    ]);
                    blob.extend_from_slice(garbage.as_bytes());
                    self.tally.struck(if instead {
                        Fault::MalformedInstead
                    } else {
                        Fault::Malformed
                    });
                    if instead {
                        self.note(|| {
                            format!("in place of {}", String::from_utf8_lossy(&bytes).trim())
                        });
                        continue;
                    }
                }
                _ => {}
            }
            blob.extend_from_slice(&bytes);
            marks.push((blob.len(), mark));
        }
        let before = self.lines[conn].bytes;
        self.lines[conn].bytes += blob.len();
        match self.lines[conn].stream_fault {
            StreamFault::Cut { at, clean } if before + blob.len() > at => {
                let at = at.saturating_sub(before);
                let within = at > 0 && marks.iter().all(|(end, _)| *end != at);
                blob.truncate(at);
                marks.retain(|(end, _)| *end <= at);
                self.pieces(conn, &blob, &marks);
                self.count_cut(conn, clean, within);
                let delay = self.rng.millis(0, 3_000);
                let handed = if clean {
                    Handed::End
                } else {
                    Handed::Failure(Sent::Maybe)
                };
                self.hand(conn, delay, handed);
                self.lines[conn].over = true;
                self.relay.leave(conn);
            }
            StreamFault::Silence { at, lasts } if before + blob.len() > at => {
                let rest = blob.split_off(at.saturating_sub(before).min(blob.len()));
                let cut = blob.len();
                self.pieces(conn, &blob, &marks);
                match lasts {
                    None => {
                        self.tally.struck(Fault::SilentForEver);
                        self.lines[conn].over = true;
                        self.lines[conn].stream_fault = StreamFault::Mute;
                    }
                    Some(lasts) => {
                        self.tally.struck(Fault::SilentForAWhile);
                        self.lines[conn].stream_fault = StreamFault::None;
                        self.lines[conn].last_arrival =
                            self.lines[conn].last_arrival.max(self.now) + lasts;
                        let later: Vec<_> = marks
                            .into_iter()
                            .filter(|(end, _)| *end > cut)
                            .map(|(end, mark)| (end - cut, mark))
                            .collect();
                        self.pieces(conn, &rest, &later);
                    }
                }
            }
            _ => self.pieces(conn, &blob, &marks),
        }
    }

    fn count_cut(&mut self, conn: Conn, clean: bool, within: bool) {
        self.tally.struck(if clean {
            Fault::CutClean
        } else {
            Fault::CutBroken
        });
        if within {
            self.tally.struck(Fault::CutWithinEvent);
        }
        if self.lines[conn].saw_finish {
            self.tally.struck(Fault::CutAfterFinish);
        }
        if self.cuts > 0 {
            self.tally.struck(Fault::CutTwice);
        }
        self.cuts += 1;
    }

    fn pieces(&mut self, conn: Conn, blob: &[u8], marks: &[(usize, Mark)]) {
        let longest = match self.rng.below(8) {
            0 => 5.max(blob.len() / 8),
            1 | 2 => 1 + blob.len() / 2,
            _ => blob.len().max(1),
        };
        let mut end = 0;
        let mut marks = marks.iter().peekable();
        for piece in self.rng.cut(blob, longest) {
            end += piece.len();
            let mut complete = Vec::new();
            while let Some((_, mark)) = marks.next_if(|(at, _)| *at <= end) {
                complete.push(mark.clone());
            }
            self.lines[conn].saw_finish |= complete.contains(&Mark::Finish);
            let delay = self.rng.millis(0, 30);
            self.hand(
                conn,
                delay,
                Handed::Data(Bytes::copy_from_slice(piece), complete),
            );
        }
    }
}

fn asks(request: &Request<Body>) -> Asks {
    let path = request.uri().path();
    let get = request.method() == http::Method::GET;
    match path.strip_prefix("/v1/chat/") {
        Some(rest) if rest.ends_with("/stream") => {
            if get {
                Asks::Resume
            } else {
                Asks::Cancel
            }
        }
        Some(_) => Asks::SendMessages,
        None if path.ends_with("/threads") => {
            if get {
                Asks::List
            } else {
                Asks::CreateThread
            }
        }
        None if get && path.contains("/threads/") => Asks::Get,
        None if get => Asks::Look,
        None if request.method() == http::Method::DELETE => Asks::DeleteSandbox,
        None => Asks::CreateSandbox,
    }
}

fn head(status: u16, headers: &[(&'static str, String)]) -> Parts {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(()).unwrap().into_parts().0
}

fn describe(handed: &Handed) -> String {
    match handed {
        Handed::Response { head, body, .. } => {
            let body = String::from_utf8_lossy(body);
            format!(
                "{} {}",
                head.status.as_u16(),
                body.chars().take(2000).collect::<String>()
            )
        }
        Handed::Opened(head) => format!("{}, and its body is open", head.status.as_u16()),
        Handed::Data(bytes, _) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Handed::End => "the end".to_owned(),
        Handed::Failure(sent) => format!("a failure (sent: {sent:?})"),
    }
}
