//! Follows runs on random schedules against a simulated relay, and checks the guarantees for a user, whatever the network does.
//!
//! Each schedule is a number. It decides the agent's script ([`truth`]), who else is in the sandbox, how the run is begun and
//! followed ([`schedule`]), the faults of the network ([`world`]), and the habits of the relay ([`relay`]). The real flows run
//! against it in virtual time ([`driver`]), and their output is compared with the truth at every step ([`judge`], which explains
//! the rules).
//!
//! If a schedule breaks a rule, its seed, the flow's last transition and its events are printed, with as few faults as still break
//! the rule. `SIMULATION_SEED=n` plays that one; `SIMULATION_RUNS=n` plays another number than 2,000, and `SIMULATION_FIRST=n`
//! begins with another seed than 0. New ranges prove more than the ones that are played each time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alignment;
mod driver;
mod faults;
mod judge;
mod planted;
mod relay;
mod rng;
mod schedule;
mod truth;
mod world;

use std::env;

use crate::driver::{play, play_schedule, shrunk};
use crate::faults::Tally;
use crate::judge::{Rule, Violation};
use crate::planted::{Lie, Plant};

/// The number of schedules that are played by default, by both halves together.
const RUNS: u64 = 2_000;

/// The number of schedules that contain every kind of fault and of end.
const ENOUGH: u64 = 20_000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Plays every second schedule, so that two tests use two cores.
fn every_second_schedule(first: u64) {
    if let Some(seed) = number("SIMULATION_SEED") {
        if seed % 2 == first {
            replay(seed);
        }
        return;
    }
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let from = number("SIMULATION_FIRST").unwrap_or(0);
    println!("the schedules {from} to {}", from + runs.saturating_sub(1));
    let mut tally = Tally::new();
    let mut broken: Vec<(u64, Violation)> = Vec::new();
    for seed in (from..from + runs).filter(|seed| seed % 2 == first) {
        let report = play(seed, None, false);
        tally.add(&report.tally);
        broken.extend(report.verdict.err().map(|violation| (seed, violation)));
    }
    println!("{tally}");
    if let Some((seed, _)) = broken.first() {
        for (seed, violation) in &broken {
            println!(
                "schedule {seed}: {}",
                violation.to_string().lines().next().unwrap_or_default()
            );
        }
        println!(
            "{} schedules break a rule; this is the first:",
            broken.len()
        );
        replay(*seed);
    }
    if runs >= ENOUGH {
        assert_eq!(
            tally.missing(),
            Vec::<&str>::new(),
            "these faults or ends never occurred"
        );
    }
}

/// Plays one schedule and prints its events: with as few faults as break the same rule, if one is broken.
fn replay(seed: u64) {
    let schedule = shrunk(seed, None);
    println!("{schedule:#?}");
    let report = play_schedule(schedule, None, true);
    println!("{}", report.trace.join("\n"));
    if let Err(violation) = report.verdict {
        panic!("schedule {seed} (SIMULATION_SEED={seed} plays it again): {violation}");
    }
}

#[test]
fn a_run_survives_the_even_schedules() {
    every_second_schedule(0);
}

#[test]
fn a_run_survives_the_odd_schedules() {
    every_second_schedule(1);
}

/// Plays schedules with a planted fault until the judge finds this rule broken. The schedule must break none without the fault.
fn is_found(plant: Plant, rule: Rule) {
    for seed in 0..20_000 {
        let Err(violation) = play(seed, Some(plant), false).verdict else {
            continue;
        };
        assert_eq!(
            violation.rule, rule,
            "{plant:?} in schedule {seed}: {violation}"
        );
        assert!(
            play(seed, None, false).verdict.is_ok(),
            "schedule {seed} by itself"
        );
        println!("{plant:?} is found in schedule {seed}: {violation}");
        let simplest = play_schedule(shrunk(seed, Some(plant)), Some(plant), false);
        let found = simplest.verdict.map_err(|violation| violation.rule);
        assert_eq!(found, Err(rule), "the shrunk schedule breaks the same rule");
        return;
    }
    panic!("{plant:?} is not found");
}

#[test]
fn a_character_lost_after_a_replay_is_found() {
    is_found(Plant::OffByOne { twice: false }, Rule::Content);
}

#[test]
fn a_character_repeated_after_a_replay_is_found() {
    is_found(Plant::OffByOne { twice: true }, Rule::Content);
}

#[test]
fn resuming_the_wrong_thread_is_found() {
    is_found(Plant::ResumeWrongThread, Rule::AnotherRun);
}

#[test]
fn cancelling_the_wrong_thread_is_found() {
    is_found(Plant::CancelWrongThread, Rule::AnotherRun);
}

#[test]
fn messages_sent_twice_are_found() {
    is_found(Plant::SecondPost, Rule::SecondCost);
}

#[test]
fn unclear_content_that_is_delivered_at_the_end_is_found() {
    is_found(Plant::Flush, Rule::Content);
}

#[test]
fn a_status_that_the_relay_did_not_report_is_found() {
    is_found(Plant::Lie(Lie::Status), Rule::Events);
}

#[test]
fn an_untrue_end_is_found() {
    is_found(Plant::Lie(Lie::End), Rule::End);
}

#[test]
fn a_missing_end_is_found() {
    is_found(Plant::Lie(Lie::NoEnd), Rule::Endless);
}

#[test]
fn a_message_that_lacks_a_chunk_is_found() {
    is_found(Plant::Lie(Lie::Message), Rule::Disappeared);
}

#[test]
fn a_second_finish_is_found() {
    is_found(Plant::Lie(Lie::Finish), Rule::Twice);
}

#[test]
fn an_answer_to_another_turn_is_found() {
    is_found(Plant::AnotherTurn, Rule::FinalMessage);
}
