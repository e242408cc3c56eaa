use std::collections::BTreeSet;

use super::by_text::ByText;
use crate::ui::{DataPart, Part, Text, ToolPart};

/// Where the parts of a message are found again, without a walk through the message for each chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The first part of the current step; what is before it belongs to earlier steps.
    step_start: usize,
    step_tools: ByText<StepTools>,
    /// All parts of a call, in order.
    tools: ByText<Vec<usize>>,
    approvals: ByText<BTreeSet<usize>>,
    /// By name and id.
    data: ByText<ByText<usize>>,
}

/// The first parts of a call in the current step.
#[derive(Clone, Copy, Debug, Default)]
struct StepTools {
    any: Option<usize>,
    fixed: Option<usize>,
    dynamic: Option<usize>,
}

impl Index {
    pub(super) fn of(parts: &[Part]) -> Self {
        let mut index = Self::default();
        for (at, part) in parts.iter().enumerate() {
            index.added(at, part);
        }
        index
    }

    /// The first part of the current step.
    pub(super) fn step_start(&self) -> usize {
        self.step_start
    }

    /// A step begins, before any part of it is there.
    pub(super) fn begin_step(&mut self, step_start: usize) {
        self.step_start = step_start;
        self.step_tools = ByText::default();
    }

    pub(super) fn added(&mut self, at: usize, part: &Part) {
        match part {
            Part::StepStart(_) => self.begin_step(at + 1),
            Part::Tool(part) => {
                self.tools.entry(&part.tool_call_id).push(at);
                let step = self.step_tools.entry(&part.tool_call_id);
                let of_kind = if part.dynamic {
                    &mut step.dynamic
                } else {
                    &mut step.fixed
                };
                of_kind.get_or_insert(at);
                step.any.get_or_insert(at);
                self.approval_added(at, part);
            }
            Part::Data(DataPart {
                name, id: Some(id), ..
            }) => {
                let by_id = self.data.entry(name);
                if by_id.get(id).is_none() {
                    by_id.insert(id, at);
                }
            }
            _ => {}
        }
    }

    /// The parts of the current step are taken away.
    pub(super) fn removed(&mut self, at: usize, part: &Part) {
        self.step_tools = ByText::default();
        match part {
            Part::Tool(part) => {
                if let Some(all) = self.tools.get_mut(&part.tool_call_id) {
                    all.truncate(all.partition_point(|&other| other < at));
                    if all.is_empty() {
                        self.tools.remove(&part.tool_call_id);
                    }
                }
                self.approval_removed(at, part);
            }
            Part::Data(DataPart {
                name, id: Some(id), ..
            }) => {
                if let Some(by_id) = self.data.get_mut(name)
                    && by_id.get(id) == Some(&at)
                {
                    by_id.remove(id);
                }
            }
            _ => {}
        }
    }

    pub(super) fn approval_added(&mut self, at: usize, part: &ToolPart) {
        if let Some(approval) = &part.approval {
            self.approvals.entry(&approval.id).insert(at);
        }
    }

    pub(super) fn approval_removed(&mut self, at: usize, part: &ToolPart) {
        let Some(approval) = &part.approval else {
            return;
        };
        if let Some(parts) = self.approvals.get_mut(&approval.id) {
            parts.remove(&at);
            if parts.is_empty() {
                self.approvals.remove(&approval.id);
            }
        }
    }

    /// The part of a call in the current step that is dynamic, or is not.
    pub(super) fn tool_in_step(&self, tool_call_id: &Text<'_>, dynamic: bool) -> Option<usize> {
        let step = self.step_tools.get(tool_call_id)?;
        if dynamic { step.dynamic } else { step.fixed }
    }

    /// The first part of a call in the current step.
    pub(super) fn any_tool_in_step(&self, tool_call_id: &Text<'_>) -> Option<usize> {
        self.step_tools.get(tool_call_id)?.any
    }

    /// The part of a call: the first in the current step, else the last before it.
    pub(super) fn tool(&self, tool_call_id: &Text<'_>) -> Option<usize> {
        self.any_tool_in_step(tool_call_id)
            .or_else(|| self.tools.get(tool_call_id)?.last().copied())
    }

    /// A part of the current step changes between dynamic and not.
    pub(super) fn kind_changed(&mut self, at: usize, part: &ToolPart) {
        let step = self.step_tools.entry(&part.tool_call_id);
        let (to, from) = if part.dynamic {
            (&mut step.dynamic, &mut step.fixed)
        } else {
            (&mut step.fixed, &mut step.dynamic)
        };
        *to = Some(at);
        if *from == Some(at) {
            *from = None;
        }
    }

    /// The first part that asks for this approval.
    pub(super) fn approval(&self, approval_id: &Text<'_>) -> Option<usize> {
        self.approvals.get(approval_id)?.first().copied()
    }

    /// The first data part of this name and id.
    pub(super) fn data(&self, name: &Text<'_>, id: &Text<'_>) -> Option<usize> {
        self.data.get(name)?.get(id).copied()
    }
}
