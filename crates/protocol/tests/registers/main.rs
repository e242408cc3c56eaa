//! Runs of several instances on random schedules: every end is reported, whichever instance dies.
//!
//! Each schedule is a number. It decides which runs begin where and how long they take, which instances are killed, suspended,
//! drained and started, and how the store fails ([`world`]). The state machines of registers and the recorder run in virtual
//! time, and the results are checked against the rules ([`judge`], which explains them).
//!
//! `SIMULATION_SEED=n` plays one schedule and prints its events; `SIMULATION_RUNS=n` plays another number than 1,000, and
//! `SIMULATION_FIRST=n` begins with another than 0.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod judge;
mod machines;
mod plant;
#[path = "../simulation/rng.rs"]
#[allow(dead_code, reason = "the other simulation draws more")]
mod rng;
#[path = "../run_log/store.rs"]
#[allow(dead_code, reason = "the other simulation looks at more")]
mod store;
mod stories;
mod world;

use std::env;

use crate::judge::{Rule, Violation, judge};
use crate::plant::Plant;
use crate::world::World;

/// The number of schedules that are played by default.
const RUNS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn play(seed: u64, plant: Option<Plant>) -> (World, Result<(), Violation>) {
    let mut world = World::new(seed, plant);
    world.play();
    let verdict = judge(&world);
    (world, verdict)
}

#[test]
fn every_end_is_reported_in_every_schedule() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let (world, verdict) = play(seed, None);
        println!("{}", world.trace.join("\n"));
        return verdict.unwrap();
    }
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let from = number("SIMULATION_FIRST").unwrap_or(0);
    let broken: Vec<(u64, Violation)> = (from..from + runs)
        .filter_map(|seed| Some((seed, play(seed, None).1.err()?)))
        .collect();
    for (seed, violation) in broken.iter().take(20) {
        println!("schedule {seed}: {:?}: {}", violation.rule, violation.what);
    }
    if let Some((seed, violation)) = broken.first() {
        println!("{}", play(*seed, None).0.trace.join("\n"));
        panic!(
            "{} schedules break a rule; SIMULATION_SEED={seed} plays the first: {violation:?}",
            broken.len()
        );
    }
}

/// Plays schedules with a planted fault until one breaks one of these rules. The schedule must break none without the fault.
fn is_found(plant: Plant, rules: &[Rule]) {
    for seed in 0..20_000 {
        let Err(violation) = play(seed, Some(plant)).1 else {
            continue;
        };
        assert!(
            rules.contains(&violation.rule),
            "{plant:?} in schedule {seed}: {violation:?}"
        );
        assert!(play(seed, None).1.is_ok(), "schedule {seed} by itself");
        println!("{plant:?} is found in schedule {seed}: {violation:?}");
        return;
    }
    panic!("{plant:?} is not found");
}

#[test]
fn claiming_before_opening_is_found() {
    is_found(Plant::ClaimFirst, &[Rule::Told, Rule::NotBefore]);
}

#[test]
fn closing_before_reporting_is_found() {
    is_found(Plant::CloseFirst, &[Rule::Told]);
}

#[test]
fn taking_over_without_opening_is_found() {
    is_found(Plant::TakeOverUnopened, &[Rule::Told]);
}

#[test]
fn closing_without_a_claim_is_found() {
    is_found(Plant::CloseUnclaimed, &[Rule::Told]);
}

#[test]
fn a_place_that_is_not_recorded_is_found() {
    is_found(Plant::Unplaced, &[Rule::Told]);
}

#[test]
fn taking_over_what_is_recorded_is_found() {
    is_found(Plant::TakeOverAtOnce, &[Rule::Alive]);
}

#[test]
fn the_situations_of_the_rules_occur_often() {
    let words = [
        "is killed",
        "is stopped for",
        "is drained",
        "starts",
        "the store is down",
        "adopts",
        "takes over",
        "follows",
        "is told again",
        "finds that nothing had begun",
        "finds that another answers for",
        "Fenced",
        "Released",
        "vanishes",
        "goes on unsupervised",
    ];
    let traces: Vec<String> = (0..400)
        .map(|seed| play(seed, None).0.trace.join("\n"))
        .collect();
    for word in words {
        let count = traces.iter().filter(|trace| trace.contains(word)).count();
        println!("{word}: in {count} of 400 schedules");
        assert!(count >= 8, "{word}: in {count} of 400 schedules");
    }
}
