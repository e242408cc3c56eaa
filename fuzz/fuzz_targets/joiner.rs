//! The joined deltas of a part are the text of their joined code units, up to the end of the part.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::ui::chunk::{
    ReasoningDelta, ReasoningEnd, TextDelta, TextEnd, ToolInputAvailable, ToolInputDelta,
};
use twentyfirst_protocol::ui::{Chunk, Joiner, Text};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    Delta { kind: u8, id: u8, units: Vec<Unit> },
    End { kind: u8, id: u8 },
    Pass,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Unit {
    High,
    Low,
    Any(u16),
}

fn delta(kind: u8, id: String, text: Text<'static>) -> Chunk<'static> {
    match kind {
        0 => TextDelta::new(id, text).into(),
        1 => ReasoningDelta::new(id, text).into(),
        _ => ToolInputDelta::new(id, text).into(),
    }
}

fn end(kind: u8, id: String) -> Chunk<'static> {
    match kind {
        0 => TextEnd::new(id).into(),
        1 => ReasoningEnd::new(id).into(),
        _ => ToolInputAvailable::new(id, "tool").into(),
    }
}

/// The open parts: the code units that went in, and the text that came out.
#[derive(Default)]
struct Parts(HashMap<(u8, String), (Vec<u16>, String)>);

impl Parts {
    fn take_out(&mut self, chunks: impl Iterator<Item = Chunk<'static>>) -> usize {
        let mut others = 0;
        for chunk in chunks {
            let (kind, id, text) = match &chunk {
                Chunk::TextDelta(chunk) => (0, &chunk.id, &chunk.delta),
                Chunk::ReasoningDelta(chunk) => (1, &chunk.id, &chunk.delta),
                Chunk::ToolInputDelta(chunk) => (2, &chunk.tool_call_id, &chunk.input_text_delta),
                _ => {
                    others += 1;
                    continue;
                }
            };
            let text = text.as_str().expect("the joiner gives text");
            self.0
                .entry((kind, id.to_string()))
                .or_default()
                .1
                .push_str(text);
        }
        others
    }

    fn check(&mut self, key: &(u8, String)) {
        if let Some((units, text)) = self.0.remove(key) {
            assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut joiner = Joiner::new();
    let mut parts = Parts::default();
    for step in steps {
        match step {
            Step::Delta { kind, id, units } => {
                let units: Vec<u16> = units
                    .iter()
                    .map(|unit| match unit {
                        Unit::High => 0xd83d,
                        Unit::Low => 0xde00,
                        Unit::Any(unit) => *unit,
                    })
                    .collect();
                let (kind, id) = (kind % 3, (id % 3).to_string());
                let text = Text::from_code_units(&units);
                parts
                    .0
                    .entry((kind, id.clone()))
                    .or_default()
                    .0
                    .extend(units);
                let others = parts.take_out(joiner.push(delta(kind, id, text)));
                assert_eq!(others, 0);
            }
            Step::End { kind, id } => {
                let (kind, id) = (kind % 3, (id % 3).to_string());
                let others = parts.take_out(joiner.push(end(kind, id.clone())));
                assert_eq!(others, 1);
                parts.check(&(kind, id));
            }
            Step::Pass => assert_eq!(joiner.push(Chunk::StartStep).len(), 1),
        }
    }
    parts.take_out(joiner.finish());
    for key in parts.0.keys().cloned().collect::<Vec<_>>() {
        parts.check(&key);
    }
});
