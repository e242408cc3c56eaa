use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::room::Places;
use crate::ui::chunk::MessageMetadata;
use crate::ui::held::{allocation, first_node, owned};
use crate::ui::{Chunk, Text, TextKind};

/// What was delivered, one track for each thing that comes in an order of its own: two readers of a run are sent the same
/// contents, but deltas are cut elsewhere, texts have other ids, and what is written in parallel may be woven otherwise.
#[derive(Debug, Default)]
pub(in crate::runs) struct Tracks {
    pub(super) texts: Vec<Written>,
    pub(super) reasonings: Vec<Written>,
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
    /// What the entries hold, in bytes.
    contents: usize,
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
    /// How many outputs that another replaces. Another stream may leave them out.
    pub(super) preliminary: usize,
}

/// Where a chunk belongs.
pub(super) enum Track<'c> {
    Start(TextKind, &'c Text<'static>),
    Delta(TextKind, &'c Text<'static>, &'c Text<'static>),
    End(TextKind, &'c Text<'static>),
    ToolInput(&'c Text<'static>, &'c Text<'static>),
    /// The call, and what of it this is.
    Tool(&'c Text<'static>, &'static str),
    Preliminary(&'c Text<'static>),
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
                Some(true) => Self::Preliminary(&chunk.tool_call_id),
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
    const OUTPUT: &str = "output";
    const ERROR: &str = "error";
    const DENIED: &str = "denied";
    /// What its chunks take: they are of fewer types than one node has places.
    pub(super) const TABLE: usize = first_node(size_of::<(&str, usize)>());

    /// Whether the call has come to its result.
    pub(super) fn has_result(&self) -> bool {
        let results = [Self::OUTPUT, Self::ERROR, Self::DENIED];
        results
            .iter()
            .any(|result| self.chunks.contains_key(result))
    }
}

impl Tracks {
    /// Records a chunk, unless there is no `room` for it, in bytes. Whether it has.
    pub(super) fn record(&mut self, chunk: &Chunk<'static>, room: usize) -> bool {
        let track = Track::of(chunk);
        let json = match &track {
            Track::Data(_) | Track::Other => exact(chunk.encode()),
            Track::Metadata => exact(metadata_of(chunk)),
            _ => String::new(),
        };
        if self.growth(&track, &json) > room {
            return false;
        }
        self.contents += allocation(json.capacity());
        match track {
            Track::Start(kind, id) => {
                let parts = self.written_mut(kind);
                let at = parts.len();
                parts.push(Written {
                    id: id.clone(),
                    text: String::new(),
                    ended: false,
                });
                self.open.insert((kind, id.clone()), at);
                self.contents += 2 * owned(id);
            }
            Track::Delta(kind, id, delta) => {
                if let Some(at) = self.open.get(&(kind, id.clone())).copied()
                    && let Some(part) = self.written_mut(kind).get_mut(at)
                {
                    let before = part.text.capacity();
                    part.text.push_str(&delta.to_string_lossy());
                    let grown = part.text.capacity() - before;
                    self.contents += grown;
                }
            }
            Track::End(kind, id) => {
                if let Some(at) = self.open.remove(&(kind, id.clone()))
                    && let Some(part) = self.written_mut(kind).get_mut(at)
                {
                    part.ended = true;
                }
            }
            Track::ToolInput(id, delta) => {
                let tool = self.tool(id);
                let before = tool.input.capacity();
                tool.input.push_str(&delta.to_string_lossy());
                let grown = tool.input.capacity() - before;
                self.contents += grown;
            }
            Track::Tool(id, what) => *self.tool(id).chunks.entry(what).or_default() += 1,
            Track::Preliminary(id) => self.tool(id).preliminary += 1,
            Track::Data(id) => {
                if !self.data.contains_key(&id) {
                    self.contents += owned(&id.0) + owned(&id.1);
                }
                let values = self.data.entry(id).or_default();
                let before = values.places();
                values.push(json);
                self.contents += values.places() - before;
            }
            Track::Metadata => self.metadata.push(json),
            Track::Other => self.others.push(json),
            Track::Run => {}
        }
        true
    }

    /// What it holds in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.contents
            + self.texts.places()
            + self.reasonings.places()
            + self.open.places()
            + self.tools.places()
            + self.data.places()
            + self.others.places()
            + self.metadata.places()
    }

    /// What it holds more while a chunk is recorded, at most.
    fn growth(&self, track: &Track<'_>, json: &str) -> usize {
        // A text that is full moves to another of twice its size.
        let text = |known: &String, delta: &Text<'static>| {
            let needed = known.len() + delta.stored_len();
            match needed <= known.capacity() {
                true => 0,
                false => needed.max(2 * known.capacity()),
            }
        };
        match track {
            Track::Start(kind, id) => {
                let written = match kind {
                    TextKind::Text => &self.texts,
                    TextKind::Reasoning => &self.reasonings,
                };
                written.growth() + self.open.growth() + 2 * owned(id)
            }
            Track::Delta(kind, id, delta) => {
                let at = self.open.get(&(*kind, (*id).clone()));
                let part = at.and_then(|at| self.written(*kind).get(*at));
                part.map_or(0, |part| text(&part.text, delta))
            }
            Track::ToolInput(id, delta) => match self.tools.get(*id) {
                Some(tool) => text(&tool.input, delta),
                None => self.tool_growth(id) + 2 * owned(delta),
            },
            Track::Tool(id, _) | Track::Preliminary(id) => match self.tools.contains_key(*id) {
                true => 0,
                false => self.tool_growth(id),
            },
            Track::Data(id) => {
                let values = self.data.get(id);
                let values = values.map_or_else(
                    || self.data.growth() + owned(&id.0) + owned(&id.1) + FIRST_VALUES,
                    Places::growth,
                );
                values + allocation(json.len())
            }
            Track::Metadata => self.metadata.growth() + allocation(json.len()),
            Track::Other => self.others.growth() + allocation(json.len()),
            Track::End(..) | Track::Run => 0,
        }
    }

    fn tool_growth(&self, id: &Text<'static>) -> usize {
        self.tools.growth() + owned(id) + Tool::TABLE
    }

    pub(super) fn written(&self, kind: TextKind) -> &[Written] {
        match kind {
            TextKind::Text => &self.texts,
            TextKind::Reasoning => &self.reasonings,
        }
    }

    /// How long all texts are in bytes, and whether there are tool calls: by these it is recognized.
    pub(super) fn telling(&self) -> (usize, bool) {
        let written = self.texts.iter().chain(&self.reasonings);
        let length = written.map(|part| part.text.len()).sum();
        (length, !self.tools.is_empty())
    }

    fn written_mut(&mut self, kind: TextKind) -> &mut Vec<Written> {
        match kind {
            TextKind::Text => &mut self.texts,
            TextKind::Reasoning => &mut self.reasonings,
        }
    }

    fn tool(&mut self, id: &Text<'static>) -> &mut Tool {
        if !self.tools.contains_key(id) {
            self.contents += owned(id) + Tool::TABLE;
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

/// What the first values of a data part take.
const FIRST_VALUES: usize = 4 * size_of::<String>();

/// Without places that are not used.
fn exact(mut text: String) -> String {
    text.shrink_to_fit();
    text
}
