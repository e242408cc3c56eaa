//! The relay: runs start, go on, and end.

use std::collections::VecDeque;
use std::time::Duration;

use twentyfirst_protocol::runs::{RunEnd, RunRef, StartRun};
use twentyfirst_protocol::ui::RawJson;
use twentyfirst_protocol::{SandboxId, ThreadId};

use super::{Event, Run, Source, World};
use crate::answer::{answer, end_of, rest};
use crate::plant::Plant;

impl World {
    /// Creates the place of a run: that of the chat if the application knows it, that of the previous turn, or a new one.
    pub(super) fn give_place(
        &mut self,
        instance: usize,
        at: usize,
        place: Option<RunRef>,
        carried: &[RawJson<'static>],
    ) {
        let run = self.instances[instance].recorders[at].run.clone();
        let carried = carried.iter().map(|ask| {
            let ask: StartRun = ask.deserialize().unwrap();
            ask.messages.as_slice()[0].text()
        });
        let carried: Vec<String> = carried.collect();
        if !carried.is_empty() {
            self.log(format!("{run} carries {carried:?} along"));
        }
        self.carried.insert(run.clone(), carried);
        let known = self.session.clone().or(place);
        let known = known.filter(|_| self.plant != Some(Plant::NewSandbox));
        let place = known.unwrap_or_else(|| {
            self.sandboxes += 1;
            run_ref(&run, self.sandboxes)
        });
        let place = place.user_message_id(run);
        let delay = self.rng.millis(1, 300);
        self.after(delay, Event::Placed(instance, at, place));
    }

    pub(super) fn placed(&mut self, instance: usize, at: usize, run: RunRef) {
        let recording = &mut self.instances[instance].recorders[at];
        recording.recorder.handle_placed(run);
        self.drive(instance, at);
    }

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
        if is_busy {
            self.overlaps.push(run.to_owned());
        } else {
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
            let Some(run) = recording.recorder.place().cloned() else {
                return;
            };
            self.session = Some(run.clone());
            recording.recorder.handle_started(run);
        } else {
            let end = RunEnd::Failed("the thread is streaming".to_owned());
            recording.recorder.handle_not_started(&end);
        }
        self.drive(instance, at);
    }

    /// Cancels the relay's run: no more chunks come.
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
        let (end, is_cancelled, chunks) = match self.runs.get(name) {
            Some(run) if self.now < run.ends => return,
            Some(run) => (
                end_of(run.is_cancelled),
                run.is_cancelled,
                run.chunks.clone(),
            ),
            None => {
                let end = RunEnd::Failed("it never began".to_owned());
                (end, false, Vec::new())
            }
        };
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
                        let rest = match is_cancelled || chunks.is_empty() {
                            // Neither a cancelled answer nor one that never began is stored.
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

fn run_ref(run: &str, sandbox: usize) -> RunRef {
    RunRef::new(
        "agent",
        SandboxId::new(format!("sb-{sandbox}")).unwrap(),
        ThreadId::new("th").unwrap(),
    )
    .user_message_id(run.to_owned())
}
