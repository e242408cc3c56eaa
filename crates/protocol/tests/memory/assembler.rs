//! Attacks on the memory of an assembler.

use std::fmt::Write as _;

use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk};

use crate::contents::{inputs, large_chunks, texts};
use crate::measure::{Growth, MIB, check};
use crate::parts::{data_and_metadata, small_parts};
use crate::run_each;

pub(crate) const LIMIT: usize = 16 * MIB;

/// The number of chunks of an attack that may never reach the limit.
pub(crate) const MOST: usize = 150_000;

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) lenient: bool,
    /// The number of chunks between two looks at the message.
    pub(crate) look: usize,
    pub(crate) first: &'static [&'static str],
    /// The number of chunks, unless the limit is reached before.
    pub(crate) most: usize,
    /// Returns the chunk with this index.
    pub(crate) next: fn(usize) -> String,
}

pub(crate) const ATTACK: Attack = Attack {
    name: "",
    lenient: false,
    look: 20_000,
    most: MOST,
    first: &[],
    next: |_| String::new(),
};

pub(crate) const TEXT: &str = r#"{"type":"text-start","id":"t"}"#;
pub(crate) const REASONING: &str = r#"{"type":"reasoning-start","id":"t"}"#;
pub(crate) const INPUT: &str = r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n"}"#;
pub(crate) const DYNAMIC: &str =
    r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n","dynamic":true}"#;
pub(crate) const INPUT_TEXT: &str =
    r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n","inputEncoding":"text"}"#;
pub(crate) const CALL: &str =
    r#"{"type":"tool-input-available","toolCallId":"c","toolName":"n","input":1}"#;

pub(crate) fn text_delta(delta: &str) -> String {
    format!(r#"{{"type":"text-delta","id":"t","delta":"{delta}"}}"#)
}

pub(crate) fn input_delta(delta: &str) -> String {
    format!(r#"{{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{delta}"}}"#)
}

pub(crate) fn metadata(value: &str) -> String {
    format!(r#"{{"type":"message-metadata","messageMetadata":{value}}}"#)
}

/// Returns this many members, all different from those of other numbers.
pub(crate) fn members(n: usize, count: usize) -> String {
    let mut members = String::new();
    for member in 0..count {
        let comma = if member > 0 { "," } else { "" };
        write!(members, r#"{comma}"{n}.{member}":1"#).unwrap();
    }
    members
}

fn attacks() -> Vec<Attack> {
    let mut attacks = small_parts();
    attacks.extend(data_and_metadata());
    attacks.extend(inputs());
    attacks.extend(texts());
    attacks.extend(large_chunks());
    attacks
}

#[test]
fn an_assembler_stays_within_its_limit() {
    let names = attacks().into_iter().map(|attack| attack.name);
    run_each("assembler::attack", names);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn attack() {
    let name = std::env::var("ATTACK").unwrap();
    let attack = attacks().into_iter().find(|attack| attack.name == name);
    let attack = attack.unwrap();
    let growth = Growth::begin();
    let mut assembler = Assembler::new().lenient(attack.lenient).with_limit(LIMIT);
    let fits = |assembler: &mut Assembler, data: &str| {
        let chunk = Chunk::decode(data).unwrap();
        assembler.apply(&chunk) != Err(AssembleError::TooLarge { limit: LIMIT })
    };
    for data in attack.first {
        assert!(fits(&mut assembler, data));
    }
    let most = attack.most;
    let mut applied = 0;
    while applied < most && fits(&mut assembler, &(attack.next)(applied)) {
        applied += 1;
        if applied % attack.look == 0 {
            assembler.message();
        }
    }
    assembler.message();
    let filled = growth.peak();
    let size = assembler.size();
    // Ten times as many chunks arrive, or twice as many bytes as the limit.
    let mut bytes = 0;
    for further in applied..11 * applied.min(MOST) {
        let data = (attack.next)(further);
        bytes += data.len();
        if bytes > 2 * LIMIT {
            break;
        }
        fits(&mut assembler, &data);
    }
    assembler.message();
    let peak = growth.peak();
    check(
        &name,
        LIMIT,
        peak,
        &format!(
            ", {:.2} when full after {applied} chunks, counted {:.2}, then {:.2}",
            filled as f64 / LIMIT as f64,
            size as f64 / LIMIT as f64,
            assembler.size() as f64 / LIMIT as f64,
        ),
    );
    assert!(assembler.size() <= LIMIT);
}
