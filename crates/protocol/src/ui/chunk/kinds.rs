//! All chunks that the AI SDK defines, as one table.

use serde::{Serialize, Serializer};

use crate::ui::delta::Delta;
use crate::ui::held::{OwnedSize, allocation, owned, owned_raw};

use super::{
    ChunkError, RawJson, Text,
    json::MemberReader,
    member::{self, Fields, MemberValue},
};

/// Generates one struct for each type of chunk, and [`Chunk`] with its functions, from the table.
///
/// A row is a type with its members. A member is a field, its type in Rust, the function of [`member`] that reads it, and its
/// name on the wire.
macro_rules! chunks {
    (
        $( $(#[$unit_doc:meta])* $unit:ident = $unit_type:literal; )*
        ---
        $(
            $(#[$doc:meta])*
            $name:ident = $type:literal {
                required { $( $(#[$required_doc:meta])* $required:ident: $required_type:ty = $required_read:ident $required_name:literal, )* }
                optional { $( $(#[$optional_doc:meta])* $optional:ident: $optional_type:ty = $optional_read:ident $optional_name:literal, )* }
            }
        )*
    ) => {
        /// A chunk of a UI message stream: one step in the growth of a message.
        ///
        /// The types are those of the AI SDK 7.0.173. A chunk of any other type is [`Unknown`](Chunk::Unknown), so that streams of
        /// newer servers can be read and passed on. Inputs, outputs, data and metadata stay [`RawJson`] and are parsed on demand.
        /// A chunk borrows from the data it was decoded from; [`into_owned`](Self::into_owned) converts it to a
        /// `Chunk<'static>`.
        ///
        /// ```
        /// use twentyfirst_protocol::ui::{Chunk, chunk::TextDelta};
        ///
        /// let chunk = Chunk::decode(r#"{"type":"text-delta","id":"t1","delta":"Grüezi"}"#)?;
        /// assert_eq!(chunk, TextDelta::new("t1", "Grüezi").into());
        /// let Chunk::TextDelta(delta) = &chunk else { panic!() };
        /// assert_eq!(delta.delta, "Grüezi");
        /// assert_eq!(chunk.encode(), r#"{"type":"text-delta","id":"t1","delta":"Grüezi"}"#);
        /// # Ok::<(), twentyfirst_protocol::ui::ChunkError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Chunk<'a> {
            $( $(#[$unit_doc])* $unit, )*
            $( $(#[$doc])* $name($name<'a>), )*
            /// `data-*`: data of the application.
            Data(Data<'a>),
            /// A chunk of an unknown type, kept as a whole.
            Unknown(Unknown<'a>),
        }

        impl<'a> Chunk<'a> {
            /// Decodes the data of one event.
            ///
            /// Members may be in any order. Unknown members of a known type are ignored; only `data-*` keeps them.
            ///
            /// # Errors
            /// The data is not a JSON object with a `type`, lacks a member that its type requires, has a member with a value that
            /// does not fit, or has one of the [keys](ChunkError::ForbiddenKey) that the AI SDK refuses. As in the AI SDK,
            /// `providerMetadata` and `toolMetadata` may not contain a number beyond a double (`1e400`). Everywhere else such a
            /// number is kept as it is.
            pub fn decode(data: &'a str) -> Result<Self, ChunkError> {
                if let Some(chunk) = Delta::decode(data) {
                    return Ok(chunk);
                }
                let Some(members) = MemberReader::of(data) else {
                    super::json::validate(data)?;
                    return Err(ChunkError::NotAnObject);
                };
                let fields = Fields::read(members)?;
                let kind = fields.string("type").ok_or(ChunkError::NoType)?;
                match kind.as_str() {
                    $( Some($unit_type) => Ok(Self::$unit), )*
                    $( Some($type) => $name::read(&fields).map(Self::$name), )*
                    _ => match Data::name_in(&kind) {
                        Some(name) => Data::read(name, fields).map(Self::Data),
                        None => Ok(Self::Unknown(Unknown { kind, raw: RawJson::from_valid(data.trim_ascii()) })),
                    },
                }
            }

            /// Encodes the chunk as JSON on one line.
            ///
            /// Decoding and encoding again gives the same JSON value, without the members that decoding ignores.
            pub fn encode(&self) -> String {
                let mut out = String::new();
                self.encode_into(&mut out);
                out
            }

            /// Appends the chunk as JSON.
            pub fn encode_into(&self, out: &mut String) {
                match self {
                    $( Self::$unit => out.push_str(concat!("{\"type\":\"", $unit_type, "\"}")), )*
                    $( Self::$name(chunk) => chunk.write(out), )*
                    Self::Data(chunk) => chunk.write(out),
                    Self::Unknown(chunk) => chunk.raw.write_json(out),
                }
            }

            /// Returns the chunk's `type` on the wire.
            pub fn kind(&self) -> Text<'_> {
                match self {
                    $( Self::$unit => $unit_type.into(), )*
                    $( Self::$name(_) => $type.into(), )*
                    Self::Data(chunk) => chunk.kind(),
                    Self::Unknown(chunk) => chunk.kind.clone(),
                }
            }

            /// Returns the chunk without borrows.
            pub fn into_owned(self) -> Chunk<'static> {
                match self {
                    $( Self::$unit => Chunk::$unit, )*
                    $( Self::$name(chunk) => Chunk::$name(chunk.into_owned()), )*
                    Self::Data(chunk) => Chunk::Data(chunk.into_owned()),
                    Self::Unknown(chunk) => Chunk::Unknown(chunk.into_owned()),
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            #[non_exhaustive]
            pub struct $name<'a> {
                $( $(#[$required_doc])* pub $required: $required_type, )*
                $( $(#[$optional_doc])* pub $optional: Option<$optional_type>, )*
            }

            impl<'a> $name<'a> {
                /// Creates a chunk with its required members only.
                #[allow(clippy::new_without_default, reason = "some chunks have no required members, and are created like all others")]
                pub fn new($( $required: impl Into<$required_type> ),*) -> Self {
                    Self { $( $required: $required.into(), )* $( $optional: None, )* }
                }

                $(
                    #[doc = concat!("Sets `", stringify!($optional), "`.")]
                    ///
                    $(#[$optional_doc])*
                    #[must_use]
                    pub fn $optional(mut self, $optional: impl Into<$optional_type>) -> Self {
                        self.$optional = Some($optional.into());
                        self
                    }
                )*

                /// Returns the chunk without borrows.
                pub fn into_owned(self) -> $name<'static> {
                    $name {
                        $( $required: MemberValue::into_owned(self.$required), )*
                        $( $optional: self.$optional.map(MemberValue::into_owned), )*
                    }
                }

                fn read(fields: &Fields<'a>) -> Result<Self, ChunkError> {
                    Ok(Self {
                        $( $required: match fields.last($required_name) {
                            Some(value) => member::$required_read(value)
                                .map_err(|expected| ChunkError::Unfit { chunk: $type, member: $required_name, expected })?,
                            None => return Err(ChunkError::Missing { chunk: $type, member: $required_name }),
                        }, )*
                        $( $optional: match fields.last($optional_name) {
                            Some(value) => Some(member::$optional_read(value)
                                .map_err(|expected| ChunkError::Unfit { chunk: $type, member: $optional_name, expected })?),
                            None => None,
                        }, )*
                    })
                }

                fn write(&self, out: &mut String) {
                    out.push_str(concat!("{\"type\":\"", $type, "\""));
                    $(
                        out.push_str(concat!(",\"", $required_name, "\":"));
                        self.$required.write_json(out);
                    )*
                    $(
                        if let Some(value) = &self.$optional {
                            out.push_str(concat!(",\"", $optional_name, "\":"));
                            value.write_json(out);
                        }
                    )*
                    out.push('}');
                }
            }

            impl OwnedSize for $name<'_> {
                fn owned_size(&self) -> usize {
                    0 $( + self.$required.owned_size() )*
                        $( + self.$optional.as_ref().map_or(0, MemberValue::owned_size) )*
                }
            }

            impl<'a> From<$name<'a>> for Chunk<'a> {
                fn from(chunk: $name<'a>) -> Self {
                    Self::$name(chunk)
                }
            }
        )*
    };
}

chunks! {
    /// `start-step`: a step begins, which is one call of the model.
    StartStep = "start-step";
    /// `finish-step`: a step has ended. Parts stay open.
    FinishStep = "finish-step";
    /// `reset-step`: everything since the step began is removed.
    ResetStep = "reset-step";
    ---
    /// `start`: a message begins, or is continued.
    Start = "start" {
        required {}
        optional {
            /// The message's id. If it differs from the id so far, another message begins, and the old one is dropped.
            message_id: Text<'a> = text "messageId",
            /// The metadata to merge into the message's.
            message_metadata: RawJson<'a> = any "messageMetadata",
        }
    }
    /// `finish`: the message is complete.
    Finish = "finish" {
        required {}
        optional {
            /// The reason why the model stopped.
            finish_reason: FinishReason = finish_reason "finishReason",
            /// The metadata to merge into the message's.
            message_metadata: RawJson<'a> = any "messageMetadata",
        }
    }
    /// `abort`: the run was stopped. It does not change the message.
    Abort = "abort" {
        required {}
        optional {
            /// The reason in words.
            reason: Text<'a> = text "reason",
        }
    }
    /// `message-metadata`: metadata of the message.
    MessageMetadata = "message-metadata" {
        required {}
        optional {
            /// The metadata to merge into the message's.
            message_metadata: RawJson<'a> = any "messageMetadata",
        }
    }
    /// `error`: the run has failed. More chunks may follow.
    Error = "error" {
        required {
            /// The error in words.
            error_text: Text<'a> = text "errorText",
        }
        optional {}
    }
    /// `text-start`: a text part begins.
    TextStart = "text-start" {
        required {
            /// The id of the part until it ends.
            id: Text<'a> = text "id",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `text-delta`: a text part grows.
    TextDelta = "text-delta" {
        required {
            /// The id of the part.
            id: Text<'a> = text "id",
            /// The text to append. It may end or begin with half of a surrogate pair.
            delta: Text<'a> = text "delta",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `text-end`: a text part is complete.
    TextEnd = "text-end" {
        required {
            /// The id of the part.
            id: Text<'a> = text "id",
        }
        optional {
            /// The citations of the text: an array of the AI SDK's citations, without members that it does not know.
            citations: RawJson<'a> = citations "citations",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `reasoning-start`: a reasoning part begins.
    ReasoningStart = "reasoning-start" {
        required {
            /// The id of the part until it ends.
            id: Text<'a> = text "id",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `reasoning-delta`: a reasoning part grows.
    ReasoningDelta = "reasoning-delta" {
        required {
            /// The id of the part.
            id: Text<'a> = text "id",
            /// The text to append. It may end or begin with half of a surrogate pair.
            delta: Text<'a> = text "delta",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `reasoning-end`: a reasoning part is complete.
    ReasoningEnd = "reasoning-end" {
        required {
            /// The id of the part.
            id: Text<'a> = text "id",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `tool-input-start`: the model begins the input of a tool call.
    ToolInputStart = "tool-input-start" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
            /// The tool's name.
            tool_name: Text<'a> = text "toolName",
        }
        optional {
            /// The encoding of the deltas. JSON if absent.
            input_encoding: InputEncoding = input_encoding "inputEncoding",
            /// Whether the model's provider executes the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
            /// The metadata of the tool's definition: an object.
            tool_metadata: RawJson<'a> = object "toolMetadata",
            /// Whether the tool is dynamic: the application did not declare it.
            dynamic: bool = flag "dynamic",
            /// The display name.
            title: Text<'a> = text "title",
        }
    }
    /// `tool-input-delta`: the input of a tool call grows.
    ToolInputDelta = "tool-input-delta" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
            /// The text to append to the input, which is incomplete JSON.
            input_text_delta: Text<'a> = text "inputTextDelta",
        }
        optional {}
    }
    /// `tool-input-available`: the input of a tool call is complete.
    ToolInputAvailable = "tool-input-available" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
            /// The tool's name.
            tool_name: Text<'a> = text "toolName",
        }
        optional {
            /// The input. A server in JavaScript omits it if it is undefined.
            input: RawJson<'a> = any "input",
            /// Whether the model's provider executes the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
            /// The metadata of the tool's definition: an object.
            tool_metadata: RawJson<'a> = object "toolMetadata",
            /// Whether the tool is dynamic: the application did not declare it.
            dynamic: bool = flag "dynamic",
            /// The display name.
            title: Text<'a> = text "title",
        }
    }
    /// `tool-input-error`: the input of a tool call is invalid for the tool.
    ToolInputError = "tool-input-error" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
            /// The tool's name.
            tool_name: Text<'a> = text "toolName",
            /// The error in words.
            error_text: Text<'a> = text "errorText",
        }
        optional {
            /// The input. A server in JavaScript omits it if it is undefined.
            input: RawJson<'a> = any "input",
            /// Whether the model's provider executes the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
            /// The metadata of the tool's definition: an object.
            tool_metadata: RawJson<'a> = object "toolMetadata",
            /// Whether the tool is dynamic: the application did not declare it.
            dynamic: bool = flag "dynamic",
            /// The display name.
            title: Text<'a> = text "title",
        }
    }
    /// `tool-output-available`: a tool call has a result.
    ToolOutputAvailable = "tool-output-available" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
        }
        optional {
            /// The output. A server in JavaScript omits it if it is undefined.
            output: RawJson<'a> = any "output",
            /// Whether the model's provider executed the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
            /// The metadata of the tool's definition: an object.
            tool_metadata: RawJson<'a> = object "toolMetadata",
            /// Whether the tool is dynamic: the application did not declare it.
            dynamic: bool = flag "dynamic",
            /// Whether another output will replace this one.
            preliminary: bool = flag "preliminary",
        }
    }
    /// `tool-output-error`: a tool call has failed.
    ToolOutputError = "tool-output-error" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
            /// The error in words.
            error_text: Text<'a> = text "errorText",
        }
        optional {
            /// Whether the model's provider executed the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
            /// The metadata of the tool's definition: an object.
            tool_metadata: RawJson<'a> = object "toolMetadata",
            /// Whether the tool is dynamic: the application did not declare it.
            dynamic: bool = flag "dynamic",
        }
    }
    /// `tool-output-denied`: a tool call was not allowed.
    ToolOutputDenied = "tool-output-denied" {
        required {
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
        }
        optional {}
    }
    /// `tool-approval-request`: a tool call waits for an approval.
    ToolApprovalRequest = "tool-approval-request" {
        required {
            /// The id of the request, which the response repeats.
            approval_id: Text<'a> = text "approvalId",
            /// The id of the call.
            tool_call_id: Text<'a> = text "toolCallId",
        }
        optional {
            /// The description of the request, in the application's terms.
            approval_descriptor: RawJson<'a> = any "approvalDescriptor",
            /// The input as the tool's schema sees it.
            input_schema_input: RawJson<'a> = any "inputSchemaInput",
            /// The reason for the request, in words.
            reason: Text<'a> = text "reason",
            /// Whether a rule decides instead of a person.
            is_automatic: bool = flag "isAutomatic",
            /// The signature that proves that the server made the request.
            signature: Text<'a> = text "signature",
        }
    }
    /// `tool-approval-response`: a tool call was approved or denied.
    ToolApprovalResponse = "tool-approval-response" {
        required {
            /// The id of the request.
            approval_id: Text<'a> = text "approvalId",
            /// Whether the call may be made.
            approved: bool = flag "approved",
        }
        optional {
            /// The reason for the decision, in words.
            reason: Text<'a> = text "reason",
            /// Whether the model's provider executes the tool.
            provider_executed: bool = flag "providerExecuted",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `source-url`: a web page that the answer draws on.
    SourceUrl = "source-url" {
        required {
            /// The id of the source.
            source_id: Text<'a> = text "sourceId",
            /// The URL of the page.
            url: Text<'a> = text "url",
        }
        optional {
            /// The title.
            title: Text<'a> = text "title",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `source-document`: a document that the answer draws on.
    SourceDocument = "source-document" {
        required {
            /// The id of the source.
            source_id: Text<'a> = text "sourceId",
            /// The media type.
            media_type: Text<'a> = text "mediaType",
            /// The title.
            title: Text<'a> = text "title",
        }
        optional {
            /// The file name.
            filename: Text<'a> = text "filename",
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `file`: a file that the model has generated.
    File = "file" {
        required {
            /// The URL of the file, often a `data:` URL.
            url: Text<'a> = text "url",
            /// The media type.
            media_type: Text<'a> = text "mediaType",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `reasoning-file`: a file that the model has generated while reasoning.
    ReasoningFile = "reasoning-file" {
        required {
            /// The URL of the file, often a `data:` URL.
            url: Text<'a> = text "url",
            /// The media type.
            media_type: Text<'a> = text "mediaType",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `custom`: content specific to one provider.
    Custom = "custom" {
        required {
            /// The kind: the provider and its name for the content, with a dot between.
            kind: Text<'a> = text "kind",
        }
        optional {
            /// The metadata of the model's provider: an object of objects.
            provider_metadata: RawJson<'a> = metadata "providerMetadata",
        }
    }
    /// `steering-message`: a user's message that was added during the run.
    SteeringMessage = "steering-message" {
        required {
            /// The message's id.
            id: Text<'a> = text "id",
            /// The parts: an array of the AI SDK's text and file parts.
            parts: RawJson<'a> = steering_parts "parts",
        }
        optional {}
    }
}

/// Writes the JSON of [`Chunk::encode`]. Only `serde_json`'s serializers to text can write it.
impl Serialize for Chunk<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawJson::from_valid(self.encode()).serialize(serializer)
    }
}

/// `data-*`: data of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Data<'a> {
    /// The type without its `data-`.
    pub name: Text<'a>,
    /// The id of the part to replace. Without an id, each chunk creates a part of its own.
    pub id: Option<Text<'a>>,
    /// The data.
    pub data: Option<RawJson<'a>>,
    /// Whether the data stays out of the message.
    pub transient: Option<bool>,
    /// The members that the AI SDK does not define but keeps, in their order. If a name repeats, the last one counts.
    pub other: Vec<(Text<'a>, RawJson<'a>)>,
}

impl<'a> Data<'a> {
    const PREFIX: &'static str = "data-";

    /// Creates a chunk with only a name. `Data::new("weather")` has the type `data-weather`.
    pub fn new(name: impl Into<Text<'a>>) -> Self {
        Self {
            name: name.into(),
            id: None,
            data: None,
            transient: None,
            other: Vec::new(),
        }
    }

    /// Sets the id of the part to replace. Without an id, each chunk creates a part of its own.
    #[must_use]
    pub fn id(mut self, id: impl Into<Text<'a>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the data.
    #[must_use]
    pub fn data(mut self, data: impl Into<RawJson<'a>>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets whether the data stays out of the message.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.transient = Some(transient);
        self
    }

    /// Returns the type on the wire: `data-` and the name.
    pub fn kind(&self) -> Text<'static> {
        self.name.prefixed(Self::PREFIX)
    }

    /// Returns the chunk without borrows.
    pub fn into_owned(self) -> Data<'static> {
        Data {
            name: self.name.into_owned(),
            id: self.id.map(Text::into_owned),
            data: self.data.map(RawJson::into_owned),
            transient: self.transient,
            other: self
                .other
                .into_iter()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        }
    }

    fn name_in(kind: &Text<'a>) -> Option<Text<'a>> {
        kind.strip_prefix(Self::PREFIX)
    }

    fn read(name: Text<'a>, fields: Fields<'a>) -> Result<Self, ChunkError> {
        let unfit = |member, expected| ChunkError::Unfit {
            chunk: "data-*",
            member,
            expected,
        };
        let mut chunk = Self::new(name);
        if let Some(id) = fields.last("id") {
            chunk.id = Some(member::text(id).map_err(|expected| unfit("id", expected))?);
        }
        if let Some(transient) = fields.last("transient") {
            chunk.transient =
                Some(member::flag(transient).map_err(|expected| unfit("transient", expected))?);
        }
        chunk.data = fields.last("data").map(RawJson::from_valid);
        let known =
            |name: &Text<'_>| matches!(name.as_str(), Some("type" | "id" | "data" | "transient"));
        chunk.other = fields
            .into_iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, value)| (name, RawJson::from_valid(value)))
            .collect();
        Ok(chunk)
    }

    fn write(&self, out: &mut String) {
        out.push_str("{\"type\":");
        self.kind().write_json(out);
        if let Some(id) = &self.id {
            out.push_str(",\"id\":");
            id.write_json(out);
        }
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            data.write_json(out);
        }
        if let Some(transient) = &self.transient {
            out.push_str(",\"transient\":");
            transient.write_json(out);
        }
        for (name, value) in &self.other {
            out.push(',');
            name.write_json(out);
            out.push(':');
            value.write_json(out);
        }
        out.push('}');
    }
}

impl OwnedSize for Data<'_> {
    fn owned_size(&self) -> usize {
        let members = self.other.iter();
        let members = members.map(|(name, value)| owned(name) + owned_raw(value));
        // One more place, because the part may keep `transient` as another member.
        let list = (self.other.len() + 1) * size_of::<(Text<'_>, RawJson<'_>)>();
        owned(&self.name)
            + self.id.as_ref().map_or(0, owned)
            + self.data.as_ref().map_or(0, owned_raw)
            + members.sum::<usize>()
            + allocation(list)
            + 2 * allocation("transient".len())
    }
}

impl<'a> From<Data<'a>> for Chunk<'a> {
    fn from(chunk: Data<'a>) -> Self {
        Self::Data(chunk)
    }
}

/// A chunk of an unknown type, kept as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unknown<'a> {
    /// The type.
    pub kind: Text<'a>,
    /// The whole chunk.
    pub raw: RawJson<'a>,
}

impl Unknown<'_> {
    /// Returns the chunk without borrows.
    pub fn into_owned(self) -> Unknown<'static> {
        Unknown {
            kind: self.kind.into_owned(),
            raw: self.raw.into_owned(),
        }
    }
}

/// Defines a closed list of words of the AI SDK.
macro_rules! words {
    ($( #[$doc:meta] )* $name:ident { $( #[$word_doc:meta] $word:ident = $text:literal, )* }) => {
        $( #[$doc] )*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( #[$word_doc] $word, )*
        }

        impl $name {
            /// Returns the word on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$word => $text, )*
                }
            }

            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $text => Some(Self::$word), )*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// The reason why a model stopped.
    FinishReason {
        /// The model has finished its answer.
        Stop = "stop",
        /// The model has used up its tokens.
        Length = "length",
        /// A filter of the provider has stopped the model.
        ContentFilter = "content-filter",
        /// The model waits for the results of tools.
        ToolCalls = "tool-calls",
        /// An error occurred.
        Error = "error",
        /// The model was interrupted.
        Interrupted = "interrupted",
        /// Another reason.
        Other = "other",
    }
}

words! {
    /// The encoding of a tool's input in deltas.
    InputEncoding {
        /// The text of a JSON value.
        Json = "json",
        /// The text itself.
        Text = "text",
    }
}
