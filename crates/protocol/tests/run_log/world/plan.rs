use std::time::Duration;

use super::{Browser, Event, World};
use crate::rng::Rng;

impl World {
    pub(super) fn plan(&mut self, rng: &mut Rng) {
        self.lossy = *rng.pick(&[0, 0, 3, 15]);
        if rng.percent(15) {
            let from = self.begun + rng.millis(0, 60_000);
            self.outages.push((from, from + rng.millis(100, 40_000)));
        }
        let mut posts = Vec::new();
        for turn in 0..rng.between(1, 2) {
            let base = turn * 150_000;
            for _ in 0..rng.between(1, 2) {
                let at = rng.millis(base, base + 300);
                let instance = rng.below(3);
                posts.push((instance, base));
                self.after(at, Event::Post(instance, turn));
            }
            // While the answer is given or awaited.
            for _ in 0..rng.between(0, 4) {
                let span = *rng.pick(&[300, 5_000, 40_000]);
                let at = rng.millis(base, base + span);
                self.after(at, Event::Post(rng.below(3), turn));
            }
            for _ in 0..rng.between(0, 3) {
                let browser = self.browsers.len();
                let instance = rng.below(3);
                let first = if rng.percent(40) {
                    rng.below(12) as u64
                } else {
                    0
                };
                self.browsers.push(Browser::new(instance, first));
                let span = *rng.pick(&[15_000, 100_000]);
                let at = rng.millis(base, base + span);
                self.after(at, Event::Attach(browser));
                if rng.percent(40) {
                    // The connection breaks, or the page is reloaded.
                    self.after(at + rng.millis(10, 20_000), Event::Attach(browser));
                }
            }
            if rng.percent(30) {
                let span = *rng.pick(&[2_000, 10_000, 60_000]);
                let at = rng.millis(base, base + span);
                self.after(at, Event::Stop(rng.below(3), 0));
            }
        }
        // The last browser makes sure that each run is watched.
        let watcher = self.browsers.len();
        self.browsers.push(Browser::new(2, 0));
        self.after(Duration::from_millis(400), Event::Attach(watcher));
        for _ in 0..rng.between(0, 3) {
            // Mostly where a run is recorded, and while it is.
            let (poster, base) = *rng.pick(&posts);
            let span = *rng.pick(&[500, 5_000, 20_000, 60_000]);
            let at = rng.millis(base, base + span);
            let instance = match rng.percent(75) {
                true => poster,
                false => rng.below(3),
            };
            let event = match rng.below(4) {
                0 => Event::Kill(instance),
                1 => Event::Drain(instance),
                _ => Event::Pause(instance, rng.millis(500, 60_000)),
            };
            self.after(at, event);
        }
        if rng.percent(7) {
            let span = *rng.pick(&[5_000, 20_000, 90_000]);
            self.after(rng.millis(0, span), Event::Evict);
        }
    }
}
