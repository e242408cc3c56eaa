//! Plays a schedule: executes the steps of the flows, and passes them the resulting events.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::flow::drive::{Advanced, Io, advance};
use twentyfirst_protocol::flow::{Event, Failure, Flow, SendRequest, Sent, Slot};
use twentyfirst_protocol::runs::{
    CancelError, CancelStatus, Cancelled, FollowFlow, Mode, Outcome, RunEvent, RunRef, StartError,
    StartRun, Started,
};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::{SandboxId, ThreadId};

use crate::faults::{Ending, Tally};
use crate::judge::{Judge, Rule, Verdict, Violation, violation};
use crate::planted::{AnotherTurn, Flush, Liar, OffByOne, Plant, SecondPost, WrongThread};
use crate::relay::{AGENT, At, Phase};
use crate::rng::Rng;
use crate::schedule::{Beginning, Schedule};
use crate::world::{Actor, Asks, Handed, World};

/// The most steps that a flow may take without time advancing.
const STEPS: usize = 20_000;

/// The longest that a schedule may take.
const HOURS: Duration = Duration::from_secs(48 * 3600);

/// The flow of a run, or a faulty wrapper around it.
pub(crate) trait Follows: Flow<Item = RunEvent, Output = Outcome> {
    fn message(&mut self) -> &UiMessage;
    fn has_message(&self) -> bool;
    /// Returns the last transition.
    fn transition(&self) -> &'static str;
}

impl Follows for FollowFlow {
    fn message(&mut self) -> &UiMessage {
        Self::message(self)
    }

    fn has_message(&self) -> bool {
        Self::has_message(self)
    }

    fn transition(&self) -> &'static str {
        Self::transition(self)
    }
}

type Start = Box<dyn Flow<Item = RunRef, Output = Result<Started, StartError>>>;
type Cancel = Box<dyn Flow<Item = Infallible, Output = Result<Cancelled, CancelError>>>;

/// The result of a schedule.
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) tally: Tally,
    /// The number of network faults that were drawn.
    pub(crate) drawn: usize,
    pub(crate) trace: Vec<String>,
}

/// Plays the schedule of this seed, with a planted fault or without.
pub(crate) fn play(seed: u64, plant: Option<Plant>, tracing: bool) -> Report {
    play_schedule(Schedule::random(seed), plant, tracing)
}

/// Removes from a schedule that breaks a rule everything that is not needed to break the same rule.
pub(crate) fn shrunk(seed: u64, plant: Option<Plant>) -> Schedule {
    let mut schedule = Schedule::random(seed);
    let report = play_schedule(schedule.clone(), plant, false);
    let Err(Violation { rule, .. }) = report.verdict else {
        return schedule;
    };
    let mut drawn = report.drawn;
    loop {
        let simpler = schedule.simpler(drawn).into_iter().find_map(|simpler| {
            let report = play_schedule(simpler.clone(), plant, false);
            let is_same = report.verdict.is_err_and(|broken| broken.rule == rule);
            is_same.then_some((simpler, report.drawn))
        });
        match simpler {
            Some(simpler) => (schedule, drawn) = simpler,
            None => return schedule,
        }
    }
}

/// Plays a schedule, with a planted fault or without.
pub(crate) fn play_schedule(schedule: Schedule, plant: Option<Plant>, tracing: bool) -> Report {
    let seed = schedule.seed;
    let mut world = schedule.world(tracing);
    let (sandbox, thread) = schedule.prepare(&mut world);
    schedule.count(&mut world.tally);
    world.tally.schedules = 1;
    let mut player = Player {
        rng: Rng::new(seed ^ 0x4ec5),
        plant,
        follower: Follower::Before(match schedule.beginning {
            // The other run has begun by then, or is over. A follower that joins too early finds an idle thread.
            Beginning::Elsewhere(at) if schedule.joins_early => at.mul_f64(0.5),
            Beginning::Elsewhere(at) => at + Duration::from_millis(1) + schedule.joins_after,
            _ => At::ZERO,
        }),
        canceller: match schedule.cancels_at {
            Some(at) => Canceller::Before(at),
            None => Canceller::Absent,
        },
        sandbox,
        thread,
        judge: None,
        decided: None,
        schedule,
        world,
        last: (At::ZERO, 0),
    };
    if tracing {
        player.describe();
    }
    let mut verdict = player.play();
    if let (Err(violation), Some(transition)) = (&mut verdict, player.transition()) {
        violation
            .why
            .push_str(&format!("\n  decided by «{transition}»"));
    }
    if let Err(violation) = &verdict {
        player
            .world
            .note(|| format!("{:?}: {}", violation.rule, violation.why));
    }
    Report {
        verdict,
        drawn: player.world.drawn,
        tally: player.world.tally,
        trace: player.world.trace.unwrap_or_default(),
    }
}

struct Player {
    schedule: Schedule,
    world: World,
    rng: Rng,
    plant: Option<Plant>,
    follower: Follower,
    canceller: Canceller,
    /// The place of the run, once it is known.
    sandbox: Option<String>,
    thread: Option<String>,
    judge: Option<Judge>,
    /// The transition with which the run ended.
    decided: Option<&'static str>,
    /// The number of steps that were taken at the last time.
    last: (At, usize),
}

enum Follower {
    Before(At),
    Starting(Start, Option<Instant>),
    /// It has started, or may have, and is joined at this time.
    Joining(At, RunRef),
    Following(Box<dyn Follows>, Option<Instant>),
    Over,
}

enum Canceller {
    Absent,
    Before(At),
    Cancelling(Cancel, Option<Instant>),
    Over,
}

impl Player {
    /// Returns the transition of the flow that decided last.
    fn transition(&self) -> Option<&'static str> {
        match &self.follower {
            Follower::Following(flow, _) => Some(flow.transition()),
            Follower::Over => self.decided,
            _ => None,
        }
    }

    fn describe(&mut self) {
        let schedule = &self.schedule;
        let lines = [
            format!(
                "seed {}, {:?}, {:?}",
                schedule.seed, schedule.beginning, schedule.following
            ),
            format!(
                "the run starts for {:?} and takes {:?}, then {:?}",
                schedule.script.starting,
                schedule.script.truth.length(),
                schedule.script.truth.end
            ),
        ];
        for line in lines {
            self.world.note(|| line);
        }
    }

    fn play(&mut self) -> Verdict {
        loop {
            self.check_relay()?;
            self.follow()?;
            self.cancel()?;
            if matches!(self.follower, Follower::Over)
                && matches!(self.canceller, Canceller::Absent | Canceller::Over)
            {
                return self.check_cost();
            }
            if self.world.now > HOURS {
                return violation(Rule::Endless, "the schedule takes more than 48 hours");
            }
            let until = [self.follower_until(), self.canceller_until()];
            let until = until.into_iter().flatten().min();
            let Some(told) = self.world.advance(until) else {
                return violation(Rule::Endless, "a flow waits for ever");
            };
            if let Some((actor, slot, asks, handed)) = told {
                self.tell(actor, slot, asks, handed);
            }
        }
    }

    fn follower_until(&self) -> Option<At> {
        match &self.follower {
            Follower::Before(at) | Follower::Joining(at, _) => Some(*at),
            Follower::Starting(_, until) | Follower::Following(_, until) => {
                until.map(|until| self.world.moment(until))
            }
            Follower::Over => None,
        }
    }

    fn canceller_until(&self) -> Option<At> {
        match &self.canceller {
            Canceller::Before(at) if self.thread.is_some() => Some(*at),
            Canceller::Cancelling(_, until) => until.map(|until| self.world.moment(until)),
            _ => None,
        }
    }

    fn tell(&mut self, actor: Actor, slot: Slot, asks: Asks, handed: Handed) {
        match (actor, &mut self.follower, &mut self.canceller) {
            (Actor::Follower, Follower::Starting(flow, _), _) => {
                tell(&mut **flow, slot, handed);
            }
            (Actor::Follower, Follower::Following(flow, _), _) => {
                if let Some(judge) = &mut self.judge {
                    judge.told(self.world.now, asks, &handed);
                }
                tell(&mut **flow, slot, handed);
            }
            (Actor::Canceller, _, Canceller::Cancelling(flow, _)) => {
                tell(&mut **flow, slot, handed);
            }
            _ => {}
        }
    }

    /// Counts a step. A flow that takes too many steps without time advancing would do so for ever.
    fn count_step(&mut self) -> Verdict {
        if self.last.0 != self.world.now {
            self.last = (self.world.now, 0);
        }
        self.last.1 += 1;
        if self.last.1 > STEPS {
            return violation(Rule::Endless, "time does not advance");
        }
        Ok(())
    }

    // ---- The run

    fn follow(&mut self) -> Verdict {
        loop {
            self.count_step()?;
            let now = self.world.clock();
            match &mut self.follower {
                Follower::Before(at) | Follower::Joining(at, _) if self.world.now < *at => {
                    return Ok(());
                }
                Follower::Before(_) => self.begin(),
                Follower::Joining(_, run) => {
                    let run = run.clone();
                    self.read(run, false);
                }
                Follower::Starting(flow, until) => {
                    match advance(
                        &mut **flow,
                        now,
                        &mut Line(&mut self.world, Actor::Follower),
                    ) {
                        Advanced::Item(_) => {}
                        Advanced::Waits { until: moment } => {
                            *until = moment;
                            self.world.has_decided(Actor::Follower);
                            return Ok(());
                        }
                        Advanced::Done(result) => self.started(result)?,
                    }
                }
                Follower::Following(flow, until) => match advance(
                    &mut **flow,
                    now,
                    &mut Line(&mut self.world, Actor::Follower),
                ) {
                    Advanced::Item(event) => {
                        self.world.note(|| format!("⇒ {}", describe(&event)));
                        if matches!(event, RunEvent::Resumed) && !self.world.reads_ours() {
                            return violation(Rule::AnotherRun, "another run is read");
                        }
                        if let Some(judge) = &mut self.judge {
                            let has_message = flow.has_message();
                            judge.event(&event, flow.message(), has_message, &self.world.relay)?;
                        }
                    }
                    Advanced::Waits { until: moment } => {
                        *until = moment;
                        self.world.has_decided(Actor::Follower);
                        let transition = flow.transition();
                        self.world.note(|| format!("({transition})"));
                        if self.world.take_too_many(Actor::Follower) {
                            return violation(Rule::Endless, "the flow sends too many queries");
                        }
                        if let Some(judge) = &mut self.judge {
                            let has_message = flow.has_message();
                            judge.waits(flow.message(), has_message)?;
                        }
                        let late = self
                            .judge
                            .as_ref()
                            .is_some_and(|judge| judge.is_overdue(self.world.now));
                        if late {
                            return violation(
                                Rule::Endless,
                                "the run should have been lost long ago",
                            );
                        }
                        return Ok(());
                    }
                    Advanced::Done(outcome) => {
                        self.world.note(|| format!("⇒ done: {outcome:?}"));
                        let message = flow.message().clone();
                        self.decided = Some(flow.transition());
                        self.follower = Follower::Over;
                        let Some(judge) = self.judge.take() else {
                            return Ok(());
                        };
                        self.world.close(Actor::Follower, Slot::Stream);
                        self.world.close(Actor::Follower, Slot::Exchange);
                        self.world.has_decided(Actor::Follower);
                        let world = &mut self.world;
                        judge.end(
                            world.now,
                            &outcome,
                            &message,
                            &world.relay,
                            &mut world.tally,
                        )?;
                    }
                },
                Follower::Over => return Ok(()),
            }
        }
    }

    fn begin(&mut self) {
        let (sandbox, thread) = (self.sandbox.clone(), self.thread.clone());
        let mode = match self.schedule.beginning {
            Beginning::Start { .. } => None,
            Beginning::Background { .. } => Some(Mode::Background),
            Beginning::Elsewhere(_) => {
                let run = self.run(sandbox.as_deref(), thread.as_deref());
                let run = match &self.schedule.user_message_id {
                    Some(id) => run.user_message_id(id.clone()),
                    None => run,
                };
                self.read(run, false);
                return;
            }
        };
        self.world.relay.set_script(self.schedule.script.clone());
        let mut message = UiMessage::user("Hello");
        if let Some(id) = &self.schedule.user_message_id {
            message = message.with_id(id.clone());
        }
        let mut run = StartRun::new(AGENT, message)
            .look_first(self.schedule.careful)
            .delete_sandbox_on_failure(self.schedule.careful);
        if let Some(sandbox) = sandbox {
            run = run.sandbox_id(SandboxId::new(sandbox).unwrap());
        }
        if let Some(thread) = thread {
            run = run.thread_id(ThreadId::new(thread).unwrap());
        }
        let flow = run
            .flow(mode, &self.schedule.options(), self.rng.next())
            .unwrap();
        let flow: Start = match self.plant {
            Some(Plant::SecondPost) => Box::new(SecondPost::new(flow)),
            _ => Box::new(flow),
        };
        self.follower = Follower::Starting(flow, None);
    }

    fn run(&self, sandbox: Option<&str>, thread: Option<&str>) -> RunRef {
        let sandbox = SandboxId::new(sandbox.unwrap_or_default()).unwrap();
        RunRef::new(
            AGENT,
            sandbox,
            ThreadId::new(thread.unwrap_or_default()).unwrap(),
        )
    }

    fn started(&mut self, result: Result<Started, StartError>) -> Verdict {
        let background = matches!(self.schedule.beginning, Beginning::Background { .. });
        match result {
            Ok(started) => {
                self.world
                    .note(|| format!("⇒ started in {}", started.run.thread_id));
                if self.world.relay.ours().is_none() {
                    return violation(Rule::End, "a run is reported as started that has not");
                }
                self.sandbox = Some(started.run.sandbox_id.to_string());
                self.thread = Some(started.run.thread_id.to_string());
                let run = started.run;
                if background {
                    let at = self.world.now + self.schedule.joins_after;
                    self.follower = Follower::Joining(at, run);
                } else {
                    self.read(run, true);
                }
            }
            Err(error) => {
                self.world.note(|| format!("⇒ not started: {error}"));
                self.world.tally.ended(Ending::NotStarted);
                self.world.close(Actor::Follower, Slot::Stream);
                self.check_created(&error)?;
                self.follower = Follower::Over;
                // It may have started all the same; a process with the ids can join it.
                let ours = self
                    .world
                    .relay
                    .our_thread()
                    .map(|thread| thread.id.clone());
                match (&self.sandbox, &self.thread, &self.schedule.user_message_id) {
                    (Some(_), Some(thread), Some(id)) if ours.as_ref() == Some(thread) => {
                        let run = self
                            .run(self.sandbox.as_deref(), self.thread.as_deref())
                            .user_message_id(id.clone());
                        let at = self.world.now + self.schedule.joins_after;
                        self.follower = Follower::Joining(at, run);
                    }
                    _ => {
                        // Without the reference of the run there is nothing to cancel.
                        self.canceller =
                            match std::mem::replace(&mut self.canceller, Canceller::Over) {
                                cancelling @ Canceller::Cancelling(..) => cancelling,
                                _ => Canceller::Over,
                            };
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that the error names exactly the resources that exist.
    fn check_created(&self, error: &StartError) -> Verdict {
        let facts = &self.world.relay.facts;
        let created = &error.created;
        if let Some(sandbox) = &created.sandbox_id
            && !facts
                .sandboxes_created
                .iter()
                .any(|created| *sandbox == created.as_str())
        {
            return violation(
                Rule::SecondCost,
                "a sandbox is reported as created that was not",
            );
        }
        if let Some(thread) = &created.thread_id
            && !facts
                .threads_created
                .iter()
                .any(|created| *thread == created.as_str())
        {
            return violation(
                Rule::SecondCost,
                "a thread is reported as created that was not",
            );
        }
        Ok(())
    }

    fn read(&mut self, run: RunRef, is_open: bool) {
        self.thread = Some(run.thread_id.to_string());
        let options = self.schedule.options();
        let knows_user_message = run.user_message_id.is_some();
        let thread_id = run.thread_id.clone();
        let seed = self.rng.next();
        let flow = if is_open {
            run.follow().read(&options, seed).unwrap()
        } else {
            run.follow().join(&options, seed).unwrap()
        };
        let mut following = self.schedule.following.clone();
        following.joins = !is_open;
        self.judge = Some(Judge::new(
            Rc::clone(&self.schedule.script.truth),
            following,
            thread_id.to_string(),
            self.world.now,
            is_open,
            knows_user_message,
        ));
        let flow: Box<dyn Follows> = match self.plant {
            Some(Plant::OffByOne { twice }) => Box::new(OffByOne::new(flow, twice)),
            Some(Plant::Flush) => Box::new(Flush::new(flow)),
            Some(Plant::AnotherTurn) => Box::new(AnotherTurn::new(flow)),
            Some(Plant::Lie(lie)) => Box::new(Liar::new(flow, lie)),
            Some(Plant::ResumeWrongThread) => {
                Box::new(WrongThread::new(flow, thread_id.to_string()))
            }
            _ => Box::new(flow),
        };
        self.follower = Follower::Following(flow, None);
    }

    // ---- Cancelling it beside

    fn cancel(&mut self) -> Verdict {
        loop {
            self.count_step()?;
            let now = self.world.clock();
            match &mut self.canceller {
                Canceller::Before(at) if self.thread.is_some() && *at <= self.world.now => {
                    let sandbox = SandboxId::new(self.sandbox.clone().unwrap_or_default()).unwrap();
                    let thread = ThreadId::new(self.thread.clone().unwrap_or_default()).unwrap();
                    let options = twentyfirst_protocol::CallOptions::new();
                    let mut run = RunRef::new(AGENT, sandbox, thread);
                    if let Some(id) = &self.schedule.user_message_id {
                        run = run.user_message_id(id.clone());
                    }
                    let flow = run.cancel(&options, self.rng.next()).unwrap();
                    let flow: Cancel = match self.plant {
                        Some(Plant::CancelWrongThread) => Box::new(WrongThread::new(
                            flow,
                            self.thread.clone().unwrap_or_default(),
                        )),
                        _ => Box::new(flow),
                    };
                    self.canceller = Canceller::Cancelling(flow, None);
                }
                Canceller::Cancelling(flow, until) => match advance(
                    &mut **flow,
                    now,
                    &mut Line(&mut self.world, Actor::Canceller),
                ) {
                    Advanced::Item(never) => match never {},
                    Advanced::Waits { until: moment } => {
                        *until = moment;
                        self.world.has_decided(Actor::Canceller);
                        return Ok(());
                    }
                    Advanced::Done(result) => {
                        self.world.note(|| format!("⇒ cancelling: {result:?}"));
                        self.canceller = Canceller::Over;
                        self.world.close(Actor::Canceller, Slot::Exchange);
                        self.world.has_decided(Actor::Canceller);
                        self.cancelled(&result)?;
                    }
                },
                _ => return Ok(()),
            }
        }
    }

    /// Checks that the result of cancelling is true.
    fn cancelled(&mut self, result: &Result<Cancelled, CancelError>) -> Verdict {
        let relay = &self.world.relay;
        let phase = relay.our_phase();
        let (ending, is_true) = match result {
            Ok(cancelled) if cancelled.status == CancelStatus::Cancelled => {
                (Ending::CancelCancelled, phase == Some(Phase::Cancelled))
            }
            // Before it had begun, when it was over, or when its thread was gone.
            Ok(_) => (
                Ending::CancelIdle,
                self.world.listed(Actor::Canceller) != Some("streaming")
                    || relay.our_sandbox_is_deleted(),
            ),
            Err(CancelError::AnotherRun { thread_id, .. }) => (
                Ending::CancelAnother,
                self.thread.as_deref() != Some(thread_id.as_str()),
            ),
            Err(CancelError::Starting) => (Ending::CancelStarting, true),
            Err(_) => (Ending::CancelFailed, true),
        };
        self.world.tally.ended(ending);
        if is_true {
            return Ok(());
        }
        violation(
            Rule::End,
            format!("cancelling came to {result:?}, but the run is {phase:?}"),
        )
    }

    // ---- What no flow may have done

    fn check_relay(&self) -> Verdict {
        let relay = &self.world.relay;
        if let Some(request) = relay.facts.unexpected.first() {
            return violation(Rule::SecondCost, format!("unneeded request: {request}"));
        }
        let other = |runs: &[usize]| runs.iter().any(|run| Some(*run) != relay.our_id());
        if other(&relay.facts.cancelled) {
            return violation(Rule::AnotherRun, "another run was cancelled");
        }
        if self.world.posts > 1 || relay.facts.posts > 1 {
            return violation(Rule::SecondCost, "the messages were sent twice");
        }
        if relay.facts.sandboxes_created.len() > 1 || self.world.creations > 1 {
            return violation(Rule::SecondCost, "a second sandbox was created");
        }
        Ok(())
    }

    fn check_cost(&self) -> Verdict {
        let facts = &self.world.relay.facts;
        match facts.sandboxes_deleted.first() {
            Some(_) if facts.posts > 0 => violation(
                Rule::SecondCost,
                "a sandbox was deleted in which there is a run",
            ),
            Some(deleted) if !facts.sandboxes_created.contains(deleted) => violation(
                Rule::SecondCost,
                "a sandbox was deleted that was not created",
            ),
            _ => Ok(()),
        }
    }
}

/// The access of an actor to the network.
struct Line<'w>(&'w mut World, Actor);

impl Io for Line<'_> {
    fn send(&mut self, send: SendRequest) {
        self.0.send(self.1, send);
    }

    fn close(&mut self, slot: Slot) {
        self.0.close(self.1, slot);
    }
}

/// Passes an event to a flow.
fn tell<F: Flow + ?Sized>(flow: &mut F, slot: Slot, handed: Handed) {
    let event = match handed {
        Handed::Response { head, body, .. } => Event::Response { slot, head, body },
        Handed::Opened(head) => Event::Response {
            slot,
            head,
            body: Bytes::new(),
        },
        Handed::Data(data, _) => Event::Data(data),
        Handed::End => Event::End,
        Handed::Failure(sent) => {
            let source = match sent {
                Sent::No => "no connection",
                Sent::Maybe => "connection reset",
            };
            Event::Failure(slot, Failure::new(sent, source))
        }
    };
    flow.handle(event);
}

fn describe(event: &RunEvent) -> String {
    match event {
        RunEvent::Chunk(chunk) => chunk.encode(),
        other => format!("{other:?}"),
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.why)
    }
}
