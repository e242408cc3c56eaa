//! Random schedules: scripts, faults, ways of following, cancels and neighbours, each with a relay of its own.
//!
//! By default they are the same each time. `FOLLOWING_SEED` makes others, or repeats those of a failure, and `FOLLOWING_RUNS` sets
//! their number. The timing depends on the machine, so a fault of the same seed may strike in another place.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::timeout;
use twentyfirst_client::protocol::ThreadId;
use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::runs::{CancelStatus, LostReason, MessageState, ResumeStream};
use twentyfirst_client::protocol::threads::{GetThread, ListThreads, ThreadStatus};
use twentyfirst_client::protocol::ui::chunk::{
    ReasoningDelta, ReasoningEnd, ReasoningStart, TextDelta, TextEnd, TextStart,
};
use twentyfirst_client::protocol::ui::{Text, UiMessage};
use twentyfirst_client::{Chunk, FollowPolicy, Outcome, Run, RunEnd, RunEvent, Session};
use twentyfirst_local_relay::{After, Agent, Fault};

use crate::support::{Scene, Told, ms, pause, read, relay};

const RUNS: u64 = 60;
const SEED: u64 = 8_209_602_313_408_074_159;
const AT_ONCE: usize = 10;

/// The faults. Each schedule has at least one of them, in turn.
const FAULTS: [&str; 16] = [
    "silence",
    "dead runtime",
    "cut after bytes",
    "cut after events",
    "cut after a time",
    "every stream cut",
    "ended",
    "malformed event",
    "not stored",
    "tail stored",
    "replay",
    "nothing to resume",
    "lists refused",
    "thread refused",
    "resume refused",
    "failing agent",
];

#[test]
fn nothing_is_lost_silently_or_delivered_twice() {
    let seed = number("FOLLOWING_SEED").unwrap_or(SEED);
    let runs = number("FOLLOWING_RUNS").unwrap_or(RUNS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut handles = Vec::new();
    // The slow ones first.
    let mut numbers: Vec<u64> = (0..runs).collect();
    numbers.sort_by_key(|number| number % FAULTS.len() as u64);
    for number in numbers {
        let permits = Arc::clone(&permits);
        handles.push((
            number,
            local.spawn_local(async move {
                let _permit = permits.acquire().await.unwrap();
                let schedule = Schedule::new(seed, number);
                let played = timeout(Duration::from_secs(25), schedule.play());
                played
                    .await
                    .unwrap_or_else(|_| Err(Failed::new("it does not end")))
            }),
        ));
    }
    let mut counts = BTreeMap::<String, u64>::new();
    let mut failures = Vec::new();
    local.block_on(&runtime, async {
        for (number, handle) in handles {
            match handle.await.unwrap() {
                Ok(counted) => {
                    for name in counted {
                        *counts.entry(name).or_default() += 1;
                    }
                }
                Err(failed) => {
                    let schedule = Schedule::new(seed, number);
                    failures.push(format!(
                        "schedule {number}: {}\n{schedule:#?}\n{}",
                        failed.why, failed.told
                    ));
                }
            }
        }
    });
    println!("{runs} schedules of seed {seed}:");
    for (name, count) in &counts {
        println!("{count:6} {name}");
    }
    assert!(
        failures.is_empty(),
        "{} of {runs} schedules failed; again: FOLLOWING_SEED={seed}\n{}",
        failures.len(),
        failures.join("\n")
    );
    if runs >= RUNS {
        let outcomes = ["completed", "cancelled", "failed", "lost"];
        for name in FAULTS.iter().chain(&outcomes) {
            assert!(
                counts.contains_key(*name),
                "none was {name}; again: FOLLOWING_SEED={seed}"
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

/// Splitmix64.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// The script of an agent.
#[derive(Debug, Clone)]
enum Step {
    Text(Vec<String>),
    Reasoning(Vec<String>),
    /// A pair of surrogates in two deltas, with words around it.
    Halves(String, String),
    Tools(Vec<(String, bool)>),
    Pause(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Wait,
    Live,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Here,
    Background,
    /// Followed from its stored row, after this many milliseconds.
    Elsewhere(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Neighbour {
    None,
    Older,
    Newer,
}

#[derive(Debug, Clone)]
struct Schedule {
    steps: Vec<Step>,
    /// Milliseconds before each delta.
    pace: u64,
    fails: bool,
    hold_back: u64,
    faults: Vec<(&'static str, Fault)>,
    way: Way,
    start: Start,
    cancel: Option<u64>,
    neighbour: Neighbour,
}

/// The reason why a schedule failed, and the events of its run.
struct Failed {
    why: String,
    told: String,
}

impl Failed {
    fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            told: String::new(),
        }
    }
}

impl Schedule {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Random(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let steps = steps(&mut random);
        let first = FAULTS[(number % FAULTS.len() as u64) as usize];
        let mut names = vec![first];
        // Some faults strike only after a cut.
        match first {
            "tail stored" | "replay" | "nothing to resume" | "resume refused" | "lists refused"
            | "thread refused" => names.push("cut after bytes"),
            _ => {}
        }
        let others = [
            "cut after bytes",
            "cut after events",
            "cut after a time",
            "ended",
            "malformed event",
            "replay",
        ];
        if random.one_in(2) {
            let other = others[random.below(others.len() as u64) as usize];
            if !names.contains(&other) {
                names.push(other);
            }
        }
        let must_resume = matches!(
            first,
            "tail stored" | "replay" | "nothing to resume" | "resume refused"
        );
        let way = match random.below(5) {
            _ if must_resume => Way::Live,
            _ if matches!(first, "lists refused" | "thread refused") => Way::Wait,
            0 | 1 => Way::Wait,
            2 | 3 => Way::Live,
            _ => Way::Off,
        };
        let must_be_here = matches!(
            first,
            "silence"
                | "cut after bytes"
                | "cut after events"
                | "cut after a time"
                | "every stream cut"
                | "ended"
                | "malformed event"
        );
        let start = match random.below(5) {
            _ if must_be_here || must_resume || names.contains(&"cut after bytes") => Start::Here,
            0 => Start::Background,
            1 => Start::Elsewhere(random.below(250)),
            _ => Start::Here,
        };
        let must_live = must_resume || matches!(first, "not stored" | "failing agent" | "silence");
        let cancel = (!must_live && random.one_in(4)).then(|| random.within(20, 350));
        let neighbour = match random.below(6) {
            // The fault could strike the neighbour's run instead.
            _ if must_resume || matches!(first, "not stored" | "dead runtime") => Neighbour::None,
            0 => Neighbour::Older,
            1 => Neighbour::Newer,
            _ => Neighbour::None,
        };
        let faults = names.iter();
        let faults = faults.filter_map(|name| Some((*name, fault(name, &mut random)?)));
        let faults = faults.collect();
        Self {
            pace: random.within(2, 9),
            fails: first == "failing agent",
            hold_back: [0, 0, 60, 300][random.below(4) as usize],
            faults,
            steps,
            way,
            start,
            cancel,
            neighbour,
        }
    }

    fn follow(&self) -> FollowPolicy {
        let follow = match self.way {
            Way::Wait => FollowPolicy::wait(),
            Way::Live => FollowPolicy::live(),
            Way::Off => FollowPolicy::off(),
        };
        let follow = follow.ask_after(ms(400));
        if !self.has("dead runtime") {
            return follow;
        }
        // A run that is only waited for is never silent: its deadline ends the wait.
        follow.lost_after(ms(4000)).deadline(ms(6000))
    }

    fn has(&self, name: &str) -> bool {
        self.faults.iter().any(|(fault, _)| *fault == name)
    }

    fn struck(&self, name: &str) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|(fault, struck)| *fault == name && struck.struck() > 0)
    }

    /// Plays the schedule. Returns the kinds of its result, for counting.
    async fn play(&self) -> Result<Vec<String>, Failed> {
        let schedule = self.clone();
        let agent = Agent::new(move |run: twentyfirst_local_relay::Run| {
            let schedule = schedule.clone();
            async move {
                if run.text() == "Neighbour" {
                    for _ in 0..30 {
                        run.say("neighbour ").await;
                        tokio::time::sleep(ms(30)).await;
                    }
                    return Ok(());
                }
                schedule.speak(&run).await;
                match schedule.fails {
                    true => Err("the agent fails".into()),
                    false => Ok(()),
                }
            }
        });
        let relay = relay().hold_back(ms(self.hold_back));
        let scene = Scene::of(relay.agent("narrator", agent), self.follow());
        let told = self.play_in(&scene).await;
        let mut faults: Vec<String> = Vec::new();
        for (name, fault) in &self.faults {
            if fault.struck() > 0 {
                faults.push((*name).to_owned());
            }
        }
        if self.fails {
            faults.push("failing agent".to_owned());
        }
        let (mut told, outcome) = told?;
        faults.append(&mut told);
        faults.push(outcome);
        // Dropping a relay waits for its thread, which would block the other schedules.
        tokio::task::spawn_blocking(move || drop(scene))
            .await
            .unwrap();
        Ok(faults)
    }

    async fn play_in(&self, scene: &Scene) -> Result<(Vec<String>, String), Failed> {
        let client = &scene.client;
        let threads = client.threads();
        let sandbox = client.sandboxes().create("narrator").await.unwrap();
        let session = Session::new("narrator").sandbox_id(&sandbox.id);
        let neighbour = async |name: Neighbour| {
            if self.neighbour != name {
                return None;
            }
            let run = session.run("Neighbour");
            Some(
                threads
                    .start(run)
                    .in_background()
                    .await
                    .unwrap()
                    .run
                    .thread_id,
            )
        };
        let older = neighbour(Neighbour::Older).await;
        let ours = threads.create(&sandbox.id).await.unwrap();
        let newer = neighbour(Neighbour::Newer).await;
        let session = session.thread_id(&ours.id);
        let chats = scene.sent.count("POST chat");
        // The runs of the neighbours should begin before the faults are added.
        if older.is_some() || newer.is_some() {
            pause(60).await;
        }
        for (_, fault) in &self.faults {
            scene.relay.inject(fault.clone());
        }

        // Without a look at the thread first: a fault that refuses lists would refuse that.
        let start = session.run("Speak").look_first(false);
        let mut run = match self.start {
            Start::Here => threads.start(start).await.unwrap(),
            Start::Background => {
                let started = threads.start(start).in_background().await.unwrap();
                threads.follow(started.run).unwrap()
            }
            Start::Elsewhere(after) => {
                threads.start(start).in_background().await.unwrap();
                pause(after).await;
                threads.follow(session.current_run().unwrap()).unwrap()
            }
        };
        let cancel = run.cancel();
        let cancel = async {
            pause(self.cancel?).await;
            Some(cancel.await)
        };
        let (cancelled, told) = tokio::join!(cancel, read(&mut run));
        let outcome = run.outcome().await;
        let fail = |why: String| Failed {
            why: format!("{why}; {outcome:?}, cancelled: {cancelled:?}"),
            told: format!("{told:#?}"),
        };

        // One chat POST and one sandbox.
        let chats = scene.sent.count("POST chat") - chats;
        if (chats, scene.sent.count("POST sandbox")) != (1, 1) {
            return Err(fail(format!("{chats} chats: {:?}", scene.sent)));
        }
        scene.relay.clear_faults();

        let is_cancelled = matches!(&cancelled, Some(Ok(cancelled)) if cancelled.status == CancelStatus::Cancelled);
        if let Some(Err(error)) = &cancelled {
            let other = error.other_run();
            let refuses = self.struck("lists refused") || self.struck("thread refused");
            let is_refused = refuses && error.status().is_some();
            if !(other.is_some() && other == newer.as_ref() || is_refused) {
                return Err(fail(format!("cancelling failed: {error}")));
            }
        }
        self.judge_told(&told).map_err(&fail)?;
        self.judge_end(scene, &mut run, &told, &outcome, is_cancelled)
            .await
            .map_err(&fail)?;

        // The neighbour's run is not affected.
        for thread in [older, newer].into_iter().flatten() {
            let thread: ThreadId = thread;
            let thread = scene.over(&sandbox.id, &thread).await;
            if thread.status != ThreadStatus::Completed {
                return Err(fail(format!("the neighbour is {}", thread.status)));
            }
        }

        let mut counted = vec![
            format!("{:?}", self.way),
            format!("{:?} message", outcome.message_state),
        ];
        counted.push(match self.start {
            Start::Here => "started here".to_owned(),
            Start::Background => "started in the background".to_owned(),
            Start::Elsewhere(_) => "started elsewhere".to_owned(),
        });
        if self.neighbour != Neighbour::None {
            counted.push(format!("{:?} neighbour", self.neighbour));
        }
        if told.pieces().len() > 1 {
            counted.push("with a gap".to_owned());
        }
        let end = match &outcome.end {
            RunEnd::Completed => "completed",
            RunEnd::Cancelled => "cancelled",
            RunEnd::Failed(_) => "failed",
            RunEnd::Lost(_) => "lost",
        };
        Ok((counted, end.to_owned()))
    }

    async fn speak(&self, run: &twentyfirst_local_relay::Run) {
        let keep_pace = async || tokio::time::sleep(ms(self.pace)).await;
        for (number, step) in self.steps.iter().enumerate() {
            let id = format!("part-{number}");
            match step {
                Step::Text(words) => {
                    run.send(TextStart::new(id.clone())).await;
                    for word in words {
                        keep_pace().await;
                        run.send(TextDelta::new(id.clone(), word.clone())).await;
                    }
                    run.send(TextEnd::new(id)).await;
                }
                Step::Reasoning(words) => {
                    run.send(ReasoningStart::new(id.clone())).await;
                    for word in words {
                        keep_pace().await;
                        run.send(ReasoningDelta::new(id.clone(), word.clone()))
                            .await;
                    }
                    run.send(ReasoningEnd::new(id)).await;
                }
                Step::Halves(before, after) => {
                    let units: Vec<u16> = "😀".encode_utf16().collect();
                    let half = |text: &str, unit: u16, is_first: bool| {
                        let mut units: Vec<u16> = text.encode_utf16().collect();
                        units.insert(if is_first { units.len() } else { 0 }, unit);
                        Text::from_code_units(&units)
                    };
                    run.send(TextStart::new(id.clone())).await;
                    run.send(TextDelta::new(id.clone(), half(before, units[0], true)))
                        .await;
                    run.send(TextDelta::new(id.clone(), half(after, units[1], false)))
                        .await;
                    run.send(TextEnd::new(id)).await;
                }
                Step::Tools(calls) => {
                    let mut open = Vec::new();
                    for (name, fails) in calls {
                        let call = run.call_tool("Bash", json!({ "command": name, "timeout": 5 }));
                        open.push((call.await, name, *fails));
                    }
                    keep_pace().await;
                    while let Some((call, name, fails)) = open.pop() {
                        match fails {
                            true => call.error(format!("{name} has failed")).await,
                            false => call.output(json!({ "stdout": name })).await,
                        }
                        keep_pace().await;
                    }
                }
                Step::Pause(milliseconds) => tokio::time::sleep(ms(*milliseconds)).await,
            }
        }
    }

    /// Returns the complete text and the complete reasoning.
    fn truth(&self) -> [String; 2] {
        let mut truth = [String::new(), String::new()];
        for step in &self.steps {
            match step {
                Step::Text(words) => truth[0] += &words.concat(),
                Step::Reasoning(words) => truth[1] += &words.concat(),
                Step::Halves(before, after) => truth[0] += &format!("{before}😀{after}"),
                Step::Tools(_) | Step::Pause(_) => {}
            }
        }
        truth
    }

    /// Checks that the delivered parts are in order and delivered once, and that parts are missing only at a gap.
    fn judge_told(&self, told: &Told) -> Result<(), String> {
        let truths = self.truth();
        let mut rest = [&truths[0][..], &truths[1][..]];
        let mut is_first = true;
        let mut calls = HashMap::<String, (u32, u32)>::new();
        let (mut starts, mut finishes) = (0, 0);
        let mut pieces = vec![[String::new(), String::new()]];
        for event in &told.0 {
            let chunk = match event {
                RunEvent::Gap => {
                    pieces.push([String::new(), String::new()]);
                    continue;
                }
                RunEvent::Chunk(chunk) => chunk,
                _ => continue,
            };
            if finishes > 0 {
                return Err(format!("after the end comes {chunk:?}"));
            }
            let last = pieces.last_mut().unwrap();
            match chunk {
                Chunk::TextDelta(delta) => last[0] += &delta.delta.to_string_lossy(),
                Chunk::ReasoningDelta(delta) => last[1] += &delta.delta.to_string_lossy(),
                Chunk::Start(_) => starts += 1,
                Chunk::Finish(_) => finishes += 1,
                Chunk::ToolInputAvailable(call) => {
                    calls
                        .entry(call.tool_call_id.to_string_lossy().into_owned())
                        .or_default()
                        .0 += 1;
                }
                Chunk::ToolOutputAvailable(call) => {
                    calls
                        .entry(call.tool_call_id.to_string_lossy().into_owned())
                        .or_default()
                        .1 += 1;
                }
                Chunk::ToolOutputError(call) => {
                    calls
                        .entry(call.tool_call_id.to_string_lossy().into_owned())
                        .or_default()
                        .1 += 1;
                }
                _ => {}
            }
        }
        for piece in &pieces {
            for (track, text) in piece.iter().enumerate() {
                let whole = rest[track];
                // Only half of a character may have come before or after a gap.
                let halves: &[char] = if is_first { &[] } else { &['\u{fffd}'] };
                let text = text.trim_matches(halves);
                let at = whole.find(text);
                let is_there = if is_first {
                    at == Some(0)
                } else {
                    at.is_some()
                };
                match at {
                    Some(at) if is_there => rest[track] = &whole[at + text.len()..],
                    _ => return Err(format!("{text:?} is not in the rest: {whole:?}")),
                }
            }
            is_first = false;
        }
        if starts > 1 {
            return Err(format!("the message began {starts} times"));
        }
        if let Some((id, (inputs, outputs))) = calls
            .iter()
            .find(|(_, (inputs, outputs))| *inputs > 1 || *outputs > 1)
        {
            return Err(format!(
                "call {id} came {inputs} times, its output {outputs} times"
            ));
        }
        Ok(())
    }

    async fn judge_end(
        &self,
        scene: &Scene,
        run: &mut Run,
        told: &Told,
        outcome: &Outcome,
        is_cancelled: bool,
    ) -> Result<(), String> {
        let thread = scene.thread(run).await;
        let stored = thread.ui_messages().last().cloned();
        let message = run.message_so_far().clone();
        let is_true = match &outcome.end {
            RunEnd::Completed => thread.status == ThreadStatus::Completed && !is_cancelled,
            // A run that has reported its failure can still be cancelled.
            RunEnd::Cancelled => thread.status == ThreadStatus::Cancelled && is_cancelled,
            RunEnd::Failed(_) => {
                thread.status == ThreadStatus::Error && (self.fails || self.struck("not stored"))
            }
            RunEnd::Lost(lost) => match lost.reason {
                LostReason::Cut => self.way == Way::Off,
                LostReason::Silence | LostReason::Deadline => self.struck("dead runtime"),
                _ => false,
            },
        };
        if !is_true {
            return Err(format!("the thread is {}", thread.status));
        }
        let is_completed = matches!(outcome.end, RunEnd::Completed);
        let has_gap = told.pieces().len() > 1;
        match outcome.message_state {
            MessageState::Whole => {
                if !is_completed || stored.as_ref() != Some(&message) {
                    return Err(format!("{message:#?}\nis not what is stored: {stored:#?}"));
                }
                if message.text() != self.truth()[0] {
                    return Err(format!("the text is not whole: {message:#?}"));
                }
                if !has_gap && told.text() != self.truth()[0] {
                    return Err("what was delivered is not whole, and nothing says so".to_owned());
                }
            }
            MessageState::StoredIncompletely => {
                if !is_completed || !self.struck("tail stored") {
                    return Err(format!("nothing was stored incompletely: {stored:#?}"));
                }
                holds_all(&message, told)?;
            }
            MessageState::Partial => {
                if is_completed {
                    return Err("it is complete".to_owned());
                }
                holds_all(&message, told)?;
            }
            other => return Err(format!("unexpected state: {other:?}")),
        }
        Ok(())
    }
}

/// Checks that delivered content never disappears from the message.
fn holds_all(message: &UiMessage, told: &Told) -> Result<(), String> {
    let text = message.text();
    match text == told.text() {
        true => Ok(()),
        false => Err(format!(
            "the message holds {text:?}, and this was delivered: {:?}",
            told.text()
        )),
    }
}

fn steps(random: &mut Random) -> Vec<Step> {
    const EMOJI: [&str; 4] = ["👩‍🚀", "🔭", "é", "日本"];
    let mut number = 0;
    let mut word = |random: &mut Random| {
        number += 1;
        match random.below(5) {
            0 => format!("{}{number} ", EMOJI[random.below(4) as usize]),
            _ => format!("word{number} "),
        }
    };
    let mut words =
        |random: &mut Random, count: u64| (0..count).map(|_| word(random)).collect::<Vec<_>>();
    // Long enough for every fault.
    let length = random.within(8, 16);
    let mut steps = vec![Step::Text(words(random, length))];
    for call in 0..random.within(2, 5) {
        let length = random.within(1, 9);
        steps.push(match random.below(6) {
            0 | 1 => Step::Text(words(random, length)),
            2 => Step::Reasoning(words(random, length)),
            3 => {
                let [before, after] = [words(random, 1), words(random, 1)];
                Step::Halves(before.concat(), after.concat())
            }
            _ => {
                let count = random.within(1, 3);
                Step::Tools(
                    (0..count)
                        .map(|tool| (format!("do-{call}-{tool}"), random.one_in(4)))
                        .collect(),
                )
            }
        });
        if random.one_in(2) {
            steps.push(Step::Pause(random.within(10, 250)));
        }
    }
    // So that a reader that is cut off at once can still reconnect.
    steps.push(Step::Pause(random.within(100, 500)));
    let length = random.within(3, 9);
    steps.push(Step::Text(words(random, length)));
    steps
}

fn fault(name: &str, random: &mut Random) -> Option<Fault> {
    let bytes = random.within(150, 900);
    let refuse = |random: &mut Random| {
        let statuses = [429, 500, 502, 503];
        let status = StatusCode::from_u16(statuses[random.below(4) as usize]).unwrap();
        let fault = Fault::refuse(status).times(random.within(1, 4));
        match random.below(3) {
            0 => fault.retry_after(Duration::from_secs(random.below(2))),
            _ => fault,
        }
    };
    Some(match name {
        "silence" => Fault::silence_after(bytes),
        "dead runtime" => Fault::dead_runtime_after(After::Events(random.within(2, 10))),
        "cut after bytes" => Fault::cut_after(bytes),
        "cut after events" => Fault::cut_after(After::Events(random.within(0, 12))),
        "cut after a time" => Fault::cut_after(ms(random.within(5, 100))),
        "every stream cut" => Fault::cut_after(ms(random.within(60, 150))).always(),
        "ended" => Fault::end_after(bytes),
        "malformed event" => {
            let data = ["{", "{}", "[1,2]", "{\"type\":5}"][random.below(4) as usize];
            Fault::event_after(After::Events(random.within(1, 10)), data)
        }
        "not stored" => Fault::fail_to_store(),
        "tail stored" => Fault::joined_reader_stores(),
        "replay" => Fault::replay_on_resume(),
        "nothing to resume" => Fault::nothing_on_resume(),
        "lists refused" => refuse(random).on::<ListThreads>(),
        "thread refused" => refuse(random).on::<GetThread>(),
        "resume refused" => refuse(random).on::<ResumeStream>(),
        _ => return None,
    })
}
