use std::collections::BTreeSet;

use super::by_text::ByText;
use crate::ui::held::{entry, first_node};
use crate::ui::{DataPart, Part, Text, ToolPart};

/// An index of the parts of a message. Without it, each chunk would need a search through the whole message.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The index of the first part of the current step. Earlier parts belong to earlier steps.
    step_start: usize,
    tools: ByText<CallParts>,
    /// The parts of each approval, in order: a response changes the first one.
    approvals: ByText<BTreeSet<usize>>,
    /// The number of parts with an approval.
    approval_parts: usize,
    /// The data parts by name and id.
    data: ByText<usize>,
}

/// The parts of a call that chunks can still refer to.
///
/// They stay the same when a step begins: comparing a part's index with `step_start` shows whether the part is in the current step.
#[derive(Clone, Copy, Debug, Default)]
struct CallParts {
    /// The call's last part.
    last: usize,
    /// The first part that is not dynamic, in the step of the last part.
    fixed: Option<usize>,
    /// The first part that is dynamic, in the step of the last part.
    dynamic: Option<usize>,
    /// The last part before the step of the last part.
    before: Option<usize>,
}

impl CallParts {
    fn first_in_step(&self) -> Option<usize> {
        let firsts = [self.fixed, self.dynamic];
        firsts.into_iter().flatten().min()
    }
}

impl Index {
    pub(super) fn of(parts: &[Part]) -> Self {
        let mut index = Self::default();
        for (at, part) in parts.iter().enumerate() {
            index.added(at, part);
        }
        index
    }

    /// Returns the memory of the index in bytes.
    pub(super) fn held(&self) -> usize {
        let sets = self.approvals.len() * first_node(size_of::<usize>());
        self.tools.held()
            + self.approvals.held()
            + sets
            + self.approval_parts * entry(size_of::<usize>())
            + self.data.held()
    }

    /// Returns an upper bound for the additional memory of another call.
    pub(super) fn call_growth(&self, tool_call_id: &Text<'_>) -> usize {
        self.tools.growth(tool_call_id)
    }

    /// Returns an upper bound for the additional memory of another approval.
    pub(super) fn approval_growth(&self, approval_id: &Text<'_>) -> usize {
        let set = first_node(size_of::<usize>()) + entry(size_of::<usize>());
        self.approvals.growth(approval_id) + set
    }

    /// Returns an upper bound for the additional memory of other data.
    pub(super) fn data_growth(&self, name: &Text<'_>, id: &Text<'_>) -> usize {
        // For the key, and for the strings from which it is built.
        5 * self.data.growth(name) + 5 * self.data.growth(id)
    }

    /// Returns the first part of the current step.
    pub(super) fn step_start(&self) -> usize {
        self.step_start
    }

    /// Begins a step, before it has any part.
    pub(super) fn begin_step(&mut self, step_start: usize) {
        self.step_start = step_start;
    }

    pub(super) fn added(&mut self, at: usize, part: &Part) {
        match part {
            Part::StepStart(_) => self.begin_step(at + 1),
            Part::Tool(part) => {
                let step_start = self.step_start;
                let is_new = self.tools.get(&part.tool_call_id).is_none();
                let parts = self.tools.entry(&part.tool_call_id);
                // With the first part of the call in a step, its parts of earlier steps can only be found as `before`.
                if is_new || parts.last < step_start {
                    *parts = CallParts {
                        before: (!is_new).then_some(parts.last),
                        ..CallParts::default()
                    };
                }
                parts.last = at;
                let of_kind = if part.dynamic {
                    &mut parts.dynamic
                } else {
                    &mut parts.fixed
                };
                of_kind.get_or_insert(at);
                self.approval_added(at, part);
            }
            Part::Data(DataPart {
                name, id: Some(id), ..
            }) => {
                let key = data_key(name, id);
                // Only a message that is continued can have two such parts. As in the AI SDK, the first one is replaced.
                if self.data.get(&key).is_none() {
                    self.data.insert(&key, at);
                }
            }
            _ => {}
        }
    }

    /// Forgets a part of the current step, which is removed with all others of the step.
    pub(super) fn removed(&mut self, at: usize, part: &Part) {
        match part {
            Part::Tool(part) => {
                let id = &part.tool_call_id;
                // The first of several removed parts of a call restores its state before the step; then `last` is below `at`.
                if let Some(parts) = self.tools.get_mut(id).filter(|parts| parts.last >= at) {
                    match parts.before {
                        Some(last) => {
                            *parts = CallParts {
                                last,
                                ..CallParts::default()
                            };
                        }
                        None => {
                            self.tools.remove(id);
                        }
                    }
                }
                self.approval_removed(at, part);
            }
            Part::Data(DataPart {
                name, id: Some(id), ..
            }) => {
                let key = data_key(name, id);
                if self.data.get(&key) == Some(&at) {
                    self.data.remove(&key);
                }
            }
            _ => {}
        }
    }

    pub(super) fn approval_added(&mut self, at: usize, part: &ToolPart) {
        if let Some(approval) = &part.approval
            && self.approvals.entry(&approval.id).insert(at)
        {
            self.approval_parts += 1;
        }
    }

    pub(super) fn approval_removed(&mut self, at: usize, part: &ToolPart) {
        let Some(approval) = &part.approval else {
            return;
        };
        if let Some(parts) = self.approvals.get_mut(&approval.id) {
            self.approval_parts -= usize::from(parts.remove(&at));
            if parts.is_empty() {
                self.approvals.remove(&approval.id);
            }
        }
    }

    /// Returns the first part of a call in the current step that is dynamic, or the first that is not.
    pub(super) fn tool_in_step(&self, tool_call_id: &Text<'_>, dynamic: bool) -> Option<usize> {
        let parts = self.in_step(tool_call_id)?;
        if dynamic { parts.dynamic } else { parts.fixed }
    }

    /// Returns the first part of a call in the current step.
    pub(super) fn any_tool_in_step(&self, tool_call_id: &Text<'_>) -> Option<usize> {
        self.in_step(tool_call_id)?.first_in_step()
    }

    /// Returns the part of a call that results refer to: the first one in the current step, or else the last one before it.
    pub(super) fn tool(&self, tool_call_id: &Text<'_>) -> Option<usize> {
        self.any_tool_in_step(tool_call_id)
            .or_else(|| Some(self.tools.get(tool_call_id)?.last))
    }

    /// Records that a part of the current step has become dynamic, or is no longer dynamic.
    pub(super) fn kind_changed(&mut self, at: usize, part: &ToolPart) {
        let Some(parts) = self.tools.get_mut(&part.tool_call_id) else {
            return;
        };
        let (to, from) = if part.dynamic {
            (&mut parts.dynamic, &mut parts.fixed)
        } else {
            (&mut parts.fixed, &mut parts.dynamic)
        };
        *to = Some(at);
        if *from == Some(at) {
            *from = None;
        }
    }

    /// Returns the first part that requests this approval.
    pub(super) fn approval(&self, approval_id: &Text<'_>) -> Option<usize> {
        self.approvals.get(approval_id)?.first().copied()
    }

    /// Returns the first data part with this name and id.
    pub(super) fn data(&self, name: &Text<'_>, id: &Text<'_>) -> Option<usize> {
        self.data.get(&data_key(name, id)).copied()
    }

    /// Returns the parts of a call, if it has any in the current step.
    fn in_step(&self, tool_call_id: &Text<'_>) -> Option<&CallParts> {
        let parts = self.tools.get(tool_call_id)?;
        (parts.last >= self.step_start).then_some(parts)
    }
}

/// Combines a name and an id into a key. The length of the name comes first, so that no other pair has the same key.
fn data_key(name: &Text<'_>, id: &Text<'_>) -> Text<'static> {
    if let (Some(name), Some(id)) = (name.as_str(), id.as_str()) {
        return format!("{} {name}{id}", name.encode_utf16().count()).into();
    }
    let name = name.to_code_units();
    let mut key: Vec<u16> = format!("{} ", name.len()).encode_utf16().collect();
    key.extend(name);
    key.extend(id.to_code_units());
    Text::from_code_units(&key)
}
