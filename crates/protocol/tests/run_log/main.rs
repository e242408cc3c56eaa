//! Replays answers on random schedules with several instances, and checks the guarantees for a user, whatever happens to
//! instances, store and network.
//!
//! Each schedule is a number. It decides who posts, reads and stops where ([`world`]), the agent's answers ([`answer`]), and how
//! the store fails ([`store`]). The state machines of the run log run in virtual time, and the results are checked against the
//! rules ([`judge`], which explains them).
//!
//! `SIMULATION_SEED=n` plays one schedule and prints its events; `SIMULATION_RUNS=n` plays another number than 2,000, and
//! `SIMULATION_FIRST=n` begins with another than 0.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answer;
mod judge;
mod plant;
mod reader;
mod recorder;
#[path = "../simulation/rng.rs"]
#[allow(dead_code, reason = "the other simulation draws more")]
mod rng;
mod spending;
mod store;
mod watch;
mod world;

use std::env;

use twentyfirst_protocol::run_log::Logged;

use crate::judge::{Rule, Violation, judge};
use crate::plant::Plant;
use crate::world::World;

/// The number of schedules that are played by default.
const RUNS: u64 = 2_000;

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
fn an_answer_replays_in_every_schedule() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let (world, verdict) = play(seed, None);
        println!("{}", world.trace.join("\n"));
        for log in world.store.logs() {
            for (by, at, entry) in world.store.history(log) {
                println!("{log} {at} by {by}: {:?}", Logged::decode(&entry));
            }
        }
        for run in world.runs.keys() {
            for instance in &world.instances {
                if let Some(local) = instance.local.get(run) {
                    println!(
                        "local {:?}",
                        local
                            .entries
                            .iter()
                            .map(|e| e.0.to_string())
                            .collect::<Vec<_>>()
                    );
                }
            }
        }
        return verdict.unwrap();
    }
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let from = number("SIMULATION_FIRST").unwrap_or(0);
    println!("the schedules {from} to {}", from + runs.saturating_sub(1));
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

/// Plays schedules with a planted fault until one breaks a rule, which must be one of these. Without the fault, the schedule must
/// break none.
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
fn reading_before_claiming_is_found() {
    let rules = [Rule::Prefix, Rule::OneEnd, Rule::Carried, Rule::OnePost];
    is_found(Plant::ReadBeforeClaim, &rules);
}

#[test]
fn a_store_without_a_fence_is_found() {
    let rules = [Rule::Fence, Rule::OneEnd, Rule::OnePost];
    is_found(Plant::NoFence, &rules);
}

#[test]
fn a_stop_that_is_never_checked_is_found() {
    is_found(Plant::StopUnseen, &[Rule::Stop]);
}

#[test]
fn delivering_before_logging_is_found() {
    is_found(Plant::DeliverFirst, &[Rule::SeenIsLogged, Rule::Prefix]);
}

#[test]
fn a_turn_that_does_not_wait_is_found() {
    is_found(
        Plant::NotWaiting,
        &[Rule::Order, Rule::StoreFails, Rule::Stop],
    );
}

#[test]
fn a_place_that_nobody_sees_is_found() {
    is_found(Plant::PlaceUnseen, &[Rule::OnePost, Rule::Prefix]);
}

#[test]
fn a_replay_that_begins_too_late_is_found() {
    is_found(Plant::LateReplay, &[Rule::Replay]);
}

#[test]
fn a_log_that_nobody_takes_over_is_found() {
    is_found(Plant::NoSuccessor, &[Rule::Ends]);
}

#[test]
fn a_recorder_that_never_pauses_is_found() {
    is_found(Plant::FullRecorder, &[Rule::Limits]);
}

#[test]
fn a_sandbox_for_each_turn_is_found() {
    is_found(Plant::NewSandbox, &[Rule::OneSandbox]);
}

#[test]
fn a_stream_without_finish_is_found() {
    is_found(Plant::NoFinish, &[Rule::Finish]);
}

#[test]
fn the_situations_of_the_rules_occur_often() {
    let words = [
        "takes over",
        "goes on with",
        ": Fenced",
        ": Released",
        ": Busy",
        ": Gone",
        "finds that",
        "is cancelled at",
        "is killed",
        "vanishes",
        "Overflowed",
        "\"lost\"",
        "Missing",
        "comes again",
        ": Full",
        "along",
    ];
    let traces: Vec<String> = (0..500)
        .map(|seed| play(seed, None).0.trace.join("\n"))
        .collect();
    for word in words {
        let count = traces.iter().filter(|trace| trace.contains(word)).count();
        println!("{word}: in {count} of 500 schedules");
        assert!(count >= 10, "{word}: in {count} of 500 schedules");
    }
}
