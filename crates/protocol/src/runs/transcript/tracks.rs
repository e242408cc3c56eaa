use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use crate::ui::chunk::MessageMetadata;
use crate::ui::{Chunk, Text, TextKind};

/// What was delivered, one track for each thing that comes in an order of its own: two readers of a run are sent the same
/// contents, but deltas are cut elsewhere, texts have other ids, and what is written in parallel may be woven otherwise.
#[derive(Debug, Default)]
pub(in crate::runs) struct Tracks {
    /// The texts, and the reasonings.
    pub(super) written: HashMap<TextKind, Vec<Written>>,
    /// Which of them have not ended.
    open: HashMap<(TextKind, Text<'static>), usize>,
    pub(super) tools: HashMap<Text<'static>, Tool>,
    /// The values of each data part that is known by its name and id, as JSON. The last counts; another stream may leave out the
    /// others.
    pub(super) data: HashMap<DataId, Vec<String>>,
    /// All other chunks of content, as JSON.
    pub(super) others: Vec<String>,
    /// All metadata, without what each reader is told otherwise.
    pub(super) metadata: Vec<String>,
    /// What all of it holds in bytes, about.
    size: usize,
}

/// The name and the id of a data part.
pub(super) type DataId = (Text<'static>, Text<'static>);

/// A text or reasoning part.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: Text<'static>,
    pub(super) text: String,
    pub(super) ended: bool,
}

/// A tool call.
#[derive(Debug, Default)]
pub(super) struct Tool {
    pub(super) input: String,
    /// How many chunks of each type, deltas aside.
    pub(super) chunks: BTreeMap<&'static str, usize>,
}

/// Where a chunk belongs.
pub(super) enum Track<'c> {
    Start(TextKind, &'c Text<'static>),
    Delta(TextKind, &'c Text<'static>, &'c Text<'static>),
    End(TextKind, &'c Text<'static>),
    ToolInput(&'c Text<'static>, &'c Text<'static>),
    /// The call, and what of it this is.
    Tool(&'c Text<'static>, &'static str),
    Data(DataId),
    Metadata,
    Other,
    /// About the run and not of its content.
    Run,
}

impl<'c> Track<'c> {
    /// Every type of chunk is named, so that the compiler asks where a new one belongs.
    pub(super) fn of(chunk: &'c Chunk<'static>) -> Self {
        match chunk {
            Chunk::TextStart(chunk) => Self::Start(TextKind::Text, &chunk.id),
            Chunk::TextDelta(chunk) => Self::Delta(TextKind::Text, &chunk.id, &chunk.delta),
            Chunk::TextEnd(chunk) => Self::End(TextKind::Text, &chunk.id),
            Chunk::ReasoningStart(chunk) => Self::Start(TextKind::Reasoning, &chunk.id),
            Chunk::ReasoningDelta(chunk) => {
                Self::Delta(TextKind::Reasoning, &chunk.id, &chunk.delta)
            }
            Chunk::ReasoningEnd(chunk) => Self::End(TextKind::Reasoning, &chunk.id),
            Chunk::ToolInputDelta(chunk) => {
                Self::ToolInput(&chunk.tool_call_id, &chunk.input_text_delta)
            }
            Chunk::ToolInputStart(chunk) => Self::Tool(&chunk.tool_call_id, "start"),
            Chunk::ToolInputAvailable(chunk) => Self::Tool(&chunk.tool_call_id, "input"),
            Chunk::ToolInputError(chunk) => Self::Tool(&chunk.tool_call_id, "wrong input"),
            Chunk::ToolApprovalRequest(chunk) => Self::Tool(&chunk.tool_call_id, "approval"),
            Chunk::ToolOutputAvailable(chunk) => match chunk.preliminary {
                Some(true) => Self::Tool(&chunk.tool_call_id, Tool::PRELIMINARY),
                _ => Self::Tool(&chunk.tool_call_id, Tool::OUTPUT),
            },
            Chunk::ToolOutputError(chunk) => Self::Tool(&chunk.tool_call_id, Tool::ERROR),
            Chunk::ToolOutputDenied(chunk) => Self::Tool(&chunk.tool_call_id, Tool::DENIED),
            Chunk::Data(chunk) => match &chunk.id {
                Some(id) => Self::Data((chunk.name.clone(), id.clone())),
                None => Self::Other,
            },
            Chunk::MessageMetadata(_) => Self::Metadata,
            Chunk::Start(_) | Chunk::Finish(_) | Chunk::Error(_) | Chunk::Abort(_) => Self::Run,
            Chunk::StartStep
            | Chunk::FinishStep
            | Chunk::ResetStep
            | Chunk::ToolApprovalResponse(_)
            | Chunk::SourceUrl(_)
            | Chunk::SourceDocument(_)
            | Chunk::File(_)
            | Chunk::ReasoningFile(_)
            | Chunk::Custom(_)
            | Chunk::SteeringMessage(_)
            | Chunk::Unknown(_) => Self::Other,
        }
    }
}

impl Tool {
    /// An output that another replaces. Another stream may leave it out.
    pub(super) const PRELIMINARY: &str = "preliminary";
    const OUTPUT: &str = "output";
    const ERROR: &str = "error";
    const DENIED: &str = "denied";

    /// Whether the call has come to its result.
    pub(super) fn has_result(&self) -> bool {
        let results = [Self::OUTPUT, Self::ERROR, Self::DENIED];
        results
            .iter()
            .any(|result| self.chunks.contains_key(result))
    }
}

impl Tracks {
    pub(super) fn record(&mut self, chunk: &Chunk<'static>) {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let parts = self.written.entry(kind).or_default();
                let at = parts.len();
                parts.push(Written {
                    id: id.clone(),
                    text: String::new(),
                    ended: false,
                });
                self.open.insert((kind, id.clone()), at);
                self.size += 2 * held(id) + size_of::<Written>();
            }
            Track::Delta(kind, id, delta) => {
                if let Some(at) = self.open.get(&(kind, id.clone())).copied()
                    && let Some(part) = self.written.entry(kind).or_default().get_mut(at)
                {
                    self.size += append(&mut part.text, delta);
                }
            }
            Track::End(kind, id) => {
                if let Some(at) = self.open.remove(&(kind, id.clone()))
                    && let Some(part) = self.written.entry(kind).or_default().get_mut(at)
                {
                    part.ended = true;
                }
            }
            Track::ToolInput(id, delta) => {
                let grown = append(&mut self.tool(id).input, delta);
                self.size += grown;
            }
            Track::Tool(id, what) => *self.tool(id).chunks.entry(what).or_default() += 1,
            Track::Data(id) => {
                let value = chunk.encode();
                self.size += held(&id.0) + held(&id.1) + value.capacity() + ENTRY;
                self.data.entry(id).or_default().push(value);
            }
            Track::Metadata => {
                let metadata = metadata_of(chunk);
                self.size += metadata.capacity() + ENTRY;
                self.metadata.push(metadata);
            }
            Track::Other => {
                let other = chunk.encode();
                self.size += other.capacity() + ENTRY;
                self.others.push(other);
            }
            Track::Run => {}
        }
    }

    /// What it holds in memory in bytes, about.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn written(&self, kind: TextKind) -> &[Written] {
        self.written.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// How long all texts are in bytes, and whether there are tool calls: by these it is recognized.
    pub(super) fn telling(&self) -> (usize, bool) {
        let written = self.written.values().flatten();
        let length = written.map(|part| part.text.len()).sum();
        (length, !self.tools.is_empty())
    }

    fn tool(&mut self, id: &Text<'static>) -> &mut Tool {
        if !self.tools.contains_key(id) {
            // The chunks of a call are few, but each has an entry of its own.
            self.size += held(id) + size_of::<Tool>() + 8 * ENTRY;
        }
        self.tools.entry(id.clone()).or_default()
    }
}

/// The metadata of a chunk as JSON, without `finalTextId`: the ids of texts are each reader's own.
pub(super) fn metadata_of(chunk: &Chunk<'static>) -> String {
    let Chunk::MessageMetadata(MessageMetadata {
        message_metadata: Some(metadata),
        ..
    }) = chunk
    else {
        return String::new();
    };
    let members = metadata.deserialize::<BTreeMap<String, &RawValue>>();
    let without_id = members.ok().and_then(|mut members| {
        members.remove("finalTextId");
        serde_json::to_string(&members).ok()
    });
    without_id.unwrap_or_else(|| metadata.get().to_owned())
}

/// Appends to a text. How much it has grown in memory.
fn append(text: &mut String, delta: &Text<'_>) -> usize {
    let before = text.capacity();
    text.push_str(&delta.to_string_lossy());
    text.capacity() - before
}

/// What an entry of a table takes beside its contents.
const ENTRY: usize = 64;

/// What an id holds as the key of a table.
fn held(id: &Text<'_>) -> usize {
    id.to_string_lossy().len() + ENTRY
}
