use std::collections::HashMap;

use super::history::{Next, is_continued, may_have_begun, text_of, written_in};
use super::tools::Tool;
use crate::ui::Text;

/// The inputs of dynamic tools that were continued in parts of later steps, and the texts written in each.
pub(super) struct Inputs {
    /// From the index of a tool to that of the one in which its input continues.
    next: HashMap<usize, usize>,
    /// From the index of a tool whose input continues from another part: the text written in this one.
    more: HashMap<usize, Text<'static>>,
    /// From the index of a tool whose input continues in another part: the text written there.
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
        // In reverse order: the text up to the end of a part is a prefix of the text of a later one.
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

    /// Returns the text written in the part of a tool, if its input continues from another.
    pub(super) fn more(&self, number: usize) -> Option<&Text<'static>> {
        self.more.get(&number)
    }

    /// Returns the part that continues the input begun in the part of a tool.
    pub(super) fn next<'t>(&'t self, number: usize, tools: &'t [Tool<'_>]) -> Option<Next<'t>> {
        let text = self.begun.get(&number)?;
        let next = tools.get(*self.next.get(&number)?)?;
        Some(Next {
            part: next.part,
            text,
        })
    }
}

/// Returns the last earlier part in which an input that continues in this one may have begun.
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

/// Returns the common prefix of two texts. The first may end with U+FFFD for half a surrogate pair whose other half the second
/// has.
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

/// Splits a text into the part written already and the rest that makes it read as this value.
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
    // No more can be read from it than before.
    (written, Vec::new())
}
