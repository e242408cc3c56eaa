//! Users stop runs.

use std::time::Duration;

use twentyfirst_protocol::run_log::{Entry, Found, LogId, Logged, Position, Stop};

use super::{CHAT, Event, OWNER, StopAsked, World};

impl World {
    /// Stops a run as a user does.
    pub(super) fn stop(&mut self, instance: usize, tries: usize) {
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
        self.is_stopped_by_user = true;
        self.stop_run(instance, &run);
    }

    /// Ends a run.
    pub(super) fn stop_run(&mut self, instance: usize, run: &str) {
        if self.is_out() {
            return;
        }
        let run = run.to_owned();
        let append = Stop::new(format!("i{instance}")).append();
        self.store
            .append(self.plant, instance, &LogId::stop(&run), &append);
        self.stops.push(StopAsked {
            run: run.clone(),
            done: None,
        });
        let delay = self.rng.millis(1, 20);
        self.after(delay, Event::StopRecorded(instance, run));
    }

    /// Cancels the run at the instance that was asked, if it has started.
    pub(super) fn stop_recorded(&mut self, run: &str) {
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
}
