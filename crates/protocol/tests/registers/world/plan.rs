//! The events of a schedule, derived from its seed.

use std::time::Duration;

use super::{Event, Run, World};
use crate::rng::Rng;

impl World {
    pub(super) fn plan(&mut self, rng: &mut Rng) {
        if rng.percent(20) {
            self.lossy = rng.between(1, 10);
        }
        let mut faults = Vec::new();
        for _ in 0..rng.between(0, 1) {
            let from = rng.millis(0, 60_000);
            let long = rng.millis(100, 40_000);
            self.outages
                .push((self.begun + from, self.begun + from + long));
            faults.push(from + long);
        }
        let mut posts = Vec::new();
        for number in 0..rng.between(1, 5) {
            let span = *rng.pick(&[300, 60_000]);
            let (at, instance) = (rng.millis(0, span), rng.below(3));
            let length = *rng.pick(&[2_000, 30_000, 120_000]);
            let run = format!("run-{number}");
            posts.push((at, instance, run.clone()));
            self.runs.insert(
                run.clone(),
                Run {
                    instance,
                    length: rng.millis(0, length),
                    starts: 0,
                    ends: None,
                    told: Vec::new(),
                    was_alone: false,
                    was_unplaced: false,
                    is_evicted: false,
                },
            );
            self.after(at, Event::Post(instance, run.clone()));
            if rng.percent(40) {
                let reader = rng.below(3);
                self.after(
                    at + rng.millis(10, 90_000),
                    Event::Read(reader, run.clone()),
                );
            }
            if rng.percent(6) {
                let at = at + rng.millis(0, 120_000);
                self.after(at, Event::Evict(run));
                faults.push(at);
            }
        }
        for _ in 0..rng.between(1, 4) {
            // Mostly where something begins or goes on.
            let (base, poster, _) = rng.pick(&posts).clone();
            let span = *rng.pick(&[30, 1_000, 20_000, 120_000]);
            let at = base + rng.millis(0, span);
            let instance = match rng.percent(70) {
                true => poster,
                false => rng.below(3),
            };
            let event = match rng.below(8) {
                0..=3 => Event::Kill(instance),
                4 => Event::Drain(instance),
                _ => {
                    let pause = rng.millis(500, 90_000);
                    faults.push(at + pause);
                    Event::Pause(instance, pause)
                }
            };
            faults.push(at);
            self.after(at, event);
            // The slow instance dies later, or another that has taken its place.
            if rng.percent(40) {
                let at = at + rng.millis(1_000, 150_000);
                let instance = match rng.percent(50) {
                    true => instance,
                    false => rng.below(3),
                };
                faults.push(at);
                self.after(at, Event::Kill(instance));
            }
        }
        let at = rng.millis(1_000, 200_000);
        self.after(at, Event::Start);
        let last = faults.into_iter().max().unwrap_or(Duration::ZERO);
        // An instance is left in every schedule.
        self.last_fault = self.begun + last.max(at);
        self.after(last.max(at) + Duration::from_millis(1), Event::Start);
    }
}
