use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::{Torn, Transcript};
use crate::ui::chunk::{Finish, Start};
use crate::ui::held::Held;
use crate::ui::{
    Chunk, Part, RawJson, Text, TextKind, UiMessage, chunks_of, rest_of_call, rest_of_metadata,
    rest_of_text, same,
};

/// The delivered message, with the places where something may be missing.
#[derive(Debug)]
pub(super) struct Delivered<'a> {
    pub(super) parts: &'a [Part],
    /// The number of steps that have begun.
    pub(super) steps: usize,
    /// The tool calls whose input was incomplete at a gap.
    pub(super) torn: &'a Torn,
    /// The parts that have not ended, with their ids.
    pub(super) open: HashMap<usize, Text<'static>>,
    /// The number of parts before the first gap.
    pub(super) first_gap: Option<usize>,
    /// The parts that were incomplete at a gap.
    pub(super) cut: &'a [usize],
}

/// The relation of a stored answer to what was delivered.
struct Continuation {
    /// The chunks of it to deliver.
    chunks: Vec<Chunk<'static>>,
    /// Whether something may be missing before them.
    is_gap: bool,
    /// Whether it contains everything that was delivered.
    holds_all: bool,
}

impl Transcript {
    /// Delivers what is missing from the stored answer. The stored answer becomes the message if it contains everything that was
    /// delivered, or if it `is_vouched` for. Returns whether it contains everything.
    pub(in crate::runs) fn settle(&mut self, stored: UiMessage, is_vouched: bool) -> bool {
        let continuation = self.continuation(&stored);
        // After `finish` nothing may be delivered; the stored answer can still become the message.
        if !self.reported.has_finished {
            if !self.reported.has_started {
                let mut start = Start::new();
                start.message_id = stored.id.clone();
                self.deliver(start.into());
            }
            if continuation.is_gap {
                self.gap();
            }
            self.deliver_all(continuation.chunks);
            let metadata = self.assembler.message().metadata.as_ref();
            if let Some(metadata) = rest_of_metadata(&stored, metadata) {
                self.deliver(metadata);
            }
            self.finish();
        }
        if continuation.holds_all || is_vouched {
            let delivered = self.assembler.message().metadata.as_ref();
            let mut stored = stored;
            if let Some(metadata) = with_metadata(stored.metadata.as_ref(), delivered) {
                stored.metadata = Some(metadata);
            }
            self.settled = Some(Box::new(stored));
        }
        continuation.holds_all
    }

    /// Delivers the end of a run that has completed.
    pub(in crate::runs) fn finish(&mut self) {
        self.deliver(Finish::new().into());
    }

    /// Returns whether a stored answer contains everything that was delivered.
    pub(in crate::runs) fn is_within(&mut self, stored: &UiMessage) -> bool {
        self.continuation(stored).holds_all
    }

    fn continuation(&mut self, stored: &UiMessage) -> Continuation {
        // An incomplete message cannot be aligned with the stored one.
        if self.too_large.is_some() || comparing(stored) > self.room() {
            return Continuation {
                chunks: Vec::new(),
                is_gap: true,
                holds_all: false,
            };
        }
        let joined = self.joined.as_ref();
        let joined = joined.filter(|(id, _)| stored.id.as_ref() == Some(id));
        let joined = joined.map(|(_, from)| *from);
        let delivered = self.delivered();
        let whole = match delivered.first_gap {
            None => delivered.missing(stored, 0),
            Some(_) => None,
        };
        // With gaps, only the pieces between them can be looked for.
        let holds_all = whole.is_some() || delivered.is_within(stored);
        // An answer stored by the reader of this stream begins where the stream began.
        let rest = whole.or_else(|| delivered.missing(stored, joined?));
        Continuation {
            is_gap: rest.is_none(),
            chunks: rest.unwrap_or_else(|| delivered.tail(stored, holds_all)),
            holds_all,
        }
    }

    fn delivered(&mut self) -> Delivered<'_> {
        let open = self.assembler.open_texts().into_iter();
        Delivered {
            steps: self.assembler.step_count(),
            open: open.map(|(at, _, id)| (at, id)).collect(),
            parts: &self.assembler.message().parts,
            first_gap: self.first_gap,
            cut: &self.cut,
            torn: &self.torn,
        }
    }
}

impl Delivered<'_> {
    /// Returns what a stored answer adds, if it begins with the parts that were delivered from `from` on. Returns `None` if it
    /// does not begin with them.
    fn missing(&self, stored: &UiMessage, from: usize) -> Option<Vec<Chunk<'static>>> {
        let (earlier, _) = self.parts.split_at_checked(from)?;
        let earlier_named = named(earlier);
        let mut chunks = Vec::new();
        let delivered = self.parts.iter().enumerate().skip(from);
        let mut delivered = delivered.filter(|(_, part)| is_compared(part)).peekable();
        let is_step = |part: &&Part| matches!(part, Part::StepStart(_));
        // Steps are counted and not compared, since not every relay stores them.
        let mut steps = self
            .steps
            .saturating_sub(earlier.iter().filter(is_step).count());
        for (number, part) in stored.parts.iter().enumerate() {
            if is_step(&part) {
                match steps.checked_sub(1) {
                    Some(left) => steps = left,
                    None => chunks.push(Chunk::StartStep),
                }
            }
            if !is_compared(part) {
                continue;
            }
            // A part that had begun before is continued in place.
            if let Some(begun) = begun(&earlier_named, part) {
                chunks.extend(rest_of_begun(begun, part, number, self.is_torn(part))?);
                continue;
            }
            // Empty texts need not be stored, and stored empty texts need not have been delivered.
            while let Some((at, begun)) = delivered.next_if(|(at, begun)| {
                let may_be = is_empty(part) || self.open.contains_key(at);
                is_empty(begun) && !(may_be && signature(begun) == signature(part))
            }) {
                chunks.extend(self.end_of(at, begun));
            }
            match delivered.next_if(|(_, begun)| !is_empty(part) || is_empty(begun)) {
                Some((at, begun)) => chunks.extend(self.rest_of(at, begun, part)?),
                // An empty stored part before the next delivered one: there is nothing to deliver.
                None if delivered.peek().is_some() => {}
                None => chunks.extend(chunks_of(part, number)),
            }
        }
        while let Some((at, begun)) = delivered.next_if(|(_, begun)| is_empty(begun)) {
            chunks.extend(self.end_of(at, begun));
        }
        // Something was delivered that the stored answer does not have.
        delivered.next().is_none().then_some(chunks)
    }

    /// Returns the end of a part that nothing more follows, if it has not ended.
    fn end_of(&self, at: usize, begun: &Part) -> Vec<Chunk<'static>> {
        match self.open.get(&at) {
            Some(id) => rest_of_text(begun, id, ""),
            None => Vec::new(),
        }
    }

    fn rest_of(&self, at: usize, begun: &Part, part: &Part) -> Option<Vec<Chunk<'static>>> {
        if let (Some((kind, begun)), Some((whole_kind, whole))) = (words(begun), words(part)) {
            let rest = whole.strip_prefix(&*begun).filter(|_| kind == whole_kind)?;
            return match self.open.get(&at) {
                Some(id) => Some(rest_of_text(part, id, rest)),
                // A text that has ended was delivered whole, so a longer stored one is another.
                None => rest.is_empty().then(Vec::new),
            };
        }
        match is_replaced(part) {
            _ if signature(begun) != signature(part) => None,
            true => rest_of_begun(begun, part, at, false),
            false => is_same(begun, part).then(Vec::new),
        }
    }

    /// Returns whether it is a call whose input was incomplete at a gap.
    pub(super) fn is_torn(&self, part: &Part) -> bool {
        let call = part.as_tool();
        call.is_some_and(|call| self.torn.contains(&call.tool_call_id))
    }
}

/// Returns what is new of a part that is continued in place.
pub(super) fn rest_of_begun(
    begun: &Part,
    part: &Part,
    number: usize,
    is_torn: bool,
) -> Option<Vec<Chunk<'static>>> {
    match (begun, part) {
        (Part::Tool(begun), Part::Tool(part)) => rest_of_call(begun, part, is_torn),
        _ if is_same(begun, part) => Some(Vec::new()),
        _ => Some(chunks_of(part, number)),
    }
}

/// Returns the memory, in bytes, that it takes to compare a stored answer with what was delivered and to deliver the rest.
fn comparing(stored: &UiMessage) -> usize {
    // The texts are concatenated for searching, and each part gives up to three chunks, in vectors that double.
    2 * stored.parts.held() + stored.parts.len() * 9 * size_of::<Chunk<'static>>()
}

/// Returns the metadata of the stored answer, completed from what was delivered. Returns `None` if nothing is missing.
pub(super) fn with_metadata(
    stored: Option<&RawJson<'static>>,
    delivered: Option<&RawJson<'static>>,
) -> Option<RawJson<'static>> {
    let delivered = delivered?;
    let Some(stored) = stored else {
        return Some(delivered.clone());
    };
    let mut members: BTreeMap<String, &RawValue> = stored.deserialize().ok()?;
    let before = members.len();
    for (name, value) in delivered
        .deserialize::<BTreeMap<String, &RawValue>>()
        .ok()?
    {
        members.entry(name).or_insert(value);
    }
    if members.len() == before {
        return None;
    }
    RawJson::from_value(&members).ok()
}

/// Parts by their names.
pub(super) type Named<'p> = HashMap<String, Vec<&'p Part>>;

pub(super) fn named(parts: &[Part]) -> Named<'_> {
    let mut named = Named::new();
    for part in parts {
        named.entry(signature(part)).or_default().push(part);
    }
    named
}

/// Returns the delivered beginning of a part that later chunks change in place.
pub(super) fn begun<'p>(named: &Named<'p>, part: &Part) -> Option<&'p Part> {
    let begun = named.get(&signature(part)).filter(|_| is_replaced(part));
    begun?.last().copied()
}

/// Returns whether later chunks change the part in place: a call, or a data part with an id.
fn is_replaced(part: &Part) -> bool {
    match part {
        Part::Data(part) => part.id.is_some(),
        _ => part.as_tool().is_some(),
    }
}

/// Returns whether a part is compared. The starts of steps are not stored everywhere, and unknown parts cannot be compared.
fn is_compared(part: &Part) -> bool {
    !matches!(part, Part::StepStart(_) | Part::Unknown(_))
}

/// Returns the contents of a text or a reasoning.
pub(super) fn words(part: &Part) -> Option<(TextKind, Cow<'_, str>)> {
    match part {
        Part::Text(part) => Some((TextKind::Text, part.text.to_string_lossy())),
        Part::Reasoning(part) => Some((TextKind::Reasoning, part.text.to_string_lossy())),
        _ => None,
    }
}

/// Returns whether it is an empty text.
fn is_empty(part: &Part) -> bool {
    words(part).is_some_and(|(_, words)| words.is_empty())
}

/// Returns whether a part has content that must not be missing.
pub(super) fn is_content(part: &Part) -> bool {
    is_compared(part) && !is_empty(part)
}

/// Returns whether two parts are equal, texts and tool calls aside.
pub(super) fn is_same(begun: &Part, part: &Part) -> bool {
    match (begun, part) {
        (Part::Data(begun), Part::Data(part)) => same(begun.data.as_ref(), part.data.as_ref()),
        _ => signature(begun) == signature(part),
    }
}

/// Returns the string that identifies a part that is not text.
pub(super) fn signature(part: &Part) -> String {
    let text = |text: &Text<'static>| text.to_string_lossy().into_owned();
    let (kind, name) = match part {
        Part::Tool(part) => ("tool", text(&part.tool_call_id)),
        Part::SourceUrl(part) => ("source-url", text(&part.source_id)),
        Part::SourceDocument(part) => ("source-document", text(&part.source_id)),
        Part::File(part) => ("file", text(&part.url)),
        Part::ReasoningFile(part) => ("reasoning-file", text(&part.url)),
        Part::Custom(part) => ("custom", text(&part.kind)),
        Part::SteeringMessage(part) => ("steering-message", text(&part.id)),
        Part::Data(part) => {
            let id = part.id.as_ref().map(text).unwrap_or_default();
            ("data", format!("{} {id}", text(&part.name)))
        }
        Part::Text(_) => ("text", String::new()),
        Part::Reasoning(_) => ("reasoning", String::new()),
        Part::StepStart(_) | Part::Unknown(_) => ("", String::new()),
    };
    format!("{kind} {name}")
}
