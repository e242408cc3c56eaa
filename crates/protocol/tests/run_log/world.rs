//! A few instances, one chat, browsers, a store and a relay, in virtual time: everything that happens, happens here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    Append, Appended, Entry, Found, Keep, Limits, LogId, Logged, Position, Reader, ReaderEnd,
    ReaderStep, Recorder, RecorderEnd, RecorderStep, Recording, Stop,
};
use twentyfirst_protocol::runs::{RunEnd, RunRef};
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::{SandboxId, ThreadId};

use crate::answer::{Atom, answer, atoms, end_of, rest};
use crate::plant::Plant;
use crate::rng::Rng;
use crate::store::{Entries, Store};

pub(crate) const OWNER: &str = "user";
pub(crate) const CHAT: &str = "chat";

/// How long a schedule is played.
const HORIZON: Duration = Duration::from_secs(20 * 60);

/// How long the client waits for the store.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that happens in a schedule.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) begun: Instant,
    pub(crate) plant: Option<Plant>,
    rng: Rng,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    event_data: BTreeMap<u64, Event>,
    sequence: u64,
    pub(crate) store: Store,
    /// While the store does not respond.
    pub(crate) outages: Vec<(Instant, Instant)>,
    pub(crate) lossy: usize,
    pub(crate) instances: Vec<Instance>,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) runs: BTreeMap<String, Run>,
    pub(crate) stops: Vec<StopAsked>,
    pub(crate) evicted: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) limits: Limits,
    waiting: Vec<Waiting>,
    pub(crate) largest_window: usize,
}

/// A reading that waits for entries.
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
    /// What the readers of this instance can have from it, and whether it is whole.
    pub(crate) local: BTreeMap<String, Local>,
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
    /// What a successor has read before it has claimed: a planted fault.
    early: Option<Entries>,
    pub(crate) was_alone: bool,
}

enum Source {
    None,
    /// The relay's stream: what has come and was not pushed.
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
    /// When whoever has posted it knows that it has started.
    pub(crate) known: Option<Instant>,
    pub(crate) posts: usize,
}

pub(crate) struct StopAsked {
    pub(crate) run: String,
    /// When whoever was asked has looked at the log of the run.
    pub(crate) done: Option<Instant>,
}

pub(crate) struct Browser {
    pub(crate) instance: usize,
    pub(crate) connection: usize,
    run: Option<String>,
    reader: Option<Reader>,
    /// From which chunk on.
    pub(crate) first: u64,
    pub(crate) got: Vec<(u64, Bytes)>,
    /// How many of them came from an instance that had given up the store.
    pub(crate) is_degraded: bool,
    pub(crate) end: Option<ReaderEnd>,
    is_asking: bool,
}

#[derive(Debug, Clone)]
enum Who {
    Recorder(usize, usize),
    /// On this instance, and which of its connections.
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
    Answer(Who, Reply),
    Wake(usize, usize),
    WakeBrowser(usize),
    WaitOver(usize, usize, usize),
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

fn run_ref(run: &str) -> RunRef {
    RunRef::new(
        "agent",
        SandboxId::new("sb").unwrap(),
        ThreadId::new("th").unwrap(),
    )
    .user_message_id(run.to_owned())
}

impl World {
    /// The schedule of this seed.
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
        let instances = (0..3)
            .map(|_| Instance {
                is_alive: true,
                paused_until: begun,
                recorders: Vec::new(),
                local: BTreeMap::new(),
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
            evicted: Vec::new(),
            trace: Vec::new(),
            limits,
            waiting: Vec::new(),
            largest_window: 0,
            rng: rng.fork(),
        };
        world.plan(&mut rng);
        world
    }

    fn plan(&mut self, rng: &mut Rng) {
        self.lossy = *rng.pick(&[0, 0, 3, 15]);
        if rng.percent(15) {
            let from = self.begun + rng.millis(0, 60_000);
            self.outages.push((from, from + rng.millis(100, 40_000)));
        }
        let mut posts = Vec::new();
        for turn in 0..rng.between(1, 2) {
            let base = turn * 150_000;
            for _ in 0..rng.between(1, 2) {
                let at = rng.millis(base, base + 300);
                let instance = rng.below(3);
                posts.push((instance, base));
                self.after(at, Event::Post(instance, turn));
            }
            for _ in 0..rng.between(0, 3) {
                let browser = self.browsers.len();
                let instance = rng.below(3);
                let first = if rng.percent(40) {
                    rng.below(12) as u64
                } else {
                    0
                };
                self.browsers.push(Browser::new(instance, first));
                let span = *rng.pick(&[15_000, 100_000]);
                let at = rng.millis(base, base + span);
                self.after(at, Event::Attach(browser));
                if rng.percent(40) {
                    // It is cut, or reloads.
                    self.after(at + rng.millis(10, 20_000), Event::Attach(browser));
                }
            }
            if rng.percent(30) {
                let span = *rng.pick(&[2_000, 10_000, 60_000]);
                let at = rng.millis(base, base + span);
                self.after(at, Event::Stop(rng.below(3), 0));
            }
        }
        // The one that makes sure that somebody looks.
        let watcher = self.browsers.len();
        self.browsers.push(Browser::new(2, 0));
        self.after(Duration::from_millis(400), Event::Attach(watcher));
        for _ in 0..rng.between(0, 3) {
            // Mostly where a run is recorded, and while it is.
            let (poster, base) = *rng.pick(&posts);
            let span = *rng.pick(&[500, 5_000, 20_000, 60_000]);
            let at = rng.millis(base, base + span);
            let instance = match rng.percent(75) {
                true => poster,
                false => rng.below(3),
            };
            let event = match rng.below(4) {
                0 => Event::Kill(instance),
                1 => Event::Drain(instance),
                _ => Event::Pause(instance, rng.millis(500, 60_000)),
            };
            self.after(at, event);
        }
        if rng.percent(7) {
            let span = *rng.pick(&[5_000, 20_000, 90_000]);
            self.after(rng.millis(0, span), Event::Evict);
        }
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

    /// A paused instance does nothing: what comes to it waits.
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
            // What nobody hears of a reading has not happened.
            Event::Store(_, Ask::Last(_) | Ask::Read(..), false) => {}
            Event::Store(who, ask, is_answered) => {
                let reply = self.ask_store(who, ask);
                if let (Some(reply), true) = (reply, *is_answered) {
                    let delay = self.rng.millis(0, 3);
                    self.after(delay, Event::Answer(who.clone(), reply));
                }
            }
            Event::Answer(Who::Recorder(instance, at), reply) => {
                if self.is_paused(*instance, &event) || !self.instances[*instance].is_alive {
                    return;
                }
                self.answer_recorder(*instance, *at, reply.clone());
            }
            Event::Answer(Who::Browser(instance, browser, connection), reply) => {
                if self.is_paused(*instance, &event) {
                    return;
                }
                if self.browsers[*browser].connection == *connection {
                    self.answer_browser(*instance, *browser, reply.clone());
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
                    Event::Answer(who, Reply::Page(Found::Some(Vec::new()))),
                );
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

    fn is_out(&self) -> bool {
        self.outages
            .iter()
            .any(|(from, to)| *from <= self.now && self.now < *to)
    }

    fn post(&mut self, instance: usize, turn: usize) {
        let run = format!("run-{}-{instance}", self.sequence);
        self.log(format!(
            "turn {turn} is posted on instance {instance} as {run}"
        ));
        let recording = Recording::new(run.clone(), format!("i{instance}")).of_chat(OWNER, CHAT);
        let at = self.record(instance, &run, Recorder::begin(recording, self.limits));
        let browser = self.browsers.len();
        self.browsers.push(Browser::new(instance, 0));
        self.browsers[browser].run = Some(run);
        self.drive(instance, at);
    }

    fn record(&mut self, instance: usize, run: &str, recorder: Recorder) -> usize {
        let recorders = &mut self.instances[instance].recorders;
        recorders.push(Recorded {
            recorder,
            run: run.to_owned(),
            source: Source::None,
            over: None,
            is_asking: false,
            starts: 0,
            early: None,
            was_alone: false,
        });
        recorders.len() - 1
    }

    /// Does what a recorder wants, until it waits.
    fn drive(&mut self, instance: usize, at: usize) {
        loop {
            let recording = &mut self.instances[instance].recorders[at];
            if recording.over.is_some() || recording.is_asking {
                return;
            }
            feed(recording);
            recording.was_alone |= recording.recorder.is_alone();
            let run = recording.run.clone();
            let step = recording.recorder.poll(self.now);
            match step {
                RecorderStep::Last(log) => return self.ask(instance, at, Ask::Last(log)),
                RecorderStep::Read(log, after) => {
                    return self.ask(instance, at, Ask::Read(log, after, None));
                }
                RecorderStep::Append(log, append) => {
                    if append.at.seq > 0
                        && matches!(Logged::decode(&append.entry), Ok(logged) if matches!(logged.entry, Entry::Data(_)))
                    {
                        self.largest_window = self.largest_window.max(append.entry.len());
                    }
                    if self.plant == Some(Plant::DeliverFirst) && append.at.seq > 0 {
                        self.deliver(instance, &run, append.clone());
                    }
                    if self.plant == Some(Plant::ReadBeforeClaim)
                        && append.at.epoch > 1
                        && append.at.seq == 0
                        && let Found::Some(early) = self.store.read(&log, Position::START, 10_000)
                    {
                        // Reading takes its time.
                        let recorded = &mut self.instances[instance].recorders[at];
                        recorded.early = Some(early);
                        recorded.is_asking = true;
                        let who = Who::Recorder(instance, at);
                        let delay = self.rng.millis(1, 2_000);
                        return self
                            .after(delay, Event::Store(who, Ask::Append(log, append), true));
                    }
                    return self.ask(instance, at, Ask::Append(log, append));
                }
                RecorderStep::Deliver(append) => self.deliver(instance, &run, append),
                RecorderStep::Start => {
                    self.instances[instance].recorders[at].starts += 1;
                    self.start(instance, at, &run);
                }
                RecorderStep::Follow(_, after) => {
                    let after: Vec<Atom> = after.iter().flat_map(atoms).collect();
                    self.log(format!(
                        "instance {instance} goes on with {run} behind {} atoms",
                        after.len()
                    ));
                    self.instances[instance].recorders[at].source = Source::Waiting(after);
                    let ends = self.runs[&run].ends;
                    self.at(ends.max(self.now), Event::RunOver(run));
                }
                RecorderStep::Cancel(_) => {
                    self.log(format!("instance {instance} finds that {run} is to stop"));
                    let delay = self.rng.millis(1, 50);
                    self.after(delay, Event::Cancel(run));
                }
                RecorderStep::Wait { until } => {
                    if let Some(until) = until {
                        self.at(
                            until.max(self.now + Duration::from_micros(1)),
                            Event::Wake(instance, at),
                        );
                    }
                    return;
                }
                RecorderStep::Over(end) => {
                    self.log(format!("instance {instance} is over with {run}: {end:?}"));
                    self.instances[instance].recorders[at].over = Some(end.clone());
                    if end == RecorderEnd::Busy {
                        // The response to the post is a refusal.
                        for browser in &mut self.browsers {
                            if browser.run.as_deref() == Some(&run) {
                                *browser = Browser::new(instance, 0);
                            }
                        }
                    }
                    // What is no longer written here is read from the store.
                    if !matches!(end, RecorderEnd::Ended) {
                        self.instances[instance].local.remove(&run);
                        self.wake_browsers(instance);
                    }
                    return;
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn ask(&mut self, instance: usize, at: usize, ask: Ask) {
        self.instances[instance].recorders[at].is_asking = true;
        self.send(Who::Recorder(instance, at), ask);
    }

    /// Sends a question to the store: it arrives or not, and so does what it says.
    fn send(&mut self, who: Who, ask: Ask) {
        let latency = self.rng.millis(0, 3);
        let is_lost = self.rng.percent(self.lossy) || self.is_out();
        let is_unanswered = is_lost || self.rng.percent(self.lossy);
        if !is_lost {
            self.after(
                latency,
                Event::Store(who.clone(), ask.clone(), !is_unanswered),
            );
        }
        if is_unanswered {
            let reply = match ask {
                Ask::Append(..) => Reply::Appended(Appended::Unavailable),
                Ask::Last(_) => Reply::Last(Found::Unavailable),
                Ask::Read(..) => Reply::Page(Found::Unavailable),
            };
            self.after(TIMEOUT, Event::Answer(who, reply));
        }
    }

    fn ask_store(&mut self, who: &Who, ask: &Ask) -> Option<Reply> {
        match ask {
            Ask::Append(log, append) => {
                let by = match who {
                    Who::Recorder(instance, _) | Who::Browser(instance, _, _) => *instance,
                };
                let appended = self.store.append(self.plant, by, log, append);
                self.wake_waiting(log);
                Some(Reply::Appended(appended))
            }
            Ask::Last(log)
                if self.plant == Some(Plant::StopUnseen) && log.as_str().ends_with("/stop") =>
            {
                Some(Reply::Last(Found::Nothing))
            }
            Ask::Last(log) => Some(Reply::Last(self.store.last(log))),
            Ask::Read(log, after, wait) => {
                let page = self.store.read(log, *after, 7);
                match (&page, wait, who) {
                    (
                        Found::Some(entries),
                        Some(wait),
                        Who::Browser(instance, browser, connection),
                    ) if entries.is_empty() => {
                        let until = self.now + *wait;
                        self.waiting.push(Waiting {
                            log: log.clone(),
                            after: *after,
                            until,
                            instance: *instance,
                            browser: *browser,
                            connection: *connection,
                        });
                        self.at(until, Event::WaitOver(*instance, *browser, *connection));
                        None
                    }
                    _ => Some(Reply::Page(page)),
                }
            }
        }
    }

    fn wake_waiting(&mut self, log: &LogId) {
        let (woken, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.log == *log);
        self.waiting = waiting;
        for waiting in woken {
            let page = self.store.read(log, waiting.after, 7);
            let who = Who::Browser(waiting.instance, waiting.browser, waiting.connection);
            self.after(
                Duration::from_micros(100),
                Event::Answer(who, Reply::Page(page)),
            );
        }
    }

    fn answer_recorder(&mut self, instance: usize, at: usize, reply: Reply) {
        let now = self.now;
        let recording = &mut self.instances[instance].recorders[at];
        recording.is_asking = false;
        match reply {
            Reply::Appended(appended) => recording.recorder.handle_append(appended, now),
            Reply::Last(found) => recording.recorder.handle_last(found),
            Reply::Page(mut found) => {
                if let (Some(early), Found::Some(entries)) = (recording.early.take(), &mut found) {
                    // What was read before the claim, and the claim.
                    let log = LogId::run(&recording.run);
                    let Found::Some(last) = self.store.last(&log) else {
                        return;
                    };
                    *entries = early;
                    entries.push(last);
                }
                recording.recorder.handle_page(found);
            }
        }
        self.drive(instance, at);
    }

    fn deliver(&mut self, instance: usize, run: &str, append: Append) {
        let is_alone = self.instances[instance]
            .recorders
            .iter()
            .any(|recording| recording.run == run && recording.recorder.is_alone());
        let local = self.instances[instance]
            .local
            .entry(run.to_owned())
            .or_default();
        local.is_alone |= is_alone;
        if self.plant == Some(Plant::DeliverFirst)
            && local.entries.iter().any(|entry| entry.0 == append.at)
        {
            return;
        }
        local.entries.push((append.at, append.entry));
        // The response to the post begins.
        for browser in &mut self.browsers {
            if browser.instance == instance && browser.run.as_deref() == Some(run) {
                browser.reader.get_or_insert_with(|| Reader::from(0));
            }
        }
        self.wake_browsers(instance);
    }

    fn wake_browsers(&mut self, instance: usize) {
        for browser in 0..self.browsers.len() {
            if self.browsers[browser].instance == instance && !self.browsers[browser].is_asking {
                self.after(Duration::ZERO, Event::WakeBrowser(browser));
            }
        }
    }

    fn start(&mut self, instance: usize, at: usize, run: &str) {
        let delay = if self.rng.percent(10) {
            self.rng.millis(1_000, 30_000)
        } else {
            self.rng.millis(20, 400)
        };
        let is_busy = self
            .runs
            .values()
            .any(|other| !other.is_cancelled && other.began <= self.now && self.now < other.ends);
        if !is_busy {
            self.instances[instance].recorders[at].source = Source::Live(VecDeque::new(), None);
            let words = self.rng.between(0, 40);
            let chunks = answer(run, words);
            let began = self.now + delay / 2;
            let pause = *self.rng.pick(&[1, 30, 700, 700, 2_000]);
            let mut ends = began;
            let mut times = Vec::new();
            for _ in &chunks {
                ends += self.rng.millis(1, pause);
                times.push(ends);
            }
            let ends = ends + Duration::from_millis(5);
            self.runs.insert(
                run.to_owned(),
                Run {
                    chunks,
                    began,
                    ends,
                    is_cancelled: false,
                    known: None,
                    posts: 0,
                },
            );
            for (index, time) in times.into_iter().enumerate() {
                self.at(
                    time.max(self.now + delay),
                    Event::Chunk(instance, at, run.to_owned(), index),
                );
            }
            self.at(ends.max(self.now + delay), Event::RunOver(run.to_owned()));
        }
        if let Some(run) = self.runs.get_mut(run) {
            run.posts += 1;
        }
        self.after(delay, Event::Started(instance, at, !is_busy));
    }

    fn started(&mut self, instance: usize, at: usize, is_started: bool) {
        let recording = &mut self.instances[instance].recorders[at];
        if is_started {
            if let Some(run) = self.runs.get_mut(&recording.run) {
                run.known = Some(self.now);
            }
            let run = run_ref(&recording.run);
            recording.recorder.handle_started(run);
        } else {
            let end = RunEnd::Failed("the thread is streaming".to_owned());
            recording.recorder.handle_not_started(&end);
        }
        self.drive(instance, at);
    }

    /// The relay's run is cancelled: nothing of it comes any more.
    fn cancel(&mut self, run: &str) {
        let Some(live) = self.runs.get_mut(run) else {
            return;
        };
        if live.is_cancelled || self.now >= live.ends || self.now < live.began {
            return;
        }
        live.is_cancelled = true;
        live.ends = self.now;
        let run = run.to_owned();
        self.log(format!("{run} is cancelled at the relay"));
        self.after(Duration::from_millis(1), Event::RunOver(run));
    }

    fn run_over(&mut self, name: &str) {
        let run = &self.runs[name];
        if self.now < run.ends {
            return;
        }
        let end = end_of(run.is_cancelled);
        let is_cancelled = run.is_cancelled;
        let chunks = run.chunks.clone();
        let mut wrong = Vec::new();
        let mut wake = Vec::new();
        for (index, instance) in self.instances.iter_mut().enumerate() {
            for (at, recording) in instance.recorders.iter_mut().enumerate() {
                if recording.run != name || recording.over.is_some() {
                    continue;
                }
                match &mut recording.source {
                    Source::Live(_, over) if over.is_none() => *over = Some(end.clone()),
                    Source::Waiting(after) => {
                        let rest = match is_cancelled {
                            // A cancelled answer is not stored.
                            true => Some(Vec::new()),
                            false => rest(&chunks, after),
                        };
                        let Some(rest) = rest else {
                            wrong.push(index);
                            continue;
                        };
                        recording.source = Source::Live(rest.into(), Some(end.clone()));
                    }
                    _ => continue,
                }
                wake.push((index, at));
            }
        }
        for index in wrong {
            self.log(format!(
                "what instance {index} has inherited of {name} is not its answer"
            ));
        }
        for (index, at) in wake {
            self.after(Duration::ZERO, Event::Wake(index, at));
        }
    }

    /// Somebody presses stop.
    fn stop(&mut self, instance: usize, tries: usize) {
        let current = self.store.last(&LogId::chat(OWNER, CHAT));
        let Found::Some((_, entry)) = current else {
            if tries < 3 {
                self.after(Duration::from_millis(300), Event::Stop(instance, tries + 1));
            }
            return;
        };
        let Ok(Logged {
            entry: Entry::Turn(turn),
            ..
        }) = Logged::decode(&entry)
        else {
            return;
        };
        let run = turn.run;
        self.log(format!(
            "a stop of {run} is asked for on instance {instance}"
        ));
        if self.is_out() {
            return;
        }
        let append = Append::new(
            Position::new(1, 0),
            Logged::new(0, Entry::Stop(Stop::new(format!("i{instance}")))).encode(),
            Keep::existing(Duration::from_secs(600)).or_create(),
        );
        self.store
            .append(self.plant, instance, &LogId::stop(&run), &append);
        self.stops.push(StopAsked {
            run: run.clone(),
            done: None,
        });
        let delay = self.rng.millis(1, 20);
        self.after(delay, Event::StopRecorded(instance, run));
    }

    /// Whoever was asked cancels the run itself, if it has started.
    fn stop_recorded(&mut self, run: &str) {
        for stop in &mut self.stops {
            if stop.run == run {
                stop.done.get_or_insert(self.now);
            }
        }
        let log = LogId::run(run);
        let Found::Some(entries) = self.store.read(&log, Position::START, 1_000) else {
            return;
        };
        let is_started = entries.iter().any(|(_, entry)| {
            matches!(
                Logged::decode(entry),
                Ok(Logged {
                    entry: Entry::Started(_),
                    ..
                })
            )
        });
        if is_started {
            let delay = self.rng.millis(1, 50);
            self.after(delay, Event::Cancel(run.to_owned()));
        }
    }

    fn kill(&mut self, instance: usize) {
        self.instances[instance].is_alive = false;
        self.instances[instance].local.clear();
        for browser in 0..self.browsers.len() {
            if self.browsers[browser].instance == instance && self.browsers[browser].end.is_none() {
                let delay = self.rng.millis(10, 2_000);
                self.after(delay, Event::Attach(browser));
            }
        }
    }

    /// A browser comes, or comes again: to an instance that is alive.
    fn attach(&mut self, browser: usize) {
        let mut instance = self.rng.below(3);
        while !self.instances[instance].is_alive {
            instance = (instance + 1) % 3;
        }
        if self.instances[instance].paused_until > self.now {
            return self.after(Duration::from_secs(1), Event::Attach(browser));
        }
        let is_new = self.browsers[browser].reader.is_none();
        let known = self.browsers[browser].run.clone();
        let run = known.or_else(|| {
            let Found::Some((_, entry)) = self.store.last(&LogId::chat(OWNER, CHAT)) else {
                return None;
            };
            match Logged::decode(&entry).ok()?.entry {
                Entry::Turn(turn) => Some(turn.run),
                _ => None,
            }
        });
        let Some(run) = run else {
            return self.after(Duration::from_millis(700), Event::Attach(browser));
        };
        let replay = self.rng.percent(50);
        if !is_new {
            self.log(format!("browser {browser} comes again"));
        }
        let this = &mut self.browsers[browser];
        this.instance = instance;
        this.connection += 1;
        this.end = None;
        this.run = Some(run);
        this.is_asking = false;
        if !is_new && replay {
            this.got.clear();
            this.first = 0;
            this.is_degraded = false;
        }
        let next = this.first + this.got.len() as u64;
        this.reader = Some(Reader::from(next));
        self.browse(browser);
    }

    fn browse(&mut self, browser: usize) {
        loop {
            let now = self.now;
            let this = &mut self.browsers[browser];
            let instance = this.instance;
            if this.end.is_some() || this.is_asking || !self.instances[instance].is_alive {
                return;
            }
            let (Some(reader), Some(run)) = (&mut this.reader, this.run.clone()) else {
                return;
            };
            match reader.poll(now) {
                ReaderStep::Chunk { index, json } => {
                    this.got.push((index, json));
                    let local = self.instances[instance].local.get(&run);
                    this.is_degraded |= local.is_some_and(|local| local.is_alone);
                }
                ReaderStep::Read { after, wait } => {
                    if let Some(local) = self.instances[instance].local.get(&run) {
                        let above = local.entries.iter().filter(|entry| entry.0 > after);
                        let page: Entries = above.take(5).cloned().collect();
                        if page.is_empty() {
                            // Woken by the next that is delivered.
                            reader.handle_page(Vec::new(), now);
                            return;
                        }
                        reader.handle_page(page, now);
                        continue;
                    }
                    this.is_asking = true;
                    let ask = Ask::Read(LogId::run(&run), after, Some(wait));
                    let who = Who::Browser(instance, browser, this.connection);
                    return self.send(who, ask);
                }
                ReaderStep::TakeOver { after } => {
                    let is_here = self.instances[instance]
                        .recorders
                        .iter()
                        .any(|recording| recording.run == run && recording.over.is_none());
                    if is_here {
                        continue;
                    }
                    self.log(format!(
                        "instance {instance} takes over {run} behind {after}"
                    ));
                    let recording =
                        Recording::new(run.clone(), format!("i{instance}")).of_chat(OWNER, CHAT);
                    let recorder = Recorder::take_over(recording, after, self.limits);
                    let at = self.record(instance, &run, recorder);
                    self.drive(instance, at);
                }
                ReaderStep::Over(end) => {
                    this.end = Some(end.clone());
                    let local = self.instances[instance].local.get(&run);
                    this.is_degraded |= local.is_some_and(|local| local.is_alone);
                    self.log(format!("browser {browser} is over with {run}: {end:?}"));
                    return;
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn answer_browser(&mut self, instance: usize, browser: usize, reply: Reply) {
        let this = &mut self.browsers[browser];
        if this.instance != instance || !this.is_asking || !self.instances[instance].is_alive {
            return;
        }
        this.is_asking = false;
        let (Some(reader), Reply::Page(found)) = (&mut this.reader, reply) else {
            return;
        };
        match found {
            Found::Some(entries) => reader.handle_page(entries, self.now),
            Found::Nothing => {
                // Its run may be starting: the log is there when its claim is.
                reader.handle_missing();
            }
            Found::Unavailable => {
                let delay = Duration::from_millis(500);
                return self.after(delay, Event::WakeBrowser(browser));
            }
        }
        self.browse(browser);
    }
}

/// Gives a recorder what has come of its run, as long as it wants it.
fn feed(recording: &mut Recorded) {
    let Source::Live(come, over) = &mut recording.source else {
        return;
    };
    while recording.recorder.wants_chunks() {
        let Some(chunk) = come.pop_front() else {
            break;
        };
        recording.recorder.push(&chunk);
    }
    if come.is_empty()
        && recording.recorder.wants_chunks()
        && let Some(end) = over
    {
        recording.recorder.end(end);
        recording.source = Source::Done;
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
            end: None,
            is_asking: false,
        }
    }

    /// Whether it has anything to read.
    pub(crate) fn has_begun(&self) -> bool {
        self.reader.is_some()
    }

    pub(crate) fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }
}
