//! Instances record runs.

use std::time::Duration;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    Append, Entry, Found, LogId, Logged, Position, Reader, Recorder, RecorderEnd, RecorderStep,
    Recording,
};
use twentyfirst_protocol::runs::StartRun;

use super::{Ask, Browser, CHAT, Event, OWNER, Recorded, Reply, Source, Who, World};
use crate::answer::{Atom, atoms};
use crate::plant::Plant;

impl World {
    pub(super) fn post(&mut self, instance: usize, turn: usize) {
        let run = format!("run-{}-{instance}", self.sequence);
        self.log(format!(
            "turn {turn} is posted on instance {instance} as {run}"
        ));
        let order = *self.rng.pick(&self.orders.clone());
        let ask = StartRun::new("agent", run.clone());
        let recording = Recording::new(run.clone(), format!("i{instance}"))
            .of_chat(OWNER, CHAT)
            .order(order)
            .asking(&ask);
        let at = self.record(instance, &run, Recorder::begin(recording, self.limits));
        let browser = self.browsers.len();
        self.browsers.push(Browser::new(instance, 0));
        self.browsers[browser].run = Some(run);
        self.drive(instance, at);
    }

    pub(super) fn record(&mut self, instance: usize, run: &str, recorder: Recorder) -> usize {
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

    /// Executes the steps of a recorder until it waits.
    pub(super) fn drive(&mut self, instance: usize, at: usize) {
        loop {
            let recording = &mut self.instances[instance].recorders[at];
            if recording.over.is_some() || recording.is_asking {
                return;
            }
            feed(recording, self.plant);
            recording.was_alone |= recording.recorder.is_alone();
            let run = recording.run.clone();
            let step = recording.recorder.poll(self.now);
            let step = match (self.plant, step) {
                (Some(Plant::NoFinish), RecorderStep::Append(log, append)) => {
                    RecorderStep::Append(log, without_finish(append))
                }
                (Some(Plant::NoFinish), RecorderStep::Deliver(append)) => {
                    RecorderStep::Deliver(without_finish(append))
                }
                (_, step) => step,
            };
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
                RecorderStep::WaitFor(before) => self.wait_for(instance, at, &before),
                RecorderStep::Stop(run) => self.stop_run(instance, &run),
                RecorderStep::Start { place, carried } => {
                    self.give_place(instance, at, place, &carried);
                }
                RecorderStep::Send => {
                    self.instances[instance].recorders[at].starts += 1;
                    self.start(instance, at, &run);
                }
                RecorderStep::Follow(_, after) => {
                    let after: Vec<Atom> = after.iter().flat_map(atoms).collect();
                    self.log(format!(
                        "instance {instance} goes on with {run} after {} atoms",
                        after.len()
                    ));
                    self.instances[instance].recorders[at].source = Source::Waiting(after);
                    // A run that was never sent cannot be found.
                    let ends = self.runs.get(&run).map(|run| run.ends);
                    let never = self.now + Duration::from_secs(2);
                    self.at(ends.unwrap_or(never).max(self.now), Event::RunOver(run));
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
                    if matches!(end, RecorderEnd::Busy | RecorderEnd::Full) {
                        // The response to the post is a refusal.
                        for browser in &mut self.browsers {
                            if browser.run.as_deref() == Some(&run) {
                                // The rest of the request belongs to another connection.
                                let connection = browser.connection + 1;
                                *browser = Browser::new(instance, 0);
                                browser.connection = connection;
                            }
                        }
                    }
                    // The store now serves the rest, and entries that were not written there are lost sooner or later.
                    if self.instances[instance].recorders[at].was_alone {
                        let kept = self.limits.ended_ttl;
                        self.after(kept, Event::Leave(instance, run.clone()));
                    }
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

    pub(super) fn reply_to_recorder(&mut self, instance: usize, at: usize, reply: Reply) {
        let now = self.now;
        let recording = &mut self.instances[instance].recorders[at];
        recording.is_asking = false;
        match reply {
            Reply::Appended(appended) => recording.recorder.handle_append(appended, now),
            Reply::Last(found) => recording.recorder.handle_last(found),
            Reply::Page(mut found) => {
                if self.plant == Some(Plant::PlaceUnseen)
                    && let Found::Some(entries) = &mut found
                {
                    entries.iter_mut().for_each(overlook_place);
                }
                if let (Some(early), Found::Some(entries)) = (recording.early.take(), &mut found) {
                    // The entries that were read before the claim, and the claim.
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

    /// Reads the run that this one waits for, as a browser does.
    fn wait_for(&mut self, instance: usize, at: usize, before: &str) {
        let browser = self.browsers.len();
        self.browsers.push(Browser::waiting(instance, before, at));
        self.after(Duration::ZERO, Event::WakeBrowser(browser));
    }

    pub(super) fn over(&mut self, instance: usize, at: usize) {
        let recorded = &mut self.instances[instance].recorders[at];
        recorded.recorder.handle_over();
        self.drive(instance, at);
    }

    pub(super) fn deliver(&mut self, instance: usize, run: &str, append: Append) {
        let is_alone = self.instances[instance]
            .recorders
            .iter()
            .any(|recording| recording.run == run && recording.recorder.is_alone());
        let local = self.instances[instance]
            .local
            .entry(run.to_owned())
            .or_default();
        local.is_alone |= is_alone;
        let known = local.entries.iter().find(|entry| entry.0 == append.at);
        // A successor also delivers entries that were read here before.
        if known.is_some_and(|(_, entry)| {
            *entry == append.entry || self.plant == Some(Plant::DeliverFirst)
        }) {
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

    pub(super) fn wake_browsers(&mut self, instance: usize) {
        for browser in 0..self.browsers.len() {
            if self.browsers[browser].instance == instance && !self.browsers[browser].is_asking {
                self.after(Duration::ZERO, Event::WakeBrowser(browser));
            }
        }
    }
}

/// Passes chunks of the run to a recorder, as long as it accepts them.
fn feed(recording: &mut Recorded, plant: Option<Plant>) {
    let Source::Live(come, over) = &mut recording.source else {
        return;
    };
    while recording.recorder.wants_chunks() || plant == Some(Plant::FullRecorder) {
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

/// Makes a successor overlook that the messages may have been sent.
fn overlook_place((_, entry): &mut (Position, Bytes)) {
    if let Ok(logged) = Logged::decode(entry)
        && matches!(logged.entry, Entry::Starting(_) | Entry::Started(_))
    {
        *entry = Logged::new(logged.chunks, Entry::Beat).encode();
    }
}

/// Replaces the `finish` of a run that was lost at its start.
fn without_finish(mut append: Append) -> Append {
    let text = String::from_utf8_lossy(&append.entry);
    if text.contains("is gone, try again") {
        append.entry = text.replace("\"finish\"", "\"start-step\"").into();
    }
    append
}
