use std::collections::HashMap;

use crate::ui::{Part, Text, ToolPart};

/// A part of a tool call, and its relation to other parts of the same call.
pub(super) struct Tool<'p> {
    pub(super) at: usize,
    pub(super) part: &'p ToolPart,
    /// The index at which the next step begins, or the message ends.
    pub(super) step_end: usize,
    /// Whether an earlier part of its step has the same id. During the step, results change that one.
    pub(super) is_second: bool,
    /// The later part of its step with the same id, by its index among the tools.
    pub(super) second: Option<usize>,
    /// The previous part with this id, by its index among the tools, if both are dynamic and in different steps.
    pub(super) before: Option<usize>,
}

/// Returns all tool calls of a message.
pub(super) fn tools(parts: &[Part]) -> Vec<Tool<'_>> {
    let mut tools: Vec<Tool<'_>> = Vec::new();
    let mut in_step: HashMap<&Text<'static>, usize> = HashMap::new();
    let mut dynamic: HashMap<&Text<'static>, usize> = HashMap::new();
    let mut step = 0;
    let end_step = |step: usize, end: usize, tools: &mut [Tool<'_>]| {
        let of_step = tools.iter_mut().rev().take_while(|tool| tool.at >= step);
        of_step.for_each(|tool| tool.step_end = end);
    };
    for (at, part) in parts.iter().enumerate() {
        if let Part::StepStart(_) = part {
            end_step(step, at, &mut tools);
            step = at;
            in_step.clear();
        }
        let Some(part) = part.as_tool() else {
            continue;
        };
        let (id, number) = (&part.tool_call_id, tools.len());
        let before = match part.dynamic {
            true => dynamic.insert(id, number),
            false => None,
        };
        let first = in_step.get(id).copied();
        match first.and_then(|first| tools.get_mut(first)) {
            Some(first) => first.second = Some(number),
            None => {
                in_step.insert(id, number);
            }
        }
        tools.push(Tool {
            at,
            part,
            step_end: parts.len(),
            is_second: first.is_some(),
            second: None,
            before: before.filter(|before| tools.get(*before).is_some_and(|tool| tool.at < step)),
        });
    }
    end_step(step, parts.len(), &mut tools);
    tools
}
