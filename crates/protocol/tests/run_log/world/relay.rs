//! The relay: runs start, go on, and end.

use std::collections::VecDeque;
use std::time::Duration;

use twentyfirst_protocol::runs::{RunEnd, RunRef};
use twentyfirst_protocol::{SandboxId, ThreadId};

use super::{Event, Run, Source, World};
use crate::answer::{answer, end_of, rest};

impl World {
    pub(super) fn start(&mut self, instance: usize, at: usize, run: &str) {
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

    pub(super) fn started(&mut self, instance: usize, at: usize, is_started: bool) {
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
    pub(super) fn cancel(&mut self, run: &str) {
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

    pub(super) fn run_over(&mut self, name: &str) {
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
}

fn run_ref(run: &str) -> RunRef {
    RunRef::new(
        "agent",
        SandboxId::new("sb").unwrap(),
        ThreadId::new("th").unwrap(),
    )
    .user_message_id(run.to_owned())
}
