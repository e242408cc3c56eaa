use super::machine::{own, own_raw};
use crate::ui::chunk::InputEncoding;
use crate::ui::held::{allocation, owned, owned_raw};
use crate::ui::{Members, RawJson, Text, ToolPart, ToolState};

/// The update of a tool call's part by a chunk.
///
/// Members that it does not set are removed. Only the name, the title, metadata, and whether the provider executes the tool are
/// kept once they are set.
pub(super) struct ToolUpdate<'u> {
    pub(super) state: ToolState,
    /// `None` keeps the name.
    pub(super) tool_name: Option<&'u Text<'u>>,
    pub(super) encoding: Option<InputEncoding>,
    pub(super) input: NewInput<'u>,
    /// Whether the text of the input is kept.
    pub(super) raw_input: bool,
    pub(super) output: Option<&'u RawJson<'u>>,
    pub(super) preliminary: Option<bool>,
    pub(super) error_text: Option<&'u Text<'u>>,
    pub(super) provider_executed: Option<bool>,
    pub(super) provider_metadata: Option<&'u RawJson<'u>>,
    pub(super) title: Option<&'u Text<'u>>,
    pub(super) tool_metadata: Option<&'u RawJson<'u>>,
}

pub(super) enum NewInput<'u> {
    Absent,
    Value(&'u RawJson<'u>),
    /// The part keeps its input.
    Kept,
    /// The part shows the input that streams.
    Streaming,
}

impl<'u> NewInput<'u> {
    pub(super) fn of(input: Option<&'u RawJson<'u>>) -> Self {
        input.map_or(Self::Absent, Self::Value)
    }
}

impl ToolUpdate<'_> {
    pub(super) fn new(state: ToolState) -> Self {
        Self {
            state,
            tool_name: None,
            encoding: None,
            input: NewInput::Absent,
            raw_input: false,
            output: None,
            preliminary: None,
            error_text: None,
            provider_executed: None,
            provider_metadata: None,
            title: None,
            tool_metadata: None,
        }
    }

    /// Returns an upper bound for the memory of a new part with this update, without its entry in the message.
    pub(super) fn size(&self, tool_call_id: &Text<'_>) -> usize {
        let input = match self.input {
            NewInput::Value(input) => owned_raw(input),
            _ => 0,
        };
        let values = [self.output, self.provider_metadata];
        allocation(size_of::<ToolPart>())
            + owned(tool_call_id)
            + input
            + values.into_iter().flatten().map(owned_raw).sum::<usize>()
            + self.error_text.map_or(0, owned)
            + self.names_size()
    }

    /// Returns the memory of its names.
    pub(super) fn names_size(&self) -> usize {
        let texts = [self.tool_name, self.title];
        texts.into_iter().flatten().map(owned).sum::<usize>()
            + self.tool_metadata.map_or(0, owned_raw)
    }

    pub(super) fn apply(&self, part: &mut ToolPart) {
        let other = &mut part.other;
        part.state = self.state.clone();
        // Names are compared first, because most updates bring the same ones, and equal ones need no new allocation.
        if let Some(tool_name) = self.tool_name
            && part.tool_name != *tool_name
        {
            part.tool_name = own(tool_name);
        }
        match self.input {
            NewInput::Absent => set(&mut part.input, None, "input", other),
            NewInput::Value(input) => set(&mut part.input, Some(own_raw(input)), "input", other),
            NewInput::Kept | NewInput::Streaming => {}
        }
        if !self.raw_input {
            set(&mut part.raw_input, None, "rawInput", other);
        }
        // Also set if they are absent here: the members of an earlier state must not stay.
        set(
            &mut part.input_encoding,
            self.encoding,
            "inputEncoding",
            other,
        );
        set(&mut part.output, self.output.map(own_raw), "output", other);
        set(
            &mut part.preliminary,
            self.preliminary,
            "preliminary",
            other,
        );
        set(
            &mut part.error_text,
            self.error_text.map(own),
            "errorText",
            other,
        );
        if let Some(title) = self.title
            && part.title.as_ref() != Some(title)
        {
            set(&mut part.title, Some(own(title)), "title", other);
        }
        if let Some(tool_metadata) = self.tool_metadata
            && part.tool_metadata.as_ref() != Some(tool_metadata)
        {
            part.tool_metadata = Some(own_raw(tool_metadata));
        }
        if self.provider_executed.is_some() {
            let field = &mut part.provider_executed;
            set(field, self.provider_executed, "providerExecuted", other);
        }
        if let Some(provider_metadata) = self.provider_metadata {
            // The metadata of a result must not replace that of the call, so each has a member of its own.
            let of_result = matches!(
                self.state,
                ToolState::OutputAvailable | ToolState::OutputError
            );
            let field = if of_result {
                &mut part.result_provider_metadata
            } else {
                &mut part.call_provider_metadata
            };
            *field = Some(own_raw(provider_metadata));
        }
    }
}

/// Sets a field. Also removes the member of this name from `other`, which has it if its value did not fit the type.
pub(super) fn set<T>(field: &mut Option<T>, value: Option<T>, name: &str, other: &mut Members) {
    *field = value;
    if !other.is_empty() {
        other.remove(name);
    }
}
