use std::io;

use serde::Serialize;

use crate::ui::{Approval, Members, Text, ToolPart};

/// What a string takes in memory, about.
pub(super) fn length(text: &Text<'_>) -> usize {
    match text.as_str() {
        Some(text) => text.len(),
        None => text.to_code_units().len() * 6,
    }
}

/// How much more is held, at most, when this is appended to an input: the text, the same in the part that shows it, and what can be
/// read of it, which has an escape or a closing bracket for some bytes.
pub(super) fn input_growth(delta: &Text<'_>) -> usize {
    8 * length(delta) + 64
}

/// What a tool call holds in memory, in bytes, about, without its input.
pub(super) fn size_without_input(part: &ToolPart) -> usize {
    let approval = part.approval.as_ref().map_or(0, approval_size);
    let texts = [&part.error_text, &part.title];
    let values = [
        &part.output,
        &part.tool_metadata,
        &part.call_provider_metadata,
        &part.result_provider_metadata,
    ];
    size_of::<ToolPart>()
        + length(&part.tool_call_id)
        + length(&part.tool_name)
        + texts.into_iter().flatten().map(length).sum::<usize>()
        + values
            .into_iter()
            .flatten()
            .map(|value| value.get().len())
            .sum::<usize>()
        + approval
        + if part.other.is_empty() {
            0
        } else {
            members_size(&part.other)
        }
}

/// What the input of a tool call that does not stream holds.
pub(super) fn input_size(part: &ToolPart) -> usize {
    let input = part.input.as_ref().map_or(0, |input| input.get().len());
    input + part.raw_input.as_ref().map_or(0, length)
}

/// How many bytes a value is as JSON.
pub(super) fn json_size(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Writing to a counter cannot fail, and what a value of ours cannot write it does not hold.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

fn approval_size(approval: &Approval) -> usize {
    let texts = [
        &approval.request_reason,
        &approval.reason,
        &approval.signature,
    ];
    let values = [&approval.descriptor, &approval.input_schema_input];
    // The id is also kept to find it.
    2 * length(&approval.id)
        + texts.into_iter().flatten().map(length).sum::<usize>()
        + values
            .into_iter()
            .flatten()
            .map(|value| value.get().len())
            .sum::<usize>()
        + members_size(&approval.other)
}

fn members_size(members: &Members) -> usize {
    let sizes = members.iter();
    sizes
        .map(|(name, value)| length(name) + value.get().len())
        .sum()
}
