use std::mem;

use super::by_text::ByText;
use super::calls::Calls;
use super::change::Change;
use super::error::AssembleError;
use super::index::Index;
use super::metadata::{Metadata, Room};
use super::texts::{Active, Kind};
use crate::ui::chunk::Start;
use crate::ui::held::{Held, OwnedSize, owned, owned_raw};
use crate::ui::{
    Chunk, CustomPart, FilePart, Part, RawJson, ReasoningFilePart, Role, SourceDocumentPart,
    SourceUrlPart, SteeringMessagePart, StepStartPart, Text, UiMessage,
};

/// Assembles chunks into the message that they describe.
///
/// The message is the one that `useChat` and `readUIMessageStream` of the AI SDK 7.0.173 show after the same chunks.
/// [`apply`](Self::apply) applies a chunk and returns the change; [`message`](Self::message) returns the message at any time. The
/// work is proportional to the size of the chunks: the input of a tool is parsed as it arrives, and written into the message only
/// when the message is looked at.
///
/// ```text
///  apply(chunk) ─┬─ text, reasoning ──────► texts, reasonings: the open parts by id ────────────────► message
///                ├─ tool ─────────────────► index: finds the part; calls: inputs that stream ─ settle ► message
///                ├─ metadata ─────────────► metadata: merges ─ message() ───────────────────────────► message
///                ├─ start-step ───────────► pending_steps ─ show(), with the next visible change ───► message
///                └─ start with a new id ──► drops everything
/// ```
///
/// # Errors and recovery
///
/// A chunk that does not fit the message is an [`AssembleError`] and leaves the message unchanged. The AI SDK stops there; you may
/// continue. With [`lenient`](Self::lenient), a delta for a part that was never started opens that part, so that a stream can be
/// shown that was joined in the middle.
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
    pub(super) message: UiMessage,
    pub(super) metadata: Metadata,
    /// Whether `metadata` has changed since it was last written into the message.
    pub(super) metadata_is_stale: bool,
    pub(super) index: Index,
    /// The text parts that have not ended.
    pub(super) texts: ByText<Active>,
    /// The reasoning parts that have not ended.
    pub(super) reasonings: ByText<Active>,
    pub(super) calls: Calls,
    /// The number of steps that have begun but have no part yet. As in the AI SDK, the next visible change makes them visible.
    pub(super) pending_steps: usize,
    /// Whether there has been a visible change.
    pub(super) shown: bool,
    pub(super) lenient: bool,
    pub(super) limit: usize,
    /// The memory of each part in bytes, without its place in the message, and without inputs that stream, which their calls
    /// count.
    pub(super) sizes: Vec<usize>,
    /// The sum of `sizes`.
    pub(super) parts_size: usize,
    /// The memory of the message's other members.
    pub(super) other_size: usize,
}

impl Assembler {
    /// The default memory limit in bytes: 256 MiB. [`with_limit`](Self::with_limit) changes it.
    pub const DEFAULT_LIMIT: usize = 256 * 1024 * 1024;

    /// The deepest nesting of objects in metadata.
    pub const MAX_METADATA_DEPTH: usize = Metadata::MAX_DEPTH;

    /// Creates an assembler with an empty assistant message. Its id is empty until the stream sets it.
    #[must_use]
    pub fn new() -> Self {
        Self::with_message(UiMessage::new(Role::Assistant, Vec::new()).with_id(""))
    }

    /// Creates an assembler that continues an assistant message, for example after a run was resumed.
    ///
    /// A message of another role is not continued. The new assistant message then has the id of that message, until the stream
    /// sets another.
    #[must_use]
    pub fn continuing(mut message: UiMessage) -> Self {
        if message.role != Role::Assistant {
            let id = message.id.take().unwrap_or_default();
            message = UiMessage::new(Role::Assistant, Vec::new()).with_id(id);
        }
        Self::with_message(message)
    }

    /// Sets the memory limit in bytes. A chunk that would exceed it is an [`AssembleError::TooLarge`] and is dropped as a whole.
    /// Default: [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    ///
    /// All allocations count:
    ///
    /// - the message with its parts, and the index of the parts
    /// - the spare capacity of texts that have not ended
    /// - the inputs of tools twice: as they arrive, and as the message shows them
    /// - metadata twice: in the form for merging, and as the message shows it
    /// - temporary memory, in particular the old buffer while a text moves to a larger one
    ///
    /// So the largest text is about half the limit, and the largest input of a tool about a fifth. Allocators add their own
    /// overhead, up to a quarter of the limit.
    ///
    /// Memory of the caller does not count: chunks, and clones of the assembler or of the message. A message to
    /// [continue](Self::continuing) counts, but is never refused.
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.set_limit(bytes);
        self
    }

    /// Changes the memory limit from now on; see [`with_limit`](Self::with_limit). The message so far is kept, even if it exceeds
    /// the new limit.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Sets whether a delta for a part that was never started opens that part. Otherwise it is an error. Default: false, as in the
    /// AI SDK.
    ///
    /// The tool of a call that is opened this way has an empty name until a chunk brings the name.
    #[must_use]
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Returns whether a delta for a part that was never started opens that part.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Applies a chunk, and returns the change.
    ///
    /// # Errors
    /// The chunk does not fit the message, or would exceed the memory limit. The message is unchanged.
    pub fn apply<'c>(&mut self, chunk: &'c Chunk<'_>) -> Result<Change<'c>, AssembleError> {
        // Every branch checks that the chunk fits before it changes anything, because an error must leave the message unchanged.
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
            Chunk::TextEnd(chunk) => self.end_part(
                Kind::Text,
                &chunk.id,
                chunk.citations.as_ref(),
                chunk.provider_metadata.as_ref(),
            ),
            Chunk::ReasoningStart(chunk) => {
                self.start_part(Kind::Reasoning, &chunk.id, chunk.provider_metadata.as_ref())
            }
            Chunk::ReasoningEnd(chunk) => self.end_part(
                Kind::Reasoning,
                &chunk.id,
                None,
                chunk.provider_metadata.as_ref(),
            ),
            Chunk::ToolInputStart(chunk) => self.tool_input_start(chunk),
            Chunk::ToolInputAvailable(chunk) => self.tool_input_available(chunk),
            Chunk::ToolInputError(chunk) => self.tool_input_error(chunk),
            Chunk::ToolOutputAvailable(chunk) => self.tool_output_available(chunk),
            Chunk::ToolOutputError(chunk) => self.tool_output_error(chunk),
            Chunk::ToolOutputDenied(chunk) => self.tool_output_denied(&chunk.tool_call_id),
            Chunk::ToolApprovalRequest(chunk) => self.tool_approval_request(chunk),
            Chunk::ToolApprovalResponse(chunk) => self.tool_approval_response(chunk),
            Chunk::SourceUrl(chunk) => {
                self.fits_parts(1, chunk.owned_size())?;
                let mut part = SourceUrlPart::new(own(&chunk.source_id), own(&chunk.url));
                part.title = chunk.title.as_ref().map(own);
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                Ok(self.add(Part::SourceUrl(part)))
            }
            Chunk::SourceDocument(chunk) => {
                self.fits_parts(1, chunk.owned_size())?;
                let mut part = SourceDocumentPart::new(
                    own(&chunk.source_id),
                    own(&chunk.media_type),
                    own(&chunk.title),
                );
                part.filename = chunk.filename.as_ref().map(own);
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                Ok(self.add(Part::SourceDocument(part)))
            }
            Chunk::File(chunk) => {
                self.fits_parts(1, chunk.owned_size())?;
                let mut part = FilePart::new(own(&chunk.url), own(&chunk.media_type));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                Ok(self.add(Part::File(part)))
            }
            Chunk::ReasoningFile(chunk) => {
                self.fits_parts(1, chunk.owned_size())?;
                let mut part = ReasoningFilePart::new(own(&chunk.url), own(&chunk.media_type));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                Ok(self.add(Part::ReasoningFile(part)))
            }
            Chunk::Custom(chunk) => {
                self.fits_parts(1, chunk.owned_size())?;
                let mut part = CustomPart::new(own(&chunk.kind));
                part.provider_metadata = chunk.provider_metadata.as_ref().map(own_raw);
                Ok(self.add(Part::Custom(part)))
            }
            Chunk::SteeringMessage(chunk) => {
                let parts = SteeringMessagePart::size_of_parts(&chunk.parts);
                self.fits_parts(1, owned(&chunk.id) + parts)?;
                let parts = SteeringMessagePart::read_parts(&chunk.parts).unwrap_or_default();
                let part = SteeringMessagePart::new(own(&chunk.id), parts);
                Ok(self.add(Part::SteeringMessage(part)))
            }
            Chunk::Data(chunk) => self.data(chunk),
            Chunk::StartStep => {
                // The capacity is reserved now, so that the step fits when it becomes visible.
                self.fits_parts(1, 0)?;
                self.pending_steps += 1;
                self.index.begin_step(self.message.parts.len());
                Ok(Change::Nothing)
            }
            Chunk::ResetStep => Ok(self.reset_step()),
            Chunk::Start(chunk) => self.start(chunk),
            Chunk::Finish(chunk) => self.merge_metadata(chunk.message_metadata.as_ref()),
            Chunk::MessageMetadata(chunk) => self.merge_metadata(chunk.message_metadata.as_ref()),
            Chunk::Error(chunk) => Ok(Change::Failed(&chunk.error_text)),
            // As in the AI SDK, `finish-step` closes no part.
            Chunk::FinishStep | Chunk::Abort(_) | Chunk::Unknown(_) => Ok(Change::Nothing),
        }
    }

    /// Returns the message so far.
    ///
    /// Tool inputs and metadata that have changed since the last call are written into it now, in time proportional to their size.
    pub fn message(&mut self) -> &UiMessage {
        self.calls.settle(&mut self.message.parts);
        if mem::take(&mut self.metadata_is_stale) {
            // Drop the shown metadata before it is built anew: both together could exceed the limit.
            self.message.metadata = None;
            self.message.metadata = self.metadata.to_json();
        }
        &self.message
    }

    /// Returns the number of parts, without writing anything into the message.
    pub(crate) fn part_count(&self) -> usize {
        self.message.parts.len()
    }

    /// Returns the number of steps that have begun, including those that are not visible yet.
    pub(crate) fn step_count(&self) -> usize {
        let is_step = |part: &&Part| matches!(part, Part::StepStart(_));
        self.message.parts.iter().filter(is_step).count() + self.pending_steps
    }

    /// Returns the message so far, and drops the assembler.
    #[must_use]
    pub fn into_message(mut self) -> UiMessage {
        self.message();
        self.message
    }

    /// Returns whether the message has had a visible change. Until then, the AI SDK shows no message at all.
    #[must_use]
    pub fn has_shown(&self) -> bool {
        self.shown
    }

    fn with_message(message: UiMessage) -> Self {
        let index = Index::of(&message.parts);
        let step = message.parts.get(index.step_start()..).unwrap_or_default();
        let calls = Calls::of(step);
        let sizes: Vec<usize> = message.parts.iter().map(Part::held).collect();
        Self {
            index,
            calls,
            parts_size: sizes.iter().sum(),
            sizes,
            other_size: message.other.held(),
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

    /// Makes the steps that have begun visible, before another visible change. Returns the index of the first of them, if there
    /// are any.
    pub(super) fn show(&mut self) -> Option<usize> {
        self.shown = true;
        if self.pending_steps == 0 {
            return None;
        }
        let first = self.message.parts.len();
        let steps = mem::take(&mut self.pending_steps);
        // `fits_parts` has reserved this already. Only a clone, which has no spare capacity, allocates here.
        self.message.parts.reserve_exact(steps);
        self.sizes.reserve_exact(steps);
        for _ in 0..steps {
            self.push(Part::StepStart(StepStartPart::new()));
        }
        Some(first)
    }

    /// Appends a part. The caller has checked that it fits.
    pub(super) fn push(&mut self, part: Part) -> usize {
        let at = self.message.parts.len();
        let size = part.held();
        self.index.added(at, &part);
        self.message.parts.push(part);
        self.sizes.push(size);
        self.parts_size += size;
        at
    }

    /// Appends a part and returns the change. The caller has checked that it fits.
    pub(super) fn add<'c>(&mut self, part: Part) -> Change<'c> {
        let steps = self.show();
        let at = self.push(part);
        Change::Added {
            first: steps.unwrap_or(at),
        }
    }

    pub(super) fn changed<'c>(&mut self, part: usize) -> Change<'c> {
        match self.show() {
            // New steps at the end and the change of another part: no single change describes both.
            Some(_) => Change::Message,
            None => Change::Changed { part },
        }
    }

    fn reset_step<'c>(&mut self) -> Change<'c> {
        // All of them, also those of earlier steps: as in the AI SDK, a reset forgets every open part and every partial call.
        self.calls.clear(&mut self.message.parts);
        self.resize_released();
        self.texts = ByText::default();
        self.reasonings = ByText::default();
        let left = self.index.step_start();
        if left >= self.message.parts.len() {
            // The step has no parts yet. Its start stays, even if it is not visible yet.
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
            // Without an id, the message is continued.
            return self.merge_metadata(metadata);
        };
        if self.message.id.as_ref() == Some(id) {
            self.merge_metadata(metadata)?;
        } else {
            // The old message is dropped before anything new is allocated, because both together could exceed the limit. An error
            // must leave the message unchanged, so check first.
            let metadata_size = metadata.map_or(0, |metadata| 2 * owned_raw(metadata));
            if owned(id) + metadata_size > self.limit {
                return Err(self.too_large());
            }
            let (limit, lenient) = (self.limit, self.lenient);
            *self = Self::new().with_limit(limit).lenient(lenient);
            self.message.id = Some(own(id));
            self.merge_metadata(metadata)?;
        }
        self.show();
        Ok(Change::Message)
    }

    fn merge_metadata<'c>(
        &mut self,
        metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        // As in the AI SDK, `null` counts as absent.
        let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else {
            return Ok(Change::Nothing);
        };
        let room = Room {
            bytes: self.room(),
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

pub(super) fn not_started(chunk: &'static str, id: &Text<'_>) -> AssembleError {
    AssembleError::NotStarted { chunk, id: own(id) }
}

pub(super) fn own(text: &Text<'_>) -> Text<'static> {
    text.clone().into_owned()
}

pub(super) fn own_raw(raw: &RawJson<'_>) -> RawJson<'static> {
    raw.clone().into_owned()
}
