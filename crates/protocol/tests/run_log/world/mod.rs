//! A few instances, one chat, browsers, a store and a relay in virtual time. Every event is handled here.

mod asking;
mod browsing;
mod plan;
mod recording;
mod relay;
mod stopping;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    Append, Appended, Found, Limits, LogId, Position, Reader, ReaderEnd, Recorder, RecorderEnd,
    TurnOrder, Watch,
};
use twentyfirst_protocol::runs::{RunEnd, RunRef};
use twentyfirst_protocol::ui::Chunk;

use crate::answer::Atom;
use crate::plant::Plant;
use crate::rng::Rng;
use crate::store::{Entries, Store};

pub(crate) const OWNER: &str = "user";
pub(crate) const CHAT: &str = "chat";

/// The length of a schedule.
const HORIZON: Duration = Duration::from_secs(20 * 60);

/// The state of a schedule.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) begun: Instant,
    pub(crate) plant: Option<Plant>,
    rng: Rng,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    event_data: BTreeMap<u64, Event>,
    sequence: u64,
    pub(crate) store: Store,
    /// The times at which the store does not respond.
    pub(crate) outages: Vec<(Instant, Instant)>,
    pub(crate) lossy: usize,
    pub(crate) instances: Vec<Instance>,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) runs: BTreeMap<String, Run>,
    pub(crate) stops: Vec<StopAsked>,
    pub(crate) is_stopped_by_user: bool,
    pub(crate) evicted: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) limits: Limits,
    /// The policies for a message that arrives while the chat is answering, of which each post takes one.
    orders: Vec<TurnOrder>,
    /// The place of the chat, once the application knows it, and the number of sandboxes that were created for it.
    session: Option<RunRef>,
    pub(crate) sandboxes: usize,
    /// The runs that were sent while another was going on.
    pub(crate) overlaps: Vec<String>,
    /// The requests of other runs that each run carried.
    pub(crate) carried: BTreeMap<String, Vec<String>>,
    waiting: Vec<Waiting>,
    pub(crate) largest_window: usize,
}

/// A read that waits for entries.
struct Waiting {
    log: LogId,
    after: Position,
    until: Instant,
    instance: usize,
    browser: usize,
    connection: usize,
}

pub(crate) struct Instance {
    pub(crate) is_alive: bool,
    pub(crate) paused_until: Instant,
    pub(crate) recorders: Vec<Recorded>,
    /// The entries that readers of this instance can get from it, and whether they are complete.
    pub(crate) local: BTreeMap<String, Local>,
    /// The entries that they could get before they were dropped.
    pub(crate) left: BTreeMap<String, Local>,
}

#[derive(Default)]
pub(crate) struct Local {
    pub(crate) entries: Entries,
    /// Whether the store was given up.
    pub(crate) is_alone: bool,
}

pub(crate) struct Recorded {
    pub(crate) recorder: Recorder,
    pub(crate) run: String,
    source: Source,
    pub(crate) over: Option<RecorderEnd>,
    is_asking: bool,
    pub(crate) starts: usize,
    /// The entries that a successor has read before its claim: a planted fault.
    early: Option<Entries>,
    pub(crate) was_alone: bool,
}

enum Source {
    None,
    /// The relay's stream: chunks that have come and were not pushed, and the end.
    Live(VecDeque<Chunk<'static>>, Option<RunEnd>),
    /// Waits until the run is over.
    Waiting(Vec<Atom>),
    Done,
}

/// A run at the relay.
pub(crate) struct Run {
    pub(crate) chunks: Vec<Chunk<'static>>,
    pub(crate) began: Instant,
    pub(crate) ends: Instant,
    pub(crate) is_cancelled: bool,
    /// The time at which the poster knows that it has started.
    pub(crate) known: Option<Instant>,
    pub(crate) posts: usize,
}

pub(crate) struct StopAsked {
    pub(crate) run: String,
    /// The time at which the instance that was asked has looked at the log of the run.
    pub(crate) done: Option<Instant>,
}

pub(crate) struct Browser {
    pub(crate) instance: usize,
    pub(crate) connection: usize,
    run: Option<String>,
    reader: Option<Reader>,
    /// The number of the first chunk that it wants.
    pub(crate) first: u64,
    pub(crate) got: Vec<(u64, Bytes)>,
    /// Whether some of them came from an instance that had given up the store.
    pub(crate) is_degraded: bool,
    /// The recorder that waits for the run, and its watch. Then this is not a browser.
    pub(crate) waits: Option<(usize, Watch)>,
    pub(crate) end: Option<ReaderEnd>,
    is_asking: bool,
}

#[derive(Debug, Clone)]
enum Who {
    Recorder(usize, usize),
    /// A browser: its instance, its number, and the number of its connection.
    Browser(usize, usize, usize),
}

#[derive(Debug, Clone)]
enum Event {
    Post(usize, usize),
    Attach(usize),
    Stop(usize, usize),
    Kill(usize),
    Pause(usize, Duration),
    Drain(usize),
    Evict,
    Store(Who, Ask, bool),
    Reply(Who, Reply),
    Wake(usize, usize),
    WakeBrowser(usize),
    WaitOver(usize, usize, usize),
    Over(usize, usize),
    Leave(usize, String),
    Placed(usize, usize, RunRef),
    Started(usize, usize, bool),
    Chunk(usize, usize, String, usize),
    Cancel(String),
    RunOver(String),
    StopRecorded(usize, String),
}

#[derive(Debug, Clone)]
enum Ask {
    Append(LogId, Append),
    Last(LogId),
    Read(LogId, Position, Option<Duration>),
}

#[derive(Debug, Clone)]
enum Reply {
    Appended(Appended),
    Last(Found<(Position, Bytes)>),
    Page(Found<Entries>),
}

impl World {
    /// Creates the schedule of this seed.
    pub(crate) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let begun = Instant::now();
        let mut limits = Limits::default();
        if rng.percent(10) {
            limits.log_size = 300;
        }
        if rng.percent(20) {
            limits.unacknowledged = 60;
        }
        let enqueue = TurnOrder::Enqueue { limit: 2 };
        let orders = match rng.below(5) {
            0 => vec![TurnOrder::Refuse],
            1 => vec![enqueue],
            2 => vec![TurnOrder::Interrupt],
            _ => vec![TurnOrder::Refuse, enqueue, TurnOrder::Interrupt],
        };
        let instances = (0..3)
            .map(|_| Instance {
                is_alive: true,
                paused_until: begun,
                recorders: Vec::new(),
                local: BTreeMap::new(),
                left: BTreeMap::new(),
            })
            .collect();
        let mut world = Self {
            now: begun,
            begun,
            plant,
            events: BinaryHeap::new(),
            event_data: BTreeMap::new(),
            sequence: 0,
            store: Store::default(),
            outages: Vec::new(),
            lossy: 0,
            instances,
            browsers: Vec::new(),
            runs: BTreeMap::new(),
            stops: Vec::new(),
            is_stopped_by_user: false,
            evicted: Vec::new(),
            trace: Vec::new(),
            limits,
            orders,
            session: None,
            sandboxes: 0,
            overlaps: Vec::new(),
            carried: BTreeMap::new(),
            waiting: Vec::new(),
            largest_window: 0,
            rng: rng.fork(),
        };
        world.plan(&mut rng);
        world
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.event_data.insert(self.sequence, event);
    }

    pub(crate) fn log(&mut self, text: String) {
        let at = self.now.duration_since(self.begun);
        self.trace.push(format!("{:>9.3} {text}", at.as_secs_f64()));
    }

    pub(crate) fn play(&mut self) {
        while let Some(Reverse((at, sequence))) = self.events.pop() {
            if at > self.begun + HORIZON {
                break;
            }
            self.now = self.now.max(at);
            if let Some(event) = self.event_data.remove(&sequence) {
                self.happen(event);
            }
        }
    }

    /// Returns whether the instance is paused. Its events wait until it continues.
    fn is_paused(&mut self, instance: usize, event: &Event) -> bool {
        let until = self.instances[instance].paused_until;
        if until <= self.now {
            return false;
        }
        self.at(until, event.clone());
        true
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Post(instance, turn) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.post(*instance, *turn);
            }
            Event::Attach(browser) => self.attach(*browser),
            Event::Stop(instance, tries) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.stop(*instance, *tries);
            }
            Event::Kill(instance) => {
                let left = self
                    .instances
                    .iter()
                    .filter(|instance| instance.is_alive)
                    .count();
                if left > 1 {
                    self.log(format!("instance {instance} is killed"));
                    self.kill(*instance);
                }
            }
            Event::Pause(instance, pause) => {
                self.log(format!("instance {instance} is stopped for {pause:?}"));
                self.instances[*instance].paused_until = self.now + *pause;
            }
            Event::Drain(instance) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.log(format!("instance {instance} is drained"));
                for at in 0..self.instances[*instance].recorders.len() {
                    self.instances[*instance].recorders[at].recorder.release();
                    self.drive(*instance, at);
                }
            }
            Event::Evict => {
                let runs: Vec<String> = self.runs.keys().cloned().collect();
                for run in runs {
                    self.log(format!("the log of {run} vanishes"));
                    self.store.evict(&LogId::run(&run));
                    self.evicted.push(run);
                }
            }
            // A read whose response is lost has no effect.
            Event::Store(_, Ask::Last(_) | Ask::Read(..), false) => {}
            Event::Store(who, ask, has_reply) => {
                let reply = self.ask_store(who, ask);
                if let (Some(reply), true) = (reply, *has_reply) {
                    let delay = self.rng.millis(0, 3);
                    self.after(delay, Event::Reply(who.clone(), reply));
                }
            }
            Event::Reply(Who::Recorder(instance, at), reply) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.reply_to_recorder(*instance, *at, reply.clone());
            }
            Event::Reply(Who::Browser(instance, browser, connection), reply) => {
                if self.is_paused(*instance, &event) {
                    return;
                }
                if self.browsers[*browser].connection == *connection {
                    self.reply_to_browser(*instance, *browser, reply.clone());
                }
            }
            Event::Wake(instance, at) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.drive(*instance, *at);
            }
            Event::WakeBrowser(browser) => {
                let instance = self.browsers[*browser].instance;
                if self.is_paused(instance, &event) {
                    return;
                }
                self.browse(*browser);
            }
            Event::WaitOver(instance, browser, connection) => {
                let Some(found) = self.waiting.iter().position(|waiting| {
                    waiting.browser == *browser
                        && waiting.connection == *connection
                        && waiting.until <= self.now
                }) else {
                    return;
                };
                self.waiting.remove(found);
                let who = Who::Browser(*instance, *browser, *connection);
                self.after(
                    Duration::ZERO,
                    Event::Reply(who, Reply::Page(Found::Some(Vec::new()))),
                );
            }
            Event::Leave(instance, run) => {
                let this = &mut self.instances[*instance];
                if let Some(local) = this.local.remove(run) {
                    this.left.insert(run.clone(), local);
                }
                self.wake_browsers(*instance);
            }
            Event::Over(instance, at) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.over(*instance, *at);
            }
            Event::Placed(instance, at, run) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.placed(*instance, *at, run.clone());
            }
            Event::Started(instance, at, is_started) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.started(*instance, *at, *is_started);
            }
            Event::Chunk(instance, at, run, index) => {
                if !self.instances[*instance].is_alive {
                    return;
                }
                let run = &self.runs[run];
                if run.is_cancelled {
                    return;
                }
                let chunk = run.chunks[*index].clone();
                if let Source::Live(come, _) = &mut self.instances[*instance].recorders[*at].source
                {
                    come.push_back(chunk);
                }
                self.after(Duration::ZERO, Event::Wake(*instance, *at));
            }
            Event::Cancel(run) => self.cancel(run),
            Event::RunOver(run) => self.run_over(run),
            Event::StopRecorded(instance, run) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.stop_recorded(run);
            }
        }
    }

    fn kill(&mut self, instance: usize) {
        self.instances[instance].is_alive = false;
        self.instances[instance].local.clear();
        for browser in 0..self.browsers.len() {
            if self.browsers[browser].instance != instance || self.browsers[browser].end.is_some() {
                continue;
            }
            if self.browsers[browser].waits.is_some() {
                self.browsers[browser] = Browser::new(instance, 0);
            } else {
                let delay = self.rng.millis(10, 2_000);
                self.after(delay, Event::Attach(browser));
            }
        }
    }

    fn is_out(&self) -> bool {
        self.outages
            .iter()
            .any(|(from, to)| *from <= self.now && self.now < *to)
    }
}

impl Who {
    fn instance(&self) -> usize {
        match self {
            Self::Recorder(instance, _) | Self::Browser(instance, _, _) => *instance,
        }
    }
}

impl Instance {
    /// Returns the last entry of a log whose writer on this instance has given up the store.
    fn alone(&self, log: &LogId) -> Option<(Position, Bytes)> {
        let mut local = self.local.iter();
        let (_, local) = local.find(|(run, local)| local.is_alone && LogId::run(run) == *log)?;
        local.entries.last().cloned()
    }
}

impl Browser {
    fn new(instance: usize, first: u64) -> Self {
        Self {
            instance,
            connection: 0,
            run: None,
            reader: None,
            first,
            got: Vec::new(),
            is_degraded: false,
            waits: None,
            end: None,
            is_asking: false,
        }
    }

    /// Creates a recorder that waits for this run.
    fn waiting(instance: usize, run: &str, at: usize) -> Self {
        Self {
            run: Some(run.to_owned()),
            waits: Some((at, Watch::of(run))),
            ..Self::new(instance, 0)
        }
    }

    /// Returns whether it has anything to read.
    pub(crate) fn has_begun(&self) -> bool {
        self.reader.is_some()
    }

    pub(crate) fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }
}
