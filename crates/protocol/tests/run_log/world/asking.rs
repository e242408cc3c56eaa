//! Requests of instances to the store.

use std::time::Duration;

use twentyfirst_protocol::run_log::{Appended, Found, LogId};

use super::{Ask, Event, Reply, Waiting, Who, World};
use crate::plant::Plant;

/// The time for which the client waits for the store.
const TIMEOUT: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn ask(&mut self, instance: usize, at: usize, ask: Ask) {
        self.instances[instance].recorders[at].is_asking = true;
        self.send(Who::Recorder(instance, at), ask);
    }

    /// Sends a request to the store. It may get lost, and so may the response.
    pub(super) fn send(&mut self, who: Who, ask: Ask) {
        let latency = self.rng.millis(0, 3);
        let is_lost = self.rng.percent(self.lossy) || self.is_out();
        let has_no_reply = is_lost || self.rng.percent(self.lossy);
        if !is_lost {
            self.after(
                latency,
                Event::Store(who.clone(), ask.clone(), !has_no_reply),
            );
        }
        if has_no_reply {
            let reply = match ask {
                Ask::Append(..) => Reply::Appended(Appended::Unavailable),
                Ask::Last(_) => Reply::Last(Found::Unavailable),
                Ask::Read(..) => Reply::Page(Found::Unavailable),
            };
            self.after(TIMEOUT, Event::Reply(who, reply));
        }
    }

    pub(super) fn ask_store(&mut self, who: &Who, ask: &Ask) -> Option<Reply> {
        match ask {
            Ask::Append(log, append) => {
                let appended = self.store.append(self.plant, who.instance(), log, append);
                self.wake_waiting(log);
                Some(Reply::Appended(appended))
            }
            Ask::Last(log)
                if self.plant == Some(Plant::StopUnseen) && log.as_str().ends_with("/stop") =>
            {
                Some(Reply::Last(Found::Nothing))
            }
            Ask::Last(log)
                if self.plant == Some(Plant::NotWaiting) && log.as_str().starts_with("run/") =>
            {
                Some(Reply::Last(Found::Nothing))
            }
            Ask::Last(log) => {
                let stored = self.store.last(log);
                // An instance knows what it has recorded without the store.
                let local = self.instances[who.instance()].alone(log);
                Some(Reply::Last(match (local, stored) {
                    (Some(last), Found::Some((at, _))) if last.0 > at => Found::Some(last),
                    (Some(last), Found::Nothing) => Found::Some(last),
                    (_, stored) => stored,
                }))
            }
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

    pub(super) fn wake_waiting(&mut self, log: &LogId) {
        let (woken, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.log == *log);
        self.waiting = waiting;
        for waiting in woken {
            let page = self.store.read(log, waiting.after, 7);
            let who = Who::Browser(waiting.instance, waiting.browser, waiting.connection);
            self.after(
                Duration::from_micros(100),
                Event::Reply(who, Reply::Page(page)),
            );
        }
    }
}
