//! A few instances, their runs, a store and a relay in virtual time. Every event is handled here.

mod plan;
mod runs;
mod storing;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::run_log::{Append, Appended, Found, LogId, Position};

use crate::machines::Machine;
use crate::plant::Plant;
use crate::rng::Rng;
use crate::store::{Entries, Store};

/// The length of a schedule.
const HORIZON: Duration = Duration::from_secs(25 * 60);

/// The state of a schedule.
pub(crate) struct World {
    pub(crate) now: Instant,
    begun: Instant,
    wall: SystemTime,
    pub(crate) plant: Option<Plant>,
    pub(crate) rng: Rng,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    event_data: BTreeMap<u64, Event>,
    sequence: u64,
    pub(crate) store: Store,
    outages: Vec<(Instant, Instant)>,
    lossy: usize,
    pub(crate) instances: Vec<Instance>,
    pub(crate) runs: BTreeMap<String, Run>,
    /// The time at which the last fault was over.
    pub(crate) last_fault: Instant,
    /// The runs that were taken over while they were recorded.
    pub(crate) taken_alive: Vec<String>,
    pub(crate) trace: Vec<String>,
}

pub(crate) struct Instance {
    pub(crate) is_alive: bool,
    pub(crate) is_draining: bool,
    paused_until: Instant,
    /// The time at which it last woke up, or began.
    pub(crate) awake_since: Instant,
    pub(crate) machines: Vec<Slot>,
    pub(crate) held: BTreeMap<String, Held>,
    /// The register for new obligations.
    pub(crate) current: Option<usize>,
}

/// A state machine, and whether it waits for the store.
pub(crate) struct Slot {
    pub(crate) machine: Machine,
    pub(crate) is_asking: bool,
    pub(crate) is_over: bool,
}

/// An obligation of an instance.
#[derive(Default)]
pub(crate) struct Held {
    /// The registers in which it is open, by their machines.
    pub(crate) registers: BTreeSet<usize>,
    pub(crate) stands: bool,
    pub(crate) is_theirs: bool,
    pub(crate) has_duty: bool,
    pub(crate) is_ending: bool,
    /// The action to take once it is in a register.
    pub(crate) then: Option<Then>,
}

#[derive(Debug, Clone)]
pub(crate) enum Then {
    Begin,
    TakeOver(Position),
}

/// A run at the relay.
pub(crate) struct Run {
    /// The instance where it was posted.
    pub(crate) instance: usize,
    /// The time that it takes.
    pub(crate) length: Duration,
    pub(crate) starts: usize,
    /// The time at which it ends, once it has begun.
    pub(crate) ends: Option<Instant>,
    pub(crate) told: Vec<Instant>,
    /// Whether it was recorded or opened without the store.
    pub(crate) was_alone: bool,
    /// Whether its place is not in a register because the store has failed.
    pub(crate) was_unplaced: bool,
    pub(crate) is_evicted: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Post(usize, String),
    Kill(usize),
    Pause(usize, Duration),
    Drain(usize),
    Start,
    Evict(String),
    /// A browser reads this run there.
    Read(usize, String),
    /// A read that has found nothing new since this position, this many times.
    ReadOn(usize, String, Position, usize),
    Store(usize, usize, Ask, bool),
    Reply(usize, usize, Reply),
    Wake(usize, usize),
    /// The relay has received the run.
    Begun(usize, usize, String),
    Placed(usize, usize),
    Started(usize, usize),
    RunOver(usize, usize),
    Told(usize, String, usize),
    Followed(usize, String),
    /// A planted fault: a late opening.
    LateOpen(usize, String),
}

#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Append(LogId, Append),
    Last(LogId),
    Read(LogId, Position),
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Appended(Appended),
    Last(Found<(Position, Bytes)>),
    Page(Found<Entries>),
}

impl World {
    /// Creates the schedule of this seed.
    pub(crate) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let begun = Instant::now();
        let mut world = Self {
            now: begun,
            begun,
            // Some cross midnight.
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * 86_400 - 60),
            plant,
            rng: rng.fork(),
            events: BinaryHeap::new(),
            event_data: BTreeMap::new(),
            sequence: 0,
            store: Store::default(),
            outages: Vec::new(),
            lossy: 0,
            instances: Vec::new(),
            runs: BTreeMap::new(),
            last_fault: begun,
            taken_alive: Vec::new(),
            trace: Vec::new(),
        };
        for _ in 0..3 {
            world.start_instance();
        }
        world.plan(&mut rng);
        world
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            mono: self.now,
            wall: self.wall + self.now.duration_since(self.begun),
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn at(&mut self, at: Instant, event: Event) {
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

    /// Returns whether an instance can act now. A suspended one acts later.
    fn can(&mut self, instance: usize, event: &Event) -> bool {
        let it = &self.instances[instance];
        if !it.is_alive {
            return false;
        }
        let until = it.paused_until;
        if until > self.now {
            self.at(until, event.clone());
        }
        until <= self.now
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Store(instance, slot, ask, is_heard) => {
                // Requests arrive even if their sender is gone.
                let reply = self.ask_store(*instance, ask);
                if let (Some(reply), true) = (reply, *is_heard) {
                    let delay = self.rng.millis(0, 3);
                    self.after(delay, Event::Reply(*instance, *slot, reply));
                }
                return;
            }
            Event::Begun(instance, slot, run) => {
                let (instance, slot) = (*instance, *slot);
                return self.run_begins(instance, slot, &run.clone());
            }
            Event::Start => return self.start_instance(),
            Event::Evict(run) => {
                self.log(format!("the log of {run} vanishes"));
                self.store.evict(&LogId::run(run));
                self.runs.get_mut(run).unwrap().is_evicted = true;
                return;
            }
            _ => {}
        }
        let (Event::Post(instance, _)
        | Event::Kill(instance)
        | Event::Pause(instance, _)
        | Event::Drain(instance)
        | Event::Read(instance, _)
        | Event::ReadOn(instance, ..)
        | Event::Reply(instance, ..)
        | Event::Wake(instance, _)
        | Event::Placed(instance, _)
        | Event::Started(instance, _)
        | Event::RunOver(instance, _)
        | Event::Told(instance, ..)
        | Event::Followed(instance, _)
        | Event::LateOpen(instance, _)) = event.clone()
        else {
            return;
        };
        if let Event::Kill(_) = event {
            return self.kill(instance);
        }
        if !self.can(instance, &event) {
            return;
        }
        match event {
            Event::Post(_, run) => self.post(instance, &run),
            Event::Pause(_, pause) => {
                self.log(format!("instance {instance} is stopped for {pause:?}"));
                self.instances[instance].paused_until = self.now + pause;
                self.instances[instance].awake_since = self.now + pause;
            }
            Event::Drain(_) => self.drain(instance),
            Event::Read(_, run) => self.read(instance, &run),
            Event::ReadOn(_, run, at, times) => self.read_on(instance, &run, at, times),
            Event::Reply(_, slot, reply) => self.hear(instance, slot, reply),
            Event::Wake(_, slot) => self.drive(instance, slot),
            Event::Placed(_, slot) => self.placed(instance, slot),
            Event::Started(_, slot) => self.started(instance, slot),
            Event::RunOver(_, slot) => self.run_over(instance, slot),
            Event::Told(_, run, times) => self.told(instance, &run, times),
            Event::Followed(_, run) => self.settle(instance, &run),
            Event::LateOpen(_, run) => self.open_now(instance, &run),
            _ => {}
        }
    }

    fn kill(&mut self, instance: usize) {
        let living = self.instances.iter().filter(|it| it.is_alive).count();
        if living > 1 && self.instances[instance].is_alive {
            self.log(format!("instance {instance} is killed"));
            self.instances[instance].is_alive = false;
        }
    }

    fn start_instance(&mut self) {
        let instance = self.instances.len();
        self.log(format!("instance {instance} starts"));
        self.instances.push(Instance {
            is_alive: true,
            is_draining: false,
            paused_until: self.now,
            awake_since: self.now,
            machines: Vec::new(),
            held: BTreeMap::new(),
            current: None,
        });
        self.add(instance, Machine::finder());
    }

    /// Adds a machine, and drives it.
    pub(crate) fn add(&mut self, instance: usize, machine: Machine) -> usize {
        let machines = &mut self.instances[instance].machines;
        machines.push(Slot {
            machine,
            is_asking: false,
            is_over: false,
        });
        let slot = machines.len() - 1;
        self.after(Duration::ZERO, Event::Wake(instance, slot));
        slot
    }
}
