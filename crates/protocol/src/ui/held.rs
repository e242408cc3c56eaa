//! Measures the memory that values own, for the limits.

use crate::ui::{Approval, Part, RawJson, Text, ToolPart, ToolState};

/// A value that owns memory.
pub(crate) trait Held {
    /// Returns the bytes allocated for it, without the size of the value itself.
    fn held(&self) -> usize;
}

/// A chunk whose members may be copied.
pub(super) trait OwnedSize {
    /// Returns the memory of all owned members, in bytes.
    fn owned_size(&self) -> usize;
}

/// Returns the memory of an allocation of this many bytes. Allocators store a length beside it and round up.
pub(crate) const fn allocation(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// Returns an upper bound for the memory that each entry of this size takes in a `BTreeMap`.
///
/// A node has room for 11 entries and holds at least 5. The nodes above the lowest ones also have 12 pointers each.
pub(super) const fn entry(size: usize) -> usize {
    size * 11 / 4 + 16
}

/// Returns the memory that a `BTreeMap` with at least one entry needs in addition to its entries: the first node.
pub(crate) const fn first_node(size: usize) -> usize {
    allocation(size * 11 + 16)
}

/// Returns the memory of an owned string.
pub(crate) fn owned(text: &Text<'_>) -> usize {
    allocation(text.stored_len())
}

/// Returns the memory of an owned value.
pub(super) fn owned_raw(raw: &RawJson<'_>) -> usize {
    allocation(raw.get().len())
}

impl<T: Held> Held for Option<T> {
    fn held(&self) -> usize {
        self.as_ref().map_or(0, T::held)
    }
}

impl<T: Held> Held for Vec<T> {
    fn held(&self) -> usize {
        let own = allocation(self.capacity() * size_of::<T>());
        own + self.iter().map(T::held).sum::<usize>()
    }
}

impl Held for Text<'_> {
    fn held(&self) -> usize {
        allocation(self.capacity())
    }
}

impl Held for RawJson<'_> {
    fn held(&self) -> usize {
        allocation(self.capacity())
    }
}

impl Held for Part {
    fn held(&self) -> usize {
        match self {
            Self::Text(part) => {
                part.text.held()
                    + part.citations.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::Reasoning(part) => {
                part.id.held()
                    + part.text.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::Tool(part) => allocation(size_of::<ToolPart>()) + part.held(),
            Self::SourceUrl(part) => {
                part.source_id.held()
                    + part.url.held()
                    + part.title.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::SourceDocument(part) => {
                part.source_id.held()
                    + part.media_type.held()
                    + part.title.held()
                    + part.filename.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::File(part) => {
                part.media_type.held()
                    + part.url.held()
                    + part.filename.held()
                    + part.provider_reference.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::ReasoningFile(part) => {
                part.media_type.held()
                    + part.url.held()
                    + part.provider_metadata.held()
                    + part.other.held()
            }
            Self::Custom(part) => {
                part.kind.held() + part.provider_metadata.held() + part.other.held()
            }
            Self::StepStart(part) => part.other.held(),
            Self::SteeringMessage(part) => part.id.held() + part.parts.held() + part.other.held(),
            Self::Data(part) => {
                part.name.held() + part.id.held() + part.data.held() + part.other.held()
            }
            Self::Unknown(raw) => raw.held(),
        }
    }
}

impl Held for ToolPart {
    fn held(&self) -> usize {
        let state = match &self.state {
            ToolState::Unknown(state) => state.held(),
            _ => 0,
        };
        state
            + self.tool_call_id.held()
            + self.tool_name.held()
            + self.input.held()
            + self.raw_input.held()
            + self.output.held()
            + self.error_text.held()
            + self.title.held()
            + self.tool_metadata.held()
            + self.call_provider_metadata.held()
            + self.result_provider_metadata.held()
            + self.approval.held()
            + self.other.held()
    }
}

impl Held for Approval {
    fn held(&self) -> usize {
        self.id.held()
            + self.descriptor.held()
            + self.input_schema_input.held()
            + self.request_reason.held()
            + self.reason.held()
            + self.signature.held()
            + self.other.held()
    }
}
