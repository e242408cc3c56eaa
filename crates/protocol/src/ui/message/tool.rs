use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::members::{FieldWriter, Member, Members, Object, write_object};
use crate::ui::chunk::InputEncoding;
use crate::ui::{RawJson, Text};

/// A `tool-NAME` or `dynamic-tool` part: one call of a tool.
///
/// The members that are present depend on the [`state`](Self::state), but not strictly: as in the AI SDK, a call whose input
/// streams again keeps the approval that it had.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolPart {
    /// `toolCallId`: the call's id.
    pub tool_call_id: Text<'static>,
    /// The tool's name: the text after `tool-` in the type, or the member `toolName` of a dynamic tool.
    pub tool_name: Text<'static>,
    /// Whether the type is `dynamic-tool`: the application did not declare the tool.
    pub dynamic: bool,
    /// The progress of the call.
    pub state: ToolState,
    /// The input. While it streams, the value that can be read so far. Absent if none can be read.
    pub input: Option<RawJson<'static>>,
    /// `rawInput`: the text of the input as it arrived. Present while the input streams, and after an error.
    pub raw_input: Option<Text<'static>>,
    /// `inputEncoding`: the encoding of `raw_input`. JSON if absent.
    pub input_encoding: Option<InputEncoding>,
    /// The tool's output.
    pub output: Option<RawJson<'static>>,
    /// Whether a later output will replace this one.
    pub preliminary: Option<bool>,
    /// `errorText`: the reason why there is no output.
    pub error_text: Option<Text<'static>>,
    /// `providerExecuted`: whether the model's provider executes the tool.
    pub provider_executed: Option<bool>,
    /// A title to show.
    pub title: Option<Text<'static>>,
    /// `toolMetadata`: the metadata of the tool's definition.
    pub tool_metadata: Option<RawJson<'static>>,
    /// `callProviderMetadata`: the metadata of the model's provider for the call.
    pub call_provider_metadata: Option<RawJson<'static>>,
    /// `resultProviderMetadata`: the metadata of the model's provider for the result.
    pub result_provider_metadata: Option<RawJson<'static>>,
    /// The approval of the call, requested or decided.
    pub approval: Option<Approval>,
    /// Every other member.
    pub other: Members,
}

impl ToolPart {
    /// Creates a `tool-NAME` part with this state and no further members.
    #[must_use]
    pub fn new(
        tool_name: impl Into<Text<'static>>,
        tool_call_id: impl Into<Text<'static>>,
        state: ToolState,
    ) -> Self {
        Self {
            tool_call_id: tool_call_id.into(),
            tool_name: tool_name.into(),
            dynamic: false,
            state,
            input: None,
            raw_input: None,
            input_encoding: None,
            output: None,
            preliminary: None,
            error_text: None,
            provider_executed: None,
            title: None,
            tool_metadata: None,
            call_provider_metadata: None,
            result_provider_metadata: None,
            approval: None,
            other: Members::new(),
        }
    }

    pub(super) fn read(
        tool_name: Text<'static>,
        dynamic: bool,
        mut members: Members,
    ) -> Option<Self> {
        let [tool_call_id, state] = members.take_texts(["toolCallId", "state"])?;
        Some(Self {
            tool_call_id,
            tool_name,
            dynamic,
            state: ToolState::from(state),
            input: members.remove("input"),
            raw_input: members.take("rawInput"),
            input_encoding: members.take("inputEncoding"),
            output: members.remove("output"),
            preliminary: members.take("preliminary"),
            error_text: members.take("errorText"),
            provider_executed: members.take("providerExecuted"),
            title: members.take("title"),
            tool_metadata: members.remove("toolMetadata"),
            call_provider_metadata: members.remove("callProviderMetadata"),
            result_provider_metadata: members.remove("resultProviderMetadata"),
            approval: members.take("approval"),
            other: members,
        })
    }
}

impl Object for ToolPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        if self.dynamic {
            fields.field("type", "dynamic-tool")?;
            fields.field("toolName", &self.tool_name)?;
        } else {
            fields.field("type", &self.tool_name.prefixed("tool-"))?;
        }
        fields.field("toolCallId", &self.tool_call_id)?;
        fields.field("state", &self.state)?;
        fields.optional("title", self.title.as_ref())?;
        fields.optional("toolMetadata", self.tool_metadata.as_ref())?;
        fields.optional("input", self.input.as_ref())?;
        fields.optional("rawInput", self.raw_input.as_ref())?;
        fields.optional(
            "inputEncoding",
            self.input_encoding.map(InputEncoding::as_str).as_ref(),
        )?;
        fields.optional("output", self.output.as_ref())?;
        fields.optional("preliminary", self.preliminary.as_ref())?;
        fields.optional("errorText", self.error_text.as_ref())?;
        fields.optional("providerExecuted", self.provider_executed.as_ref())?;
        fields.optional("callProviderMetadata", self.call_provider_metadata.as_ref())?;
        fields.optional(
            "resultProviderMetadata",
            self.result_provider_metadata.as_ref(),
        )?;
        fields.optional("approval", self.approval.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for ToolPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// The progress of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolState {
    /// `input-streaming`: the input is being written.
    InputStreaming,
    /// `input-available`: the input is complete.
    InputAvailable,
    /// `approval-requested`: the call waits for an approval.
    ApprovalRequested,
    /// `approval-responded`: the call was approved or denied.
    ApprovalResponded,
    /// `output-available`: the tool has run.
    OutputAvailable,
    /// `output-error`: the tool failed, or its input was invalid.
    OutputError,
    /// `output-denied`: the call was denied.
    OutputDenied,
    /// An unknown state.
    Unknown(Text<'static>),
}

impl ToolState {
    /// Returns the word in JSON; as an error, the text of an unknown state.
    fn word(&self) -> Result<&'static str, &Text<'static>> {
        Ok(match self {
            Self::InputStreaming => "input-streaming",
            Self::InputAvailable => "input-available",
            Self::ApprovalRequested => "approval-requested",
            Self::ApprovalResponded => "approval-responded",
            Self::OutputAvailable => "output-available",
            Self::OutputError => "output-error",
            Self::OutputDenied => "output-denied",
            Self::Unknown(state) => return Err(state),
        })
    }
}

impl From<Text<'static>> for ToolState {
    fn from(state: Text<'static>) -> Self {
        match state.as_str().unwrap_or_default() {
            "input-streaming" => Self::InputStreaming,
            "input-available" => Self::InputAvailable,
            "approval-requested" => Self::ApprovalRequested,
            "approval-responded" => Self::ApprovalResponded,
            "output-available" => Self::OutputAvailable,
            "output-error" => Self::OutputError,
            "output-denied" => Self::OutputDenied,
            _ => Self::Unknown(state),
        }
    }
}

impl Serialize for ToolState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.word() {
            Ok(word) => serializer.serialize_str(word),
            Err(word) => word.serialize(serializer),
        }
    }
}

impl Member for InputEncoding {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        Self::from_name(Text::read(raw)?.as_str()?)
    }
}

/// An approval of a tool call: the request, and the decision once it was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Approval {
    /// The id, which the response repeats.
    pub id: Text<'static>,
    /// The decision. Absent while it is pending.
    pub approved: Option<bool>,
    /// The description of the request for the person who decides.
    pub descriptor: Option<RawJson<'static>>,
    /// `inputSchemaInput`: the input as the tool's schema sees it.
    pub input_schema_input: Option<RawJson<'static>>,
    /// `requestReason`: the reason for the request.
    pub request_reason: Option<Text<'static>>,
    /// The reason for the decision.
    pub reason: Option<Text<'static>>,
    /// `isAutomatic`: whether a rule decides instead of a person.
    pub is_automatic: Option<bool>,
    /// The signature of the request.
    pub signature: Option<Text<'static>>,
    /// Every other member.
    pub other: Members,
}

impl Approval {
    /// Creates a request without a decision.
    #[must_use]
    pub fn new(id: impl Into<Text<'static>>) -> Self {
        Self {
            id: id.into(),
            approved: None,
            descriptor: None,
            input_schema_input: None,
            request_reason: None,
            reason: None,
            is_automatic: None,
            signature: None,
            other: Members::new(),
        }
    }
}

impl Member for Approval {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        let mut members = Members::from_json(raw.get())?;
        Some(Self {
            id: members.take("id")?,
            approved: members.take("approved"),
            descriptor: members.remove("descriptor"),
            input_schema_input: members.remove("inputSchemaInput"),
            request_reason: members.take("requestReason"),
            reason: members.take("reason"),
            is_automatic: members.take("isAutomatic"),
            signature: members.take("signature"),
            other: members,
        })
    }
}

impl Object for Approval {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("id", &self.id)?;
        fields.optional("approved", self.approved.as_ref())?;
        fields.optional("descriptor", self.descriptor.as_ref())?;
        fields.optional("inputSchemaInput", self.input_schema_input.as_ref())?;
        fields.optional("requestReason", self.request_reason.as_ref())?;
        fields.optional("reason", self.reason.as_ref())?;
        fields.optional("isAutomatic", self.is_automatic.as_ref())?;
        fields.optional("signature", self.signature.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for Approval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}
