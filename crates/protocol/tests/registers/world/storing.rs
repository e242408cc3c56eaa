//! Requests to the store, and their responses.

use std::time::Duration;

use twentyfirst_protocol::run_log::{Appended, Entry, Found, LogId, Logged, Position};

use super::{Ask, Event, Reply, World};

/// The time for which an instance waits for the store.
const TIMEOUT: Duration = Duration::from_secs(3);

impl World {
    /// Sends a request to the store.
    pub(crate) fn ask(&mut self, instance: usize, slot: usize, ask: Ask) {
        self.instances[instance].machines[slot].is_asking = true;
        let is_down = |world: &Self| {
            let mut outages = world.outages.iter();
            outages.any(|(from, to)| (*from..*to).contains(&world.now))
        };
        let silence = match &ask {
            Ask::Append(..) => Reply::Appended(Appended::Unavailable),
            Ask::Last(_) => Reply::Last(Found::Unavailable),
            Ask::Read(..) => Reply::Page(Found::Unavailable),
        };
        if is_down(self) {
            self.log("the store is down".to_owned());
            return self.after(TIMEOUT, Event::Reply(instance, slot, silence));
        }
        let is_heard = !self.rng.percent(self.lossy);
        let delay = self.rng.millis(0, 3);
        self.after(delay, Event::Store(instance, slot, ask, is_heard));
        if !is_heard {
            self.after(TIMEOUT, Event::Reply(instance, slot, silence));
        }
    }

    pub(super) fn ask_store(&mut self, instance: usize, ask: &Ask) -> Option<Reply> {
        Some(match ask {
            Ask::Append(log, append) => {
                self.look_at_claim(instance, log, append.at);
                let appended = self.store.append(None, instance, log, append);
                Reply::Appended(appended)
            }
            Ask::Last(log) => Reply::Last(self.store.last(log)),
            Ask::Read(log, after) => Reply::Page(self.store.read(log, *after, 3)),
        })
    }

    /// Notes when an instance claims a run that another records.
    fn look_at_claim(&mut self, by: usize, log: &LogId, at: Position) {
        if at.seq != 0 || at.epoch < 2 || !log.as_str().starts_with("run/") {
            return;
        }
        let history = self.store.history(log);
        let Some((writer, top, last)) = history.last() else {
            return;
        };
        let entry = Logged::decode(last).unwrap().entry;
        let is_over = matches!(entry, Entry::End(_) | Entry::Release);
        // Longer than it takes to see a beat.
        let long = Duration::from_secs(8);
        let outage = |(_, to): &(_, _)| self.now < *to + long;
        let it = &self.instances[*writer];
        let is_up = it.is_alive && it.awake_since + long < self.now;
        let records = it.machines.iter().any(|slot| slot.machine.records(log));
        let is_calm = self.lossy == 0 && !self.outages.iter().any(outage);
        if *writer != by && *top < at && !is_over && is_up && records && is_calm {
            let what = format!("instance {by} claims {log} at {at}, which {writer} records");
            self.log(what.clone());
            self.taken_alive.push(what);
        }
    }
}
