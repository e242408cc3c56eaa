use std::mem;

use super::by_text::{ByText, length};
use super::change::Change;
use super::error::AssembleError;
use super::index::Index;
use super::metadata::{Metadata, Room};
use super::tools::{
    Call, Calls, Names, input_growth, input_size, json_size, set, size_without_input,
};
use crate::ui::chunk::{
    Data, InputEncoding, Start, TextEnd, ToolApprovalRequest, ToolApprovalResponse,
    ToolInputAvailable, ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable,
    ToolOutputError,
};
use crate::ui::joiner::Half;
use crate::ui::{
    Approval, Chunk, CustomPart, DataPart, FilePart, Members, Part, RawJson, ReasoningFilePart,
    ReasoningPart, Role, SourceDocumentPart, SourceUrlPart, SteeringMessagePart, StepStartPart,
    Text, TextPart, TextState, ToolPart, ToolState, UiMessage,
};

/// Puts chunks together to the message that they describe.
///
/// The message is the one that `useChat` and `readUIMessageStream` of the AI SDK 7.0.173 show after the same chunks. Put chunks in with
/// [`apply`](Self::apply), which says what each has changed, and look at the message whenever you like with
/// [`message`](Self::message). All of it takes time that grows with the size of the chunks: the input of a tool is read as it comes, and
/// written into the message only when somebody looks.
///
/// # Errors and what to do after them
///
/// A chunk that does not fit the message is an [`AssembleError`] and leaves the message as it was. The AI SDK stops there. A caller who
/// would rather go on may do so; with [`lenient`](Self::lenient), a delta for a part that was never started opens that part, so that a
/// stream joined in the middle can be shown.
///
/// ```
/// use twentyfirst_protocol::ui::{Assembler, Change, Chunk};
///
/// let mut assembler = Assembler::new();
/// for data in [
///     r#"{"type":"start","messageId":"m1"}"#,
///     r#"{"type":"text-start","id":"t1"}"#,
///     r#"{"type":"text-delta","id":"t1","delta":"Hello"}"#,
/// ] {
///     assembler.apply(&Chunk::decode(data)?)?;
/// }
/// let chunk = Chunk::decode(r#"{"type":"text-delta","id":"t1","delta":", world"}"#)?;
/// assert_eq!(
///     assembler.apply(&chunk)?,
///     Change::Appended { part: 0, text: ", world".into() }
/// );
/// assert_eq!(assembler.message().text(), "Hello, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Assembler {
    message: UiMessage,
    metadata: Metadata,
    metadata_is_stale: bool,
    index: Index,
    texts: ByText<Active>,
    reasonings: ByText<Active>,
    calls: Calls,
    /// Steps that have begun and show with the next thing that does, as in the AI SDK.
    pending_steps: usize,
    shown: bool,
    lenient: bool,
    limit: usize,
    /// What each part holds in memory, in bytes, about.
    sizes: Vec<usize>,
    /// The sum of `sizes`.
    parts_size: usize,
}

/// A text or reasoning part that has not ended.
#[derive(Clone, Copy, Debug, Default)]
struct Active {
    part: usize,
    /// If one waits, the text shows U+FFFD in its place.
    half: Half,
}

impl Assembler {
    /// How much an assembler holds, in bytes, unless [`with_limit`](Self::with_limit) says otherwise: 256 MiB.
    pub const DEFAULT_LIMIT: usize = 256 * 1024 * 1024;

    /// How deep objects may be nested in metadata.
    pub const MAX_METADATA_DEPTH: usize = Metadata::MAX_DEPTH;

    /// Begins with an empty assistant message, whose id is empty until the stream gives it one.
    #[must_use]
    pub fn new() -> Self {
        Self::with_message(UiMessage::assistant(Vec::new()).with_id(""))
    }

    /// Continues a message of the assistant's, as when a run is resumed.
    ///
    /// After a message of anybody else a new one begins, which has its id until the stream gives it another.
    #[must_use]
    pub fn continuing(mut message: UiMessage) -> Self {
        if message.role != Role::Assistant {
            let id = message.id.take().unwrap_or_default();
            message = UiMessage::assistant(Vec::new()).with_id(id);
        }
        Self::with_message(message)
    }

    /// Sets how much the assembler may hold: about the memory, in bytes, of the message and of what is needed to continue it. A chunk
    /// that would exceed it is [`AssembleError::TooLarge`]. Default: [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether a delta for a part that was never started opens that part, instead of being an error. The tool of a call opened
    /// so has no name until a chunk brings it. Default: false, as in the AI SDK.
    #[must_use]
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Whether a delta for a part that was never started opens that part.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Applies a chunk, and says what it has changed.
    ///
    /// # Errors
    /// If the chunk does not fit the message, or would make it too large. The message is as it was before.
    pub fn apply<'c>(&mut self, chunk: &'c Chunk<'_>) -> Result<Change<'c>, AssembleError> {
        match chunk {
            Chunk::TextDelta(chunk) => self.delta(
                Kind::Text,
                &chunk.id,
                &chunk.delta,
                chunk.provider_metadata.as_ref(),
            ),
            Chunk::ReasoningDelta(chunk) => self.delta(
                Kind::Reasoning,
                &chunk.id,
                &chunk.delta,
                chunk.provider_metadata.as_ref(),
            ),
            Chunk::ToolInputDelta(chunk) => self.tool_input_delta(chunk),
            Chunk::TextStart(chunk) => {
                self.start_part(Kind::Text, &chunk.id, chunk.provider_metadata.as_ref())
            }
            Chunk::TextEnd(chunk) => self.end_part(Kind::Text, chunk),
            Chunk::ReasoningStart(chunk) => {
                self.start_part(Kind::Reasoning, &chunk.id, chunk.provider_metadata.as_ref())
            }
            Chunk::ReasoningEnd(chunk) => {
                let mut end = TextEnd::new(chunk.id.clone());
                end.provider_metadata.clone_from(&chunk.provider_metadata);
                self.end_part(Kind::Reasoning, &end)
            }
            Chunk::ToolInputStart(chunk) => self.tool_input_start(chunk),
            Chunk::ToolInputAvailable(chunk) => self.tool_input_available(chunk),
            Chunk::ToolInputError(chunk) => self.tool_input_error(chunk),
            Chunk::ToolOutputAvailable(chunk) => self.tool_output_available(chunk),
            Chunk::ToolOutputError(chunk) => self.tool_output_error(chunk),
            Chunk::ToolOutputDenied(chunk) => self.tool_output_denied(&chunk.tool_call_id),
            Chunk::ToolApprovalRequest(chunk) => self.tool_approval_request(chunk),
            Chunk::ToolApprovalResponse(chunk) => self.tool_approval_response(chunk),
            Chunk::SourceUrl(chunk) => {
                let mut part = SourceUrlPart::new(own(&chunk.source_id), own(&chunk.url));
                part.title = chunk.title.as_ref().map(own);
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                self.add(Part::SourceUrl(part))
            }
            Chunk::SourceDocument(chunk) => {
                let mut part = SourceDocumentPart::new(
                    own(&chunk.source_id),
                    own(&chunk.media_type),
                    own(&chunk.title),
                );
                part.filename = chunk.filename.as_ref().map(own);
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                self.add(Part::SourceDocument(part))
            }
            Chunk::File(chunk) => {
                let mut part = FilePart::new(own(&chunk.url), own(&chunk.media_type));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                self.add(Part::File(part))
            }
            Chunk::ReasoningFile(chunk) => {
                let mut part = ReasoningFilePart::new(own(&chunk.url), own(&chunk.media_type));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                self.add(Part::ReasoningFile(part))
            }
            Chunk::Custom(chunk) => {
                let mut part = CustomPart::new(own(&chunk.kind));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                self.add(Part::Custom(part))
            }
            Chunk::SteeringMessage(chunk) => {
                let parts = SteeringMessagePart::read_parts(&chunk.parts).unwrap_or_default();
                let part = SteeringMessagePart::new(own(&chunk.id), parts);
                self.add(Part::SteeringMessage(part))
            }
            Chunk::Data(chunk) => self.data(chunk),
            Chunk::StartStep => {
                self.fits(size_of::<Part>())?;
                self.pending_steps += 1;
                self.index.begin_step(self.message.parts.len());
                Ok(Change::Nothing)
            }
            Chunk::ResetStep => Ok(self.reset_step()),
            Chunk::Start(chunk) => self.start(chunk),
            Chunk::Finish(chunk) => self.merge_metadata(chunk.message_metadata.as_ref()),
            Chunk::MessageMetadata(chunk) => self.merge_metadata(chunk.message_metadata.as_ref()),
            Chunk::Error(chunk) => Ok(Change::Failed(&chunk.error_text)),
            Chunk::FinishStep | Chunk::Abort(_) | Chunk::Unknown(_) => Ok(Change::Nothing),
        }
    }

    /// The message so far.
    ///
    /// What has come of tool inputs and metadata since the last look is written into it now, which takes time that grows with their
    /// size.
    pub fn message(&mut self) -> &UiMessage {
        self.calls.settle(&mut self.message.parts);
        if mem::take(&mut self.metadata_is_stale) {
            self.message.metadata = self.metadata.to_json();
        }
        &self.message
    }

    /// Takes the message.
    #[must_use]
    pub fn into_message(mut self) -> UiMessage {
        self.message();
        self.message
    }

    /// Whether a chunk has shown in the message. Until then, the AI SDK gives no message at all.
    #[must_use]
    pub fn has_shown(&self) -> bool {
        self.shown
    }

    /// What the assembler holds in memory, in bytes, about: what its limit limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let steps = self.pending_steps * size_of::<Part>();
        let id = self.message.id.as_ref().map_or(0, length);
        // Metadata is held twice: as it can be merged, and as it is shown.
        self.parts_size + self.calls.size() + 2 * self.metadata.size() + id + steps
    }

    fn with_message(message: UiMessage) -> Self {
        let index = Index::of(&message.parts);
        let step = message.parts.get(index.step_start()..).unwrap_or_default();
        let calls = Calls::of(step);
        let sizes: Vec<usize> = message
            .parts
            .iter()
            .map(|part| size_of::<Part>() + json_size(part))
            .collect();
        Self {
            index,
            calls,
            parts_size: sizes.iter().sum(),
            sizes,
            metadata: Metadata::of(message.metadata.as_ref()),
            message,
            metadata_is_stale: false,
            texts: ByText::default(),
            reasonings: ByText::default(),
            pending_steps: 0,
            shown: false,
            lenient: false,
            limit: Self::DEFAULT_LIMIT,
        }
    }

    fn fits(&self, more: usize) -> Result<(), AssembleError> {
        if self.size().saturating_add(more) > self.limit {
            return Err(AssembleError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Something shows: so do the steps that have begun. Gives the place of the first of them, if any.
    fn show(&mut self) -> Option<usize> {
        self.shown = true;
        if self.pending_steps == 0 {
            return None;
        }
        let first = self.message.parts.len();
        for _ in 0..mem::take(&mut self.pending_steps) {
            self.push(Part::StepStart(StepStartPart::new()), size_of::<Part>());
        }
        Some(first)
    }

    /// Appends a part. What it shows must fit.
    fn push(&mut self, part: Part, size: usize) -> usize {
        let at = self.message.parts.len();
        self.index.added(at, &part);
        self.message.parts.push(part);
        self.sizes.push(size);
        self.parts_size += size;
        at
    }

    /// Adds a part that does not change any more.
    fn add<'c>(&mut self, part: Part) -> Result<Change<'c>, AssembleError> {
        let size = size_of::<Part>() + json_size(&part);
        self.fits(size)?;
        let steps = self.show();
        let at = self.push(part, size);
        Ok(Change::Added {
            first: steps.unwrap_or(at),
        })
    }

    fn changed<'c>(&mut self, part: usize) -> Change<'c> {
        match self.show() {
            // Both a part and steps behind it: more than a change of one of them says.
            Some(_) => Change::Message,
            None => Change::Changed { part },
        }
    }

    fn resize(&mut self, at: usize, size: usize) {
        if let Some(old) = self.sizes.get_mut(at) {
            self.parts_size = self.parts_size - *old + size;
            *old = size;
        }
    }

    fn active(&mut self, kind: Kind) -> &mut ByText<Active> {
        match kind {
            Kind::Text => &mut self.texts,
            Kind::Reasoning => &mut self.reasonings,
        }
    }

    fn start_part<'c>(
        &mut self,
        kind: Kind,
        id: &Text<'_>,
        provider_metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        // The id is kept twice: in the part and to find it.
        let size = size_of::<Part>() + 2 * length(id) + provider_metadata.map_or(0, raw_length);
        self.fits(size)?;
        let provider_metadata = provider_metadata.map(own_raw);
        let part = match kind {
            Kind::Text => {
                let mut part = TextPart::new("");
                part.state = Some(TextState::Streaming);
                part.provider_metadata = provider_metadata;
                Part::Text(part)
            }
            Kind::Reasoning => {
                let mut part = ReasoningPart::new("");
                part.id = Some(own(id));
                part.state = Some(TextState::Streaming);
                part.provider_metadata = provider_metadata;
                Part::Reasoning(part)
            }
        };
        let steps = self.show();
        let at = self.push(part, size);
        let active = Active {
            part: at,
            half: Half::default(),
        };
        self.active(kind).insert(id, active);
        Ok(Change::Added {
            first: steps.unwrap_or(at),
        })
    }

    fn delta<'c>(
        &mut self,
        kind: Kind,
        id: &Text<'_>,
        delta: &'c Text<'_>,
        provider_metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        let more = 2 * length(delta) + provider_metadata.map_or(0, raw_length);
        if self.active(kind).get(id).is_none() {
            if !self.lenient {
                return Err(not_started(kind.delta(), id));
            }
            self.fits(more + size_of::<Part>() + 2 * length(id))?;
            let opened = self.start_part(kind, id, None)?;
            self.delta(kind, id, delta, provider_metadata)?;
            return Ok(opened);
        }
        self.fits(more)?;
        let Some(active) = self.active(kind).get_mut(id) else {
            return Ok(Change::Nothing);
        };
        let had_half = active.half.is_waiting();
        let piece = active.half.join(delta);
        let (at, has_half) = (active.part, active.half.is_waiting());
        let Some((text, _, metadata)) = self.message.parts.get_mut(at).and_then(text_of) else {
            return Ok(Change::Nothing);
        };
        let mut grown = mem::take(text).into_string_lossy();
        if had_half {
            grown.pop();
        }
        grown.push_str(&piece);
        if has_half {
            grown.push(char::REPLACEMENT_CHARACTER);
        }
        *text = grown.into();
        let dropped = if provider_metadata.is_some() {
            metadata.as_ref().map_or(0, raw_length)
        } else {
            0
        };
        if let Some(provider_metadata) = provider_metadata {
            *metadata = Some(own_raw(provider_metadata));
        }
        let size = self.sizes.get(at).copied().unwrap_or_default();
        self.resize(
            at,
            size + piece.len() + provider_metadata.map_or(0, raw_length) - dropped,
        );
        let appended = !had_half && !has_half && provider_metadata.is_none();
        match self.changed(at) {
            Change::Changed { part } if appended => Ok(Change::Appended { part, text: piece }),
            change => Ok(change),
        }
    }

    fn end_part<'c>(
        &mut self,
        kind: Kind,
        chunk: &TextEnd<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let Some(&active) = self.active(kind).get(&chunk.id) else {
            return Err(not_started(kind.end(), &chunk.id));
        };
        let values = [chunk.citations.as_ref(), chunk.provider_metadata.as_ref()];
        let more = values.into_iter().flatten().map(raw_length).sum();
        self.fits(more)?;
        let at = active.part;
        let size = self.sizes.get(at).copied().unwrap_or_default();
        self.resize(at, size + more);
        if let Some((_, state, provider_metadata)) =
            self.message.parts.get_mut(at).and_then(text_of)
        {
            *state = Some(TextState::Done);
            if let Some(metadata) = &chunk.provider_metadata {
                *provider_metadata = Some(own_raw(metadata));
            }
        }
        if let Some(citations) = &chunk.citations
            && let Some(Part::Text(part)) = self.message.parts.get_mut(at)
        {
            part.citations = Some(own_raw(citations));
        }
        self.active(kind).remove(&chunk.id);
        Ok(self.changed(at))
    }

    fn tool_input_start<'c>(
        &mut self,
        chunk: &ToolInputStart<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let dynamic = chunk.dynamic == Some(true);
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            encoding: chunk.input_encoding,
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            title: chunk.title.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::InputStreaming)
        };
        // Names are kept twice: in the part and for deltas that come after.
        self.fits(2 * update.size(id))?;
        let names = Names {
            tool_name: own(&chunk.tool_name),
            title: chunk.title.as_ref().map(own),
            tool_metadata: chunk.tool_metadata.as_ref().map(own_raw),
        };
        let call = Call::new(names, dynamic, chunk.input_encoding);
        self.name_tool(id, dynamic);
        self.calls.start(id, call, &mut self.message.parts);
        self.resize_released();
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    fn tool_input_delta<'c>(
        &mut self,
        chunk: &ToolInputDelta<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        let delta = &chunk.input_text_delta;
        let room = self.limit.saturating_sub(self.size());
        let step_start = self.index.step_start();
        if let Some(at) = self.calls.append_fresh(id, delta, step_start, room) {
            // The rule: one delta after the other. Nothing of the part changes but its input, and perhaps its state.
            if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
                part.state = ToolState::InputStreaming;
            }
            return Ok(self.changed(at));
        }
        let Some(call) = self.calls.get(id) else {
            return self.open_tool(chunk);
        };
        let (dynamic, nameless) = (call.dynamic, call.nameless);
        let at = self.index.tool_in_step(id, dynamic);
        let at = at.or_else(|| {
            let opened = self.index.any_tool_in_step(id);
            opened.filter(|_| nameless)
        });
        let names = call.names();
        let update = ToolUpdate {
            tool_name: Some(&names.tool_name),
            encoding: call.encoding(),
            title: names.title.as_ref(),
            tool_metadata: names.tool_metadata.as_ref(),
            input: NewInput::Streaming,
            raw_input: true,
            ..ToolUpdate::new(ToolState::InputStreaming)
        };
        // The part may not have shown any of it before.
        let more = input_growth(delta) + update.size(id) + call.shown_size();
        self.fits(more)?;
        self.calls.append(id, delta, at, &mut self.message.parts);
        self.resize_released();
        Ok(self.update_tool(id, dynamic, at, &update))
    }

    /// A delta for a call that was never started opens the call, if we are lenient. Nobody knows the tool's name.
    fn open_tool<'c>(&mut self, chunk: &ToolInputDelta<'_>) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        if !self.lenient {
            return Err(not_started("tool-input-delta", id));
        }
        if self.index.tool(id).is_some() {
            // It was started, and is over.
            return Err(not_started("tool-input-delta", id));
        }
        let update = ToolUpdate::new(ToolState::InputStreaming);
        self.fits(2 * update.size(id) + input_growth(&chunk.input_text_delta))?;
        let call = Call::new(Names::default(), false, None).nameless();
        self.calls.start(id, call, &mut self.message.parts);
        self.tool_input_delta(chunk)
    }

    /// A call that was opened without a name gets one, and with it says whether it is dynamic.
    fn name_tool(&mut self, id: &Text<'_>, dynamic: bool) {
        if !self.calls.named(id, dynamic) || self.index.tool_in_step(id, dynamic).is_some() {
            return;
        }
        let Some(at) = self.index.any_tool_in_step(id) else {
            return;
        };
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            part.dynamic = dynamic;
            self.index.kind_changed(at, part);
        }
    }

    fn tool_input_available<'c>(
        &mut self,
        chunk: &ToolInputAvailable<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let dynamic = chunk.dynamic == Some(true);
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            input: NewInput::of(chunk.input.as_ref()),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            title: chunk.title.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::InputAvailable)
        };
        self.fits(update.size(id))?;
        self.name_tool(id, dynamic);
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    fn tool_input_error<'c>(
        &mut self,
        chunk: &ToolInputError<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            input: NewInput::of(chunk.input.as_ref()),
            error_text: Some(&chunk.error_text),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            // Its title is not looked at, as in the AI SDK.
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputError)
        };
        self.fits(update.size(id))?;
        self.name_tool(id, chunk.dynamic == Some(true));
        let existing = self.index.any_tool_in_step(id);
        let existing = existing.and_then(|at| self.message.parts.get(at)?.as_tool());
        let dynamic = match existing {
            Some(part) => part.dynamic,
            None => chunk.dynamic == Some(true),
        };
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    fn tool_output_available<'c>(
        &mut self,
        chunk: &ToolOutputAvailable<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, dynamic) = self.existing_tool(&chunk.tool_call_id)?;
        let update = ToolUpdate {
            input: NewInput::Kept,
            output: chunk.output.as_ref(),
            preliminary: chunk.preliminary,
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputAvailable)
        };
        self.fits(update.size(&chunk.tool_call_id))?;
        Ok(self.update_tool(&chunk.tool_call_id, dynamic, Some(at), &update))
    }

    fn tool_output_error<'c>(
        &mut self,
        chunk: &ToolOutputError<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, dynamic) = self.existing_tool(&chunk.tool_call_id)?;
        let update = ToolUpdate {
            input: NewInput::Kept,
            raw_input: !dynamic,
            error_text: Some(&chunk.error_text),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputError)
        };
        self.fits(update.size(&chunk.tool_call_id))?;
        Ok(self.update_tool(&chunk.tool_call_id, dynamic, Some(at), &update))
    }

    fn tool_output_denied<'c>(
        &mut self,
        tool_call_id: &Text<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, _) = self.existing_tool(tool_call_id)?;
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            part.state = ToolState::OutputDenied;
        }
        Ok(self.changed(at))
    }

    fn tool_approval_request<'c>(
        &mut self,
        chunk: &ToolApprovalRequest<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, _) = self.existing_tool(&chunk.tool_call_id)?;
        let mut approval = Approval::new(own(&chunk.approval_id));
        approval.descriptor = chunk
            .approval_descriptor
            .as_ref()
            .filter(|descriptor| !descriptor.is_null())
            .map(own_raw);
        approval.input_schema_input = chunk.input_schema_input.as_ref().map(own_raw);
        approval.request_reason = chunk.reason.as_ref().map(own);
        approval.is_automatic = chunk.is_automatic.filter(|&automatic| automatic);
        approval.signature = chunk.signature.as_ref().map(own);
        self.fits(json_size(&approval) + length(&chunk.approval_id))?;
        self.set_approval(at, approval, ToolState::ApprovalRequested);
        Ok(self.changed(at))
    }

    fn tool_approval_response<'c>(
        &mut self,
        chunk: &ToolApprovalResponse<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let missing = || AssembleError::NoApproval {
            approval_id: own(&chunk.approval_id),
        };
        let at = self
            .index
            .approval(&chunk.approval_id)
            .ok_or_else(missing)?;
        let part = self.message.parts.get(at).and_then(Part::as_tool);
        let mut approval = part
            .and_then(|part| part.approval.clone())
            .ok_or_else(missing)?;
        set(
            &mut approval.approved,
            Some(chunk.approved),
            "approved",
            &mut approval.other,
        );
        if let Some(reason) = &chunk.reason {
            set(
                &mut approval.reason,
                Some(own(reason)),
                "reason",
                &mut approval.other,
            );
        }
        let more = chunk.provider_metadata.as_ref().map_or(0, raw_length);
        self.fits(json_size(&approval) + more)?;
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            if let Some(provider_executed) = chunk.provider_executed {
                let (field, other) = (&mut part.provider_executed, &mut part.other);
                set(field, Some(provider_executed), "providerExecuted", other);
            }
            if let Some(metadata) = &chunk.provider_metadata {
                part.call_provider_metadata = Some(own_raw(metadata));
            }
        }
        self.set_approval(at, approval, ToolState::ApprovalResponded);
        Ok(self.changed(at))
    }

    fn set_approval(&mut self, at: usize, approval: Approval, state: ToolState) {
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            self.index.approval_removed(at, part);
            set(
                &mut part.approval,
                Some(approval),
                "approval",
                &mut part.other,
            );
            part.state = state;
            self.index.approval_added(at, part);
        }
        self.resize_tool(at);
    }

    fn existing_tool(&self, tool_call_id: &Text<'_>) -> Result<(usize, bool), AssembleError> {
        let at = self.index.tool(tool_call_id);
        let part = at.and_then(|at| self.message.parts.get(at)?.as_tool());
        match (at, part) {
            (Some(at), Some(part)) => Ok((at, part.dynamic)),
            _ => Err(AssembleError::NoToolCall {
                tool_call_id: own(tool_call_id),
            }),
        }
    }

    /// Changes the part of a call, or adds one if there is none. It must fit.
    fn update_tool<'c>(
        &mut self,
        id: &Text<'_>,
        dynamic: bool,
        existing: Option<usize>,
        update: &ToolUpdate<'_>,
    ) -> Change<'c> {
        let (at, change) = match existing {
            Some(at) => (at, self.changed(at)),
            None => {
                let steps = self.show();
                let mut part = ToolPart::new("", own(id), update.state.clone());
                part.dynamic = dynamic;
                let at = self.push(Part::Tool(Box::new(part)), 0);
                let first = steps.unwrap_or(at);
                (at, Change::Added { first })
            }
        };
        let Some(Part::Tool(part)) = self.message.parts.get_mut(at) else {
            return change;
        };
        update.apply(part);
        match update.input {
            NewInput::Streaming => {
                // As in the AI SDK, a dynamic tool's part shows the text only from its second delta on.
                let raw = existing.is_some() || !dynamic;
                self.calls.show(id, at, raw);
            }
            NewInput::Kept => self.calls.keep(id, at, update.raw_input),
            NewInput::Value(_) | NewInput::Absent => self.calls.hide(id, at),
        }
        self.resize_tool(at);
        change
    }

    /// Weighs the part of a call, but for an input that streams, which the call weighs.
    fn resize_tool(&mut self, at: usize) {
        if let Some(Part::Tool(part)) = self.message.parts.get(at) {
            let input = if self.calls.shows(part, at) {
                0
            } else {
                input_size(part)
            };
            self.resize(at, size_of::<Part>() + size_without_input(part) + input);
        }
    }

    fn resize_released(&mut self) {
        for at in self.calls.take_released() {
            self.resize_tool(at);
        }
    }

    fn data<'c>(&mut self, chunk: &'c Data<'_>) -> Result<Change<'c>, AssembleError> {
        if chunk.transient == Some(true) {
            return Ok(Change::Transient(chunk));
        }
        let existing = chunk
            .id
            .as_ref()
            .and_then(|id| self.index.data(&chunk.name, id));
        if let Some(at) = existing
            && let Some(Part::Data(part)) = self.message.parts.get(at)
        {
            let old = part.data.as_ref().map_or(0, raw_length);
            let new = chunk.data.as_ref().map_or(0, raw_length);
            self.fits(new)?;
            if let Some(Part::Data(part)) = self.message.parts.get_mut(at) {
                part.data = chunk.data.as_ref().map(own_raw);
            }
            let size = self.sizes.get(at).copied().unwrap_or_default();
            self.resize(at, (size + new).saturating_sub(old));
            return Ok(self.changed(at));
        }
        let mut part = DataPart {
            name: own(&chunk.name),
            id: chunk.id.as_ref().map(own),
            data: chunk.data.as_ref().map(own_raw),
            other: Members::new(),
        };
        if let Some(transient) = chunk.transient {
            part.other
                .insert("transient", serde_json::Value::from(transient).into());
        }
        for (name, value) in &chunk.other {
            part.other.push(own(name), own_raw(value));
        }
        self.add(Part::Data(part))
    }

    fn reset_step<'c>(&mut self) -> Change<'c> {
        self.calls.clear(&mut self.message.parts);
        self.resize_released();
        self.texts = ByText::default();
        self.reasonings = ByText::default();
        let left = self.index.step_start();
        if left >= self.message.parts.len() {
            return Change::Nothing;
        }
        for (at, part) in self.message.parts.drain(left..).enumerate() {
            self.index.removed(left + at, &part);
        }
        self.parts_size -= self.sizes.drain(left..).sum::<usize>();
        self.shown = true;
        Change::Removed { left }
    }

    fn start<'c>(&mut self, chunk: &Start<'_>) -> Result<Change<'c>, AssembleError> {
        let metadata = chunk
            .message_metadata
            .as_ref()
            .filter(|value| !value.is_null());
        let Some(id) = &chunk.message_id else {
            return self.merge_metadata(metadata);
        };
        if self.message.id.as_ref() == Some(id) {
            self.merge_metadata(metadata)?;
        } else {
            let message = UiMessage::assistant(Vec::new()).with_id(own(id));
            let mut fresh = Self::with_message(message)
                .with_limit(self.limit)
                .lenient(self.lenient);
            fresh.fits(0)?;
            fresh.merge_metadata(metadata)?;
            *self = fresh;
        }
        self.show();
        Ok(Change::Message)
    }

    fn merge_metadata<'c>(
        &mut self,
        metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else {
            return Ok(Change::Nothing);
        };
        let room = Room {
            // It is shown, too.
            bytes: self.limit.saturating_sub(self.size()) / 2,
            limit: self.limit,
        };
        self.metadata.merge(metadata, room)?;
        self.metadata_is_stale = true;
        self.show();
        Ok(Change::Message)
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Reasoning,
}

impl Kind {
    fn delta(self) -> &'static str {
        match self {
            Self::Text => "text-delta",
            Self::Reasoning => "reasoning-delta",
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Text => "text-end",
            Self::Reasoning => "reasoning-end",
        }
    }
}

/// What a chunk says about the part of a tool call. Members that it does not set are gone afterwards, but for those that stay once
/// they are set: title, metadata, and whether the provider executes the tool.
struct ToolUpdate<'u> {
    state: ToolState,
    /// Kept if absent.
    tool_name: Option<&'u Text<'u>>,
    encoding: Option<InputEncoding>,
    input: NewInput<'u>,
    /// Whether the text of the input stays.
    raw_input: bool,
    output: Option<&'u RawJson<'u>>,
    preliminary: Option<bool>,
    error_text: Option<&'u Text<'u>>,
    provider_executed: Option<bool>,
    provider_metadata: Option<&'u RawJson<'u>>,
    title: Option<&'u Text<'u>>,
    tool_metadata: Option<&'u RawJson<'u>>,
}

enum NewInput<'u> {
    Absent,
    Value(&'u RawJson<'u>),
    /// As before.
    Kept,
    /// What the call has.
    Streaming,
}

impl<'u> NewInput<'u> {
    fn of(input: Option<&'u RawJson<'u>>) -> Self {
        input.map_or(Self::Absent, Self::Value)
    }
}

impl ToolUpdate<'_> {
    fn new(state: ToolState) -> Self {
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

    /// What a part that shows this may hold, in bytes, about.
    fn size(&self, tool_call_id: &Text<'_>) -> usize {
        let input = match self.input {
            NewInput::Value(input) => raw_length(input),
            _ => 0,
        };
        let values = [self.output, self.provider_metadata, self.tool_metadata];
        let texts = [self.tool_name, self.error_text, self.title];
        // The id is kept in the part, to find it in the step, and to find it in the message.
        size_of::<Part>()
            + size_of::<ToolPart>()
            + 3 * length(tool_call_id)
            + input
            + values.into_iter().flatten().map(raw_length).sum::<usize>()
            + texts.into_iter().flatten().map(length).sum::<usize>()
    }

    fn apply(&self, part: &mut ToolPart) {
        let other = &mut part.other;
        part.state = self.state.clone();
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

type TextFields<'p> = (
    &'p mut Text<'static>,
    &'p mut Option<TextState>,
    &'p mut Option<RawJson<'static>>,
);

/// The fields that text and reasoning parts share: text, state and the provider's metadata.
fn text_of(part: &mut Part) -> Option<TextFields<'_>> {
    match part {
        Part::Text(part) => Some((&mut part.text, &mut part.state, &mut part.provider_metadata)),
        Part::Reasoning(part) => {
            Some((&mut part.text, &mut part.state, &mut part.provider_metadata))
        }
        _ => None,
    }
}

fn not_started(chunk: &'static str, id: &Text<'_>) -> AssembleError {
    AssembleError::NotStarted { chunk, id: own(id) }
}

fn own(text: &Text<'_>) -> Text<'static> {
    text.clone().into_owned()
}

fn own_raw(raw: &RawJson<'_>) -> RawJson<'static> {
    raw.clone().into_owned()
}

fn raw_length(raw: &RawJson<'_>) -> usize {
    raw.get().len()
}
