//! Browsers connect, read, and reconnect.

use std::time::Duration;

use twentyfirst_protocol::run_log::{
    Entry, Found, LogId, Logged, Position, Reader, ReaderStep, Recorder, Recording, WatchStep,
};

use super::{Ask, CHAT, Event, OWNER, Reply, Who, World};
use crate::plant::Plant;
use crate::store::Entries;

impl World {
    /// Connects a browser, or reconnects it, to an instance that is alive.
    pub(super) fn attach(&mut self, browser: usize) {
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
        let late = u64::from(self.plant == Some(Plant::LateReplay));
        let next = this.first + this.got.len() as u64 + late;
        this.reader = Some(Reader::from(next));
        self.browse(browser);
    }

    fn take_over(&mut self, instance: usize, run: &str, after: Position) {
        if self.plant == Some(Plant::NoSuccessor) {
            return;
        }
        // Entries that were recorded without the store are kept here for a while.
        let local = self.instances[instance].local.get(run);
        if local.is_some_and(|local| local.is_alone) {
            return;
        }
        let mut recorders = self.instances[instance].recorders.iter();
        if recorders.any(|recording| recording.run == run && recording.over.is_none()) {
            return;
        }
        self.log(format!(
            "instance {instance} takes over {run} after {after}"
        ));
        let recording = Recording::new(run.to_owned(), format!("i{instance}")).of_chat(OWNER, CHAT);
        let recorder = Recorder::take_over(recording, after, self.limits);
        let at = self.record(instance, run, recorder);
        self.drive(instance, at);
    }

    /// Makes a recorder wait for a run.
    fn watch(&mut self, browser: usize) {
        loop {
            let now = self.now;
            let this = &mut self.browsers[browser];
            let instance = this.instance;
            if this.is_asking || !self.instances[instance].is_alive {
                return;
            }
            let (Some((at, watch)), Some(run)) = (&mut this.waits, this.run.clone()) else {
                return;
            };
            let at = *at;
            let who = Who::Browser(instance, browser, this.connection);
            match watch.poll(now) {
                WatchStep::Last => {
                    this.is_asking = true;
                    return self.send(who, Ask::Last(LogId::run(&run)));
                }
                WatchStep::Read { after, wait } => {
                    if let Some(local) = self.instances[instance].local.get(&run) {
                        let above = local.entries.iter().filter(|entry| entry.0 > after);
                        let page: Entries = above.cloned().collect();
                        if page.is_empty() {
                            this.is_asking = true;
                            let reply = Reply::Page(Found::Some(page));
                            return self.after(wait, Event::Reply(who, reply));
                        }
                        watch.handle_page(Found::Some(page), now);
                        continue;
                    }
                    this.is_asking = true;
                    return self.send(who, Ask::Read(LogId::run(&run), after, Some(wait)));
                }
                WatchStep::TakeOver { after } => self.take_over(instance, &run, after),
                WatchStep::Wait(pause) => return self.after(pause, Event::WakeBrowser(browser)),
                WatchStep::Over => {
                    this.waits = None;
                    this.run = None;
                    return self.after(Duration::ZERO, Event::Over(instance, at));
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    pub(super) fn browse(&mut self, browser: usize) {
        if self.browsers[browser].waits.is_some() {
            return self.watch(browser);
        }
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
                            // The next delivery wakes it.
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
                    self.take_over(instance, &run, after);
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

    pub(super) fn reply_to_browser(&mut self, instance: usize, browser: usize, reply: Reply) {
        let this = &mut self.browsers[browser];
        if this.instance != instance || !this.is_asking || !self.instances[instance].is_alive {
            return;
        }
        this.is_asking = false;
        if let Some((_, watch)) = &mut this.waits {
            match reply {
                Reply::Last(found) => watch.handle_last(found),
                Reply::Page(found) => watch.handle_page(found, self.now),
                Reply::Appended(_) => {}
            }
            return self.watch(browser);
        }
        let (Some(reader), Reply::Page(found)) = (&mut this.reader, reply) else {
            return;
        };
        match found {
            Found::Some(entries) => reader.handle_page(entries, self.now),
            Found::Nothing => {
                // Its run may be starting: the log exists from its claim on.
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
