use std::collections::HashMap;

use super::history::{Next, is_continued, may_have_begun, text_of, written_in};
use super::tools::Tool;
use crate::ui::Text;

/// The inputs of dynamic tools that were continued in parts of later steps, and the text written in each part.
///
/// All indices count the tools of the message.
pub(super) struct Inputs {
    /// For each part whose input continues in a later part: the later part.
    next: HashMap<usize, usize>,
    /// For each part that continues an input: the text written in it.
    more: HashMap<usize, Text<'static>>,
    /// For each part in which such an input began: the text written in it.
    begun: HashMap<usize, Text<'static>>,
}

impl Inputs {
    pub(super) fn of(tools: &[Tool<'_>]) -> Self {
        let mut inputs = Self {
            next: HashMap::new(),
            more: HashMap::new(),
            begun: HashMap::new(),
        };
        for (number, tool) in tools.iter().enumerate() {
            if let Some(before) = begun_before(tool, tools) {
                inputs.next.insert(before, number);
                inputs.more.insert(number, Text::default());
            }
        }
        // Go backwards: the text at the end of a part is a prefix of the text at the end of the next one.
        let mut texts: HashMap<usize, Vec<u16>> = HashMap::new();
        for (number, tool) in tools.iter().enumerate().rev() {
            let is_continued = inputs.more.contains_key(&number);
            let Some(next) = inputs.next.get(&number) else {
                if is_continued {
                    texts.insert(number, units(&text_of(tool.part)));
                }
                continue;
            };
            let later = texts.remove(next).unwrap_or_default();
            let (text, more) = if is_continued {
                let text = common(&units(&text_of(tool.part)), &later);
                let more = later.get(text.len()..).unwrap_or_default();
                (text, more.to_vec())
            } else if let Some(written) = written_in(tool.part) {
                split_written(units(&written), &later)
            } else {
                (later, Vec::new())
            };
            inputs.more.insert(*next, Text::from_code_units(&more));
            if is_continued {
                texts.insert(number, text);
            } else {
                inputs.begun.insert(number, Text::from_code_units(&text));
            }
        }
        inputs
    }

    /// Returns the text written in this part, if it continues an input.
    pub(super) fn more(&self, number: usize) -> Option<&Text<'static>> {
        self.more.get(&number)
    }

    /// Returns the part that continues the input that began in this part, if there is one.
    pub(super) fn next<'t>(&'t self, number: usize, tools: &'t [Tool<'_>]) -> Option<Next<'t>> {
        let text = self.begun.get(&number)?;
        let next = tools.get(*self.next.get(&number)?)?;
        Some(Next {
            part: next.part,
            text,
        })
    }
}

/// Returns the last earlier part in which the input may have begun, if this part continues one.
fn begun_before(tool: &Tool<'_>, tools: &[Tool<'_>]) -> Option<usize> {
    if !is_continued(tool.part) {
        return None;
    }
    let mut before = tool.before;
    while let Some(number) = before {
        let tool_before = tools.get(number)?;
        if may_have_begun(tool_before.part, tool.part) {
            return before;
        }
        before = tool_before.before;
    }
    None
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Returns the common prefix of two texts. U+FFFD at the end of the first stands for half a surrogate pair, if the second has a
/// pair there.
fn common(one: &[u16], two: &[u16]) -> Vec<u16> {
    let pairs = one.iter().zip(two);
    let mut common: Vec<u16> = pairs
        .take_while(|(one, two)| one == two)
        .map(|(unit, _)| *unit)
        .collect();
    let (one, two) = (one.get(common.len()), two.get(common.len()));
    if let (Some(0xfffd), Some(half @ 0xd800..0xdc00)) = (one, two) {
        common.push(*half);
    }
    common
}

/// Returns the text that was written, and the text to append, so that both together read as this value.
fn split_written(written: Vec<u16>, value: &[u16]) -> (Vec<u16>, Vec<u16>) {
    let is_space = |unit: &u16| matches!(*unit, 0x09 | 0x0a | 0x0d | 0x20);
    let space = written.iter().take_while(|unit| is_space(unit)).count();
    for skipped in [0, space] {
        let (before, rest) = written.split_at(skipped);
        let common = common(rest, value);
        if common.len() == rest.len() {
            let more = value.get(common.len()..).unwrap_or_default();
            return ([before, &common].concat(), more.to_vec());
        }
    }
    // The value does not continue this text, so nothing can be appended.
    (written, Vec::new())
}
