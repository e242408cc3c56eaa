//! The actions of instances, as in the client.

use std::time::Duration;

use twentyfirst_protocol::run_log::register::{
    Duty, DutyStep, Obligation, Register, RegisterEnd, RegisterStep, SupervisorStep,
};
use twentyfirst_protocol::run_log::{
    Appended, Entry, Found, Limits, LogId, Logged, Position, Recorder, RecorderEnd, RecorderStep,
    Recording as Of,
};
use twentyfirst_protocol::runs::{RunEnd, RunRef};
use twentyfirst_protocol::{SandboxId, ThreadId};

use super::{Ask, Event, Held, Reply, Then, World};
use crate::machines::{Machine, Recording};
use crate::plant::Plant;

fn place() -> RunRef {
    let ids = (SandboxId::new("sb"), ThreadId::new("th"));
    RunRef::new("agent", ids.0.unwrap(), ids.1.unwrap())
}

fn by(instance: usize) -> String {
    format!("i{instance}")
}

fn obligation(run: &str) -> Obligation {
    Obligation::new(run, "user", run)
}

impl World {
    pub(super) fn post(&mut self, instance: usize, run: &str) {
        if self.instances[instance].is_draining {
            return;
        }
        self.log(format!("{run} is posted on instance {instance}"));
        let held = Held {
            then: Some(Then::Begin),
            ..Held::default()
        };
        self.instances[instance].held.insert(run.to_owned(), held);
        if self.plant == Some(Plant::ClaimFirst) {
            let delay = self.rng.millis(0, 3_000);
            self.after(delay, Event::LateOpen(instance, run.to_owned()));
            return self.go_on(instance, run, true);
        }
        self.open_now(instance, run);
    }

    /// Opens an obligation in the register for new ones.
    pub(super) fn open_now(&mut self, instance: usize, run: &str) {
        let register = self.current(instance);
        let it = &mut self.instances[instance];
        let Some(held) = it.held.get_mut(run) else {
            return;
        };
        held.registers.insert(register);
        if let Machine::Register(machine) = &mut it.machines[register].machine {
            machine.open(obligation(run));
        }
        self.drive(instance, register);
    }

    fn current(&mut self, instance: usize) -> usize {
        let it = &self.instances[instance];
        if let Some(current) = it.current.filter(|current| !it.machines[*current].is_over) {
            return current;
        }
        let id = format!("r{}-{}", instance, it.machines.len());
        let register = Register::begin(id.clone(), &by(instance));
        let slot = self.add(instance, Machine::Register(Box::new(register)));
        self.instances[instance].current = Some(slot);
        if let Machine::Finder(finder) = &mut self.instances[instance].machines[0].machine {
            finder.writes(id);
        }
        slot
    }

    /// Takes the next action once an obligation is in a register, or cannot be.
    fn go_on(&mut self, instance: usize, run: &str, stands: bool) {
        let Some(held) = self.instances[instance].held.get_mut(run) else {
            return;
        };
        held.stands |= stands;
        match held.then.take() {
            None => {}
            Some(Then::Begin) => {
                if !stands {
                    self.log(format!("{run} goes on unsupervised on instance {instance}"));
                    self.runs.get_mut(run).unwrap().was_alone = true;
                }
                let of = Of::new(run, by(instance)).of_chat("user", run);
                self.record(instance, run, Recorder::begin(of, Limits::default()), None);
            }
            Some(Then::TakeOver(after)) if stands => {
                self.take_over(instance, run, after, None);
            }
            Some(Then::TakeOver(_)) => self.close(instance, run),
        }
    }

    fn record(&mut self, instance: usize, run: &str, recorder: Recorder, duty: Option<usize>) {
        let recording = Recording {
            recorder,
            run: run.to_owned(),
            duty,
            is_over: false,
            waits_for_place: false,
            was_alone: false,
        };
        self.add(instance, Machine::Recorder(Box::new(recording)));
    }

    fn recorder_of(&self, instance: usize, run: &str) -> Option<usize> {
        let mut slots = self.instances[instance].machines.iter();
        slots.position(
            |slot| matches!(&slot.machine, Machine::Recorder(it) if it.run == run && !it.is_over),
        )
    }

    fn take_over(&mut self, instance: usize, run: &str, after: Position, duty: Option<usize>) {
        if let Some(recorder) = self.recorder_of(instance, run) {
            if let (Some(duty), Machine::Recorder(it)) = (
                duty,
                &mut self.instances[instance].machines[recorder].machine,
            ) {
                it.duty = Some(duty);
            }
            return;
        }
        self.log(format!("instance {instance} takes over {run}"));
        let of = Of::new(run, by(instance)).of_chat("user", run);
        let recorder = Recorder::take_over(of, after, Limits::default());
        self.record(instance, run, recorder, duty);
    }

    /// Reads a run as a browser does, and has it taken over if it is silent.
    pub(super) fn read(&mut self, instance: usize, run: &str) {
        self.read_on(instance, run, Position::START, 0);
    }

    pub(super) fn read_on(&mut self, instance: usize, run: &str, at: Position, times: usize) {
        if self.instances[instance].is_draining {
            return;
        }
        let Found::Some((position, entry)) = self.store.last(&LogId::run(run)) else {
            return;
        };
        let entry = Logged::decode(&entry).unwrap().entry;
        if matches!(entry, Entry::End(_)) || self.recorder_of(instance, run).is_some() {
            return;
        }
        let times = if position == at { times + 1 } else { 0 };
        if times >= 3 || matches!(entry, Entry::Release) {
            let held = self.instances[instance].held.entry(run.to_owned());
            let held = held.or_default();
            // A duty is responsible for a run that was left to this instance.
            if held.has_duty {
                return;
            }
            if held.stands || self.plant == Some(Plant::TakeOverUnopened) {
                return self.take_over(instance, run, position, None);
            }
            if held.then.is_none() {
                held.then = Some(Then::TakeOver(position));
                self.open_now(instance, run);
            }
            return;
        }
        let event = Event::ReadOn(instance, run.to_owned(), position, times);
        self.after(Duration::from_secs(5), event);
    }

    pub(super) fn drain(&mut self, instance: usize) {
        self.log(format!("instance {instance} is drained"));
        self.instances[instance].is_draining = true;
        for slot in 0..self.instances[instance].machines.len() {
            match &mut self.instances[instance].machines[slot].machine {
                Machine::Recorder(it) => it.recorder.release(),
                Machine::Register(register) => {
                    register.retire();
                    register.release();
                }
                _ => {}
            }
            self.drive(instance, slot);
        }
    }

    /// Executes the steps of a machine until it waits.
    pub(super) fn drive(&mut self, instance: usize, slot: usize) {
        loop {
            let clock = self.clock();
            let it = &mut self.instances[instance];
            let is_draining = it.is_draining;
            let this = &mut it.machines[slot];
            if this.is_asking || this.is_over {
                return;
            }
            let ask = match &mut this.machine {
                Machine::Finder(_) if is_draining => return,
                Machine::Finder(finder) => match finder.poll(clock) {
                    SupervisorStep::Read(log, after) => Ask::Read(log, after),
                    SupervisorStep::Last(log) => Ask::Last(log),
                    SupervisorStep::Adopt {
                        register,
                        after,
                        listed,
                    } => {
                        self.log(format!("instance {instance} adopts {register}"));
                        let register = Register::take_over(register, &by(instance), after, listed);
                        self.add(instance, Machine::Register(Box::new(register)));
                        continue;
                    }
                    SupervisorStep::Wait { until } => {
                        return self.at(until, Event::Wake(instance, slot));
                    }
                    other => unreachable!("{other:?}"),
                },
                Machine::Register(register) => match register.poll(clock) {
                    RegisterStep::Last(log) => Ask::Last(log),
                    RegisterStep::Read(log, after) => Ask::Read(log, after),
                    RegisterStep::Append(log, append) => Ask::Append(log, append),
                    RegisterStep::Noted(noted) => {
                        for opened in noted.opened {
                            self.go_on(instance, &opened.run, true);
                        }
                        for placed in noted.placed {
                            self.place_stands(instance, &placed.run, true);
                        }
                        continue;
                    }
                    RegisterStep::Inherited { open, writers } => {
                        self.inherit(instance, slot, open, &writers);
                        continue;
                    }
                    RegisterStep::Wait { until } => {
                        if let Some(until) = until {
                            let until = until.max(self.now + Duration::from_micros(1));
                            self.at(until, Event::Wake(instance, slot));
                        }
                        return;
                    }
                    RegisterStep::Over(end) => return self.register_over(instance, slot, &end),
                    other => unreachable!("{other:?}"),
                },
                Machine::Duty { recorder, .. } if is_draining || recorder.is_some() => return,
                Machine::Duty { duty, .. } => {
                    let run = duty.obligation().run.clone();
                    let held = it.held.get(&run);
                    if held.is_none_or(|held| held.is_theirs) {
                        this.is_over = true;
                        it.held.remove(&run);
                        return;
                    }
                    match duty.poll(clock.mono) {
                        DutyStep::Last(log) => Ask::Last(log),
                        DutyStep::First(log, after) => Ask::Read(log, after),
                        DutyStep::Append(_, _) if self.plant == Some(Plant::CloseUnclaimed) => {
                            this.is_over = true;
                            return self.close(instance, &run);
                        }
                        DutyStep::Append(log, append) => Ask::Append(log, append),
                        DutyStep::TakeOver { after } => {
                            self.take_over(instance, &run, after, Some(slot));
                            let recorder = self.recorder_of(instance, &run);
                            if let Machine::Duty { recorder: it, .. } =
                                &mut self.instances[instance].machines[slot].machine
                            {
                                *it = recorder;
                            }
                            return;
                        }
                        DutyStep::Wait { until } => {
                            return self.at(until, Event::Wake(instance, slot));
                        }
                        step => {
                            this.is_over = true;
                            return self.duty_over(instance, &run, &step);
                        }
                    }
                }
                Machine::Recorder(it) => match it.recorder.poll(clock.mono) {
                    RecorderStep::Last(log) => Ask::Last(log),
                    RecorderStep::Read(log, after) => Ask::Read(log, after),
                    RecorderStep::Append(log, append) => Ask::Append(log, append),
                    RecorderStep::Deliver(_) | RecorderStep::Cancel(_) => continue,
                    RecorderStep::Start { .. } => {
                        let delay = self.rng.millis(0, 500);
                        self.after(delay, Event::Placed(instance, slot));
                        continue;
                    }
                    RecorderStep::Send => {
                        let run = it.run.clone();
                        let delay = self.rng.millis(0, 2_000);
                        self.after(delay, Event::Begun(instance, slot, run));
                        continue;
                    }
                    RecorderStep::Follow(..) => {
                        let run = it.run.clone();
                        self.note_place(instance, &run);
                        let ends = self.runs[&run].ends.unwrap_or(self.now);
                        let late = self.rng.millis(0, 5_000);
                        self.at(ends.max(self.now) + late, Event::RunOver(instance, slot));
                        continue;
                    }
                    RecorderStep::Wait { until } => {
                        if let Some(until) = until {
                            let until = until.max(self.now + Duration::from_micros(1));
                            self.at(until, Event::Wake(instance, slot));
                        }
                        return;
                    }
                    RecorderStep::Over(end) => return self.recorder_over(instance, slot, &end),
                    other => unreachable!("{other:?}"),
                },
            };
            self.ask(instance, slot, ask);
        }
    }

    pub(super) fn hear(&mut self, instance: usize, slot: usize, reply: Reply) {
        let clock = self.clock();
        let this = &mut self.instances[instance].machines[slot];
        this.is_asking = false;
        let mut is_failing = false;
        match (&mut this.machine, reply) {
            (Machine::Finder(finder), Reply::Page(found)) => finder.handle_page(found),
            (Machine::Finder(finder), Reply::Last(found)) => finder.handle_last(found, clock),
            (Machine::Register(register), Reply::Appended(appended)) => {
                is_failing = !matches!(appended, Appended::Yes | Appended::Fenced);
                register.handle_append(appended, clock);
            }
            (Machine::Register(register), Reply::Last(found)) => {
                is_failing = found == Found::Unavailable;
                register.handle_last(found, clock);
            }
            (Machine::Register(register), Reply::Page(found)) => register.handle_page(found),
            (Machine::Duty { duty, .. }, Reply::Appended(appended)) => duty.handle_append(appended),
            (Machine::Duty { duty, .. }, Reply::Last(found)) => {
                duty.handle_last(found, clock.mono);
            }
            (Machine::Duty { duty, .. }, Reply::Page(found)) => duty.handle_page(found),
            (Machine::Recorder(it), Reply::Appended(appended)) => {
                it.recorder.handle_append(appended, clock.mono);
            }
            (Machine::Recorder(it), Reply::Last(found)) => it.recorder.handle_last(found),
            (Machine::Recorder(it), Reply::Page(found)) => it.recorder.handle_page(found),
            _ => {}
        }
        if let Machine::Recorder(it) = &this.machine
            && it.recorder.is_alone()
        {
            self.runs.get_mut(&it.run).unwrap().was_alone = true;
            if let Machine::Recorder(it) = &mut this.machine {
                it.was_alone = true;
            }
        }
        if is_failing {
            // Nothing waits for a store that does not respond.
            let waiting: Vec<String> = {
                let held = self.instances[instance].held.iter();
                let held =
                    held.filter(|(_, held)| held.then.is_some() && held.registers.contains(&slot));
                held.map(|(run, _)| run.clone()).collect()
            };
            for run in waiting {
                self.go_on(instance, &run, false);
            }
            let held = self.instances[instance].held.iter();
            let placing = held.filter(|(_, held)| held.registers.contains(&slot));
            let placing: Vec<String> = placing.map(|(run, _)| run.clone()).collect();
            for run in placing {
                self.place_stands(instance, &run, false);
            }
        }
        self.drive(instance, slot);
    }

    fn inherit(
        &mut self,
        instance: usize,
        register: usize,
        open: Vec<Obligation>,
        writers: &[String],
    ) {
        for obligation in open {
            let run = obligation.run.clone();
            let it = &mut self.instances[instance];
            let is_new = !it.held.contains_key(&run);
            let held = it.held.entry(run.clone()).or_default();
            held.registers.insert(register);
            held.stands = true;
            held.is_theirs = false;
            if !is_new {
                continue;
            }
            if self.plant == Some(Plant::TakeOverAtOnce)
                && let Found::Some((at, _)) = self.store.last(&LogId::run(&run))
            {
                self.take_over(instance, &run, at, None);
                continue;
            }
            held.has_duty = true;
            let duty = Duty::new(obligation, writers.to_vec(), by(instance));
            let duty = Box::new(duty);
            self.add(
                instance,
                Machine::Duty {
                    duty,
                    recorder: None,
                },
            );
        }
    }

    fn register_over(&mut self, instance: usize, slot: usize, end: &RegisterEnd) {
        let clock = self.clock();
        let it = &mut self.instances[instance];
        it.machines[slot].is_over = true;
        let Machine::Register(register) = &it.machines[slot].machine else {
            return;
        };
        let id = register.id().to_owned();
        self.log(format!("instance {instance} is over with {id}: {end:?}"));
        let it = &mut self.instances[instance];
        if let Machine::Finder(finder) = &mut it.machines[0].machine {
            finder.let_go(&id, clock);
        }
        let mut orphans = Vec::new();
        for (run, held) in &mut it.held {
            if !held.registers.remove(&slot) || !held.registers.is_empty() {
                continue;
            }
            let stood = std::mem::replace(&mut held.stands, false);
            match end {
                RegisterEnd::Fenced if stood => held.is_theirs = true,
                // Obligations that were not in the register are unknown to the instance that took it over.
                RegisterEnd::Fenced | RegisterEnd::Failed if !held.has_duty => {
                    orphans.push(run.clone());
                }
                _ => {}
            }
        }
        for run in orphans {
            self.go_on(instance, &run, false);
            self.open_now(instance, &run);
        }
    }

    fn duty_over(&mut self, instance: usize, run: &str, step: &DutyStep) {
        match step {
            DutyStep::End => self.settle(instance, run),
            DutyStep::Follow(_) => {
                self.log(format!("instance {instance} follows {run}"));
                let ends = self.runs[run].ends.unwrap_or(self.now);
                let late = self.rng.millis(0, 5_000);
                let event = Event::Followed(instance, run.to_owned());
                self.at(ends.max(self.now) + late, event);
            }
            DutyStep::Close => {
                let what = match self.store.last(&LogId::run(run)) {
                    Found::Some((at, _)) if at > Position::START.next_claim() => {
                        "another answers for"
                    }
                    _ => "nothing had begun of",
                };
                self.log(format!("instance {instance} finds that {what} {run}"));
                self.close(instance, run);
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn recorder_over(&mut self, instance: usize, slot: usize, end: &RecorderEnd) {
        let it = &mut self.instances[instance];
        it.machines[slot].is_over = true;
        let Machine::Recorder(recording) = &mut it.machines[slot].machine else {
            return;
        };
        recording.is_over = true;
        let (run, duty) = (recording.run.clone(), recording.duty);
        let is_alone = recording.was_alone;
        self.log(format!("instance {instance} is over with {run}: {end:?}"));
        let it = &mut self.instances[instance];
        if let Some(held) = it.held.get(&run) {
            let has_duty = held.has_duty;
            if held.is_theirs && !is_alone {
                it.held.remove(&run);
            } else {
                match end {
                    RecorderEnd::Ended => self.settle(instance, &run),
                    RecorderEnd::Released => {}
                    _ if has_duty => {}
                    RecorderEnd::Busy
                    | RecorderEnd::Full
                    | RecorderEnd::ChatUnreadable(_)
                    | RecorderEnd::Fenced => {
                        self.close(instance, &run);
                    }
                    _ => {
                        it.held.get_mut(&run).unwrap().has_duty = true;
                        let duty = Duty::new(obligation(&run), vec![by(instance)], by(instance));
                        let duty = Box::new(duty);
                        let recorder = None;
                        self.add(instance, Machine::Duty { duty, recorder });
                    }
                }
            }
        }
        if let Some(slot) = duty
            && let Machine::Duty { duty, recorder } =
                &mut self.instances[instance].machines[slot].machine
        {
            *recorder = None;
            duty.look_again();
            self.drive(instance, slot);
        }
    }

    /// Handles the place of a run. It must be in the register before the recorder knows it, because nothing may take time between
    /// the recorder's last look at the log and the sending of the messages.
    pub(super) fn placed(&mut self, instance: usize, slot: usize) {
        let Machine::Recorder(it) = &mut self.instances[instance].machines[slot].machine else {
            return;
        };
        let run = it.run.clone();
        it.waits_for_place = true;
        self.note_place(instance, &run);
        let held = self.instances[instance].held.get(&run);
        if self.plant == Some(Plant::Unplaced) || held.is_none_or(|held| !held.stands) {
            self.place_stands(instance, &run, self.plant.is_some());
        }
    }

    fn place_stands(&mut self, instance: usize, run: &str, stands: bool) {
        let Some(slot) = self.recorder_of(instance, run) else {
            return;
        };
        let Machine::Recorder(it) = &mut self.instances[instance].machines[slot].machine else {
            return;
        };
        if std::mem::take(&mut it.waits_for_place) {
            it.recorder.handle_placed(place());
            self.runs.get_mut(run).unwrap().was_unplaced |= !stands;
            self.drive(instance, slot);
        }
    }

    pub(super) fn run_begins(&mut self, instance: usize, slot: usize, run: &str) {
        // Requests usually arrive even if their sender is gone.
        if !self.instances[instance].is_alive && self.rng.percent(50) {
            return;
        }
        let now = self.now;
        let it = self.runs.get_mut(run).unwrap();
        it.starts += 1;
        it.ends = Some(now + it.length);
        self.log(format!("{run} begins"));
        let delay = self.rng.millis(0, 500);
        self.after(delay, Event::Started(instance, slot));
    }

    pub(super) fn started(&mut self, instance: usize, slot: usize) {
        let Machine::Recorder(it) = &mut self.instances[instance].machines[slot].machine else {
            return;
        };
        it.recorder.handle_started(place());
        let run = it.run.clone();
        let ends = self.runs[&run].ends.unwrap();
        self.at(ends.max(self.now), Event::RunOver(instance, slot));
        self.drive(instance, slot);
    }

    fn note_place(&mut self, instance: usize, run: &str) {
        if self.plant == Some(Plant::Unplaced) {
            return;
        }
        let Some(held) = self.instances[instance].held.get(run) else {
            return;
        };
        for register in held.registers.clone() {
            if let Machine::Register(machine) =
                &mut self.instances[instance].machines[register].machine
            {
                machine.place(run, place());
            }
            self.drive(instance, register);
        }
    }

    pub(super) fn run_over(&mut self, instance: usize, slot: usize) {
        if let Machine::Recorder(it) = &mut self.instances[instance].machines[slot].machine {
            it.recorder.end(&RunEnd::Completed);
        }
        self.drive(instance, slot);
    }

    /// Reports the end of a run.
    pub(super) fn settle(&mut self, instance: usize, run: &str) {
        let Some(held) = self.instances[instance].held.get_mut(run) else {
            return;
        };
        if std::mem::replace(&mut held.is_ending, true) {
            return;
        }
        if self.plant == Some(Plant::CloseFirst) {
            self.note_closed(instance, run);
        }
        let delay = self.rng.millis(0, 2_000);
        self.after(delay, Event::Told(instance, run.to_owned(), 0));
    }

    pub(super) fn told(&mut self, instance: usize, run: &str, times: usize) {
        let it = &mut self.instances[instance];
        let Some(held) = it.held.get(run) else {
            return;
        };
        if held.is_theirs && times > 0 {
            it.held.remove(run);
            return;
        }
        if times < 3 && self.rng.percent(20) {
            self.log(format!("the end of {run} is told again"));
            let pause = Duration::from_secs(1 << times);
            return self.after(pause, Event::Told(instance, run.to_owned(), times + 1));
        }
        self.log(format!("instance {instance} tells the end of {run}"));
        let now = self.now;
        self.runs.get_mut(run).unwrap().told.push(now);
        self.close(instance, run);
    }

    fn close(&mut self, instance: usize, run: &str) {
        self.note_closed(instance, run);
        self.instances[instance].held.remove(run);
    }

    fn note_closed(&mut self, instance: usize, run: &str) {
        let Some(held) = self.instances[instance].held.get(run) else {
            return;
        };
        for register in held.registers.clone() {
            if let Machine::Register(machine) =
                &mut self.instances[instance].machines[register].machine
            {
                machine.close(run);
            }
            self.drive(instance, register);
        }
    }
}
