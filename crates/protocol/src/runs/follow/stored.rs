//! What the stored answer has to do with what was delivered.

use std::collections::{BTreeMap, HashMap, HashSet};

use memchr::memmem;
use serde_json::Value;
use serde_json::value::RawValue;

use super::replay::Kind;
use crate::threads::Thread;
use crate::ui::chunk::{
    Custom, Data, File, MessageMetadata, ReasoningEnd, ReasoningFile, ReasoningStart,
    SourceDocument, SourceUrl, SteeringMessage, TextEnd, TextStart, ToolApprovalRequest,
    ToolInputAvailable, ToolOutputAvailable, ToolOutputDenied, ToolOutputError,
};
use crate::ui::{
    Chunk, Part, RawJson, ReasoningPart, Role, Text, TextPart, ToolPart, ToolState, UiMessage,
};

/// By what the answer of a run is known among the messages of its thread.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The id that `start` of its first stream gave it.
    pub(super) first_id: Option<&'a Text<'static>>,
    /// All ids that `start` gave it. A stream that has joined has one of its own.
    pub(super) message_ids: &'a HashSet<Text<'static>>,
    /// The id of the message that it answers.
    pub(super) user_message_id: Option<&'a Text<'static>>,
    /// Where nothing else is known, its place.
    pub(super) place: Option<Place<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Behind these, which were stored while it streamed.
    After(&'a HashSet<Text<'static>>),
    /// At the end: nothing streamed when we came.
    Last,
}

impl Known<'_> {
    /// The answer. Failed and cancelled turns are not stored, so that the last message may belong to an earlier turn.
    pub(super) fn find<'t>(&self, thread: &'t Thread) -> Option<&'t UiMessage> {
        let messages: Vec<&UiMessage> = thread.ui_messages().collect();
        let answers = || {
            let messages = messages.iter().copied();
            messages.filter(|message| message.role == Role::Assistant)
        };
        let has_id_of = |ids: &HashSet<Text<'static>>, message: &UiMessage| {
            message.id.as_ref().is_some_and(|id| ids.contains(id))
        };
        let first =
            |answer: &&UiMessage| self.first_id.is_some() && answer.id.as_ref() == self.first_id;
        if let Some(answer) = answers().rfind(first) {
            return Some(answer);
        }
        let answer = self.user_message_id.and_then(|id| answer_to(thread, id));
        let answer =
            answer.or_else(|| answers().rfind(|answer| has_id_of(self.message_ids, answer)));
        if answer.is_some() {
            return answer;
        }
        match (self.user_message_id, self.place) {
            (Some(_), _) => None,
            (None, Some(Place::After(ids))) => {
                answers().find(|answer| answer.id.is_some() && !has_id_of(ids, answer))
            }
            (None, Some(Place::Last)) => {
                let last = messages.last().copied();
                last.filter(|last| last.role == Role::Assistant)
            }
            (None, None) => None,
        }
    }
}

/// The stored answer to the turn whose question has this id.
pub(in crate::runs) fn answer_to<'t>(thread: &'t Thread, id: &Text<'_>) -> Option<&'t UiMessage> {
    let messages: Vec<&UiMessage> = thread.ui_messages().collect();
    let is_question =
        |message: &&UiMessage| message.role == Role::User && message.id.as_ref() == Some(id);
    let question = messages.iter().rposition(is_question)?;
    let answer = *messages.get(question + 1)?;
    // Another answer behind it would be ours without its question, and this one that of an earlier turn with the same id.
    let next = messages.get(question + 2);
    let is_ours = next.is_none_or(|next| next.role == Role::User);
    (answer.role == Role::Assistant && is_ours).then_some(answer)
}

impl Known<'_> {
    /// Whether the answer that was found is ours for certain: by an id that its own stream gave it, or, where no first stream gave it one,
    /// by its question.
    pub(super) fn names(&self, answer: &UiMessage) -> bool {
        let id = answer.id.as_ref();
        let is_asked = self.first_id.is_none() && self.user_message_id.is_some();
        is_asked || id.is_some_and(|id| self.message_ids.contains(id))
    }

    /// The last answer, if it may be ours though nothing says so: it was stored without its question, as by a reader who has joined.
    pub(super) fn unnamed<'t>(&self, thread: &'t Thread) -> Option<&'t UiMessage> {
        let mut messages = thread.ui_messages().collect::<Vec<_>>().into_iter().rev();
        let (last, before) = (messages.next(), messages.next());
        let is_answer = |message: &&UiMessage| message.role == Role::Assistant;
        last.filter(|last| is_answer(last) && before.is_none_or(|before| is_answer(&before)))
    }
}

/// What was delivered, with the places where something may be missing.
#[derive(Debug)]
pub(super) struct Gapped<'a> {
    pub(super) parts: &'a [Part],
    /// How many steps have begun.
    pub(super) steps: usize,
    /// The calls whose input was being written at a gap.
    pub(super) torn: &'a HashSet<Text<'static>>,
    /// The parts that have not ended, with their ids.
    pub(super) open: HashMap<usize, &'a Text<'static>>,
    /// The parts before which something may be missing.
    pub(super) gaps: &'a [usize],
}

impl Gapped<'_> {
    /// What is missing of the stored answer, to go on with where delivering has stopped. `None` if it does not begin with what was
    /// delivered.
    pub(super) fn missing(&self, stored: &UiMessage) -> Option<Vec<Chunk<'static>>> {
        if !self.gaps.is_empty() {
            return None;
        }
        let mut chunks = Vec::new();
        let delivered = self.parts.iter().enumerate();
        let mut delivered = delivered.filter(|(_, part)| is_content(part));
        let is_step = |part: &&Part| matches!(part, Part::StepStart(_));
        let mut steps = self.steps;
        for (number, part) in stored.parts.iter().enumerate() {
            if is_step(&part) {
                match steps.checked_sub(1) {
                    Some(left) => steps = left,
                    None => chunks.push(Chunk::StartStep),
                }
            }
            if !is_content(part) {
                continue;
            }
            let Some((at, begun)) = delivered.next() else {
                chunks.extend(chunks_of(part, number));
                continue;
            };
            chunks.extend(self.rest_of(at, begun, part)?);
        }
        delivered.next().is_none().then_some(chunks)
    }

    fn rest_of(&self, at: usize, begun: &Part, part: &Part) -> Option<Vec<Chunk<'static>>> {
        let written = |begun: &Text<'static>, whole: &Text<'static>| {
            let (begun, whole) = (begun.to_string_lossy(), whole.to_string_lossy());
            let rest = whole.strip_prefix(&*begun)?;
            match self.open.get(&at) {
                Some(id) => Some(rest_of_text(part, id, rest)),
                None => rest.is_empty().then(Vec::new),
            }
        };
        match (begun, part) {
            (Part::Text(begun), Part::Text(part)) => written(&begun.text, &part.text),
            (Part::Reasoning(begun), Part::Reasoning(part)) => written(&begun.text, &part.text),
            (Part::Tool(begun), Part::Tool(part)) => rest_of_call(begun, part, false),
            (Part::Data(begun), Part::Data(part)) => {
                let is_same = begun.name == part.name && begun.id == part.id;
                let changed = !same(begun.data.as_ref(), part.data.as_ref());
                match (is_same, changed, &part.id) {
                    (true, false, _) => Some(Vec::new()),
                    (true, true, Some(_)) => Some(chunks_of(&Part::Data(part.clone()), at)),
                    _ => None,
                }
            }
            _ => (signature(begun) == signature(part)).then(Vec::new),
        }
    }

    /// Whether the stored answer holds everything that was delivered. Where each part behind the first gap is, does not matter: what
    /// was being written in parallel goes on in an order of its own.
    pub(super) fn is_within(&self, stored: &UiMessage) -> bool {
        let whole = Flat::of(&stored.parts).bytes;
        // Most come in order, so that the search begins behind the last.
        let mut at = 0;
        let mut segments = self.segments().into_iter();
        let has_all = segments.all(|(segment, is_beginning)| {
            let ahead = whole.get(at..).unwrap_or_default();
            let found = match is_beginning {
                true => whole.starts_with(&segment).then_some(0),
                false => memmem::find(ahead, &segment)
                    .map(|found| at + found)
                    .or_else(|| memmem::find(&whole, &segment)),
            };
            at = found.unwrap_or_default() + segment.len();
            found.is_some()
        });
        let calls = calls(&stored.parts);
        let mut delivered = self.parts.iter().filter_map(Part::as_tool);
        has_all
            && delivered.all(|begun| {
                let call = calls.get(&begun.tool_call_id.to_string_lossy().into_owned());
                let is_torn = self.torn.contains(&begun.tool_call_id);
                call.is_some_and(|call| rest_of_call(begun, call, is_torn).is_some())
            })
    }

    /// The contents up to the first gap, and then of each part, and whether it is the beginning. Behind a gap nobody knows which
    /// parts go on that had begun before, and in which order.
    fn segments(&self) -> Vec<(Vec<u8>, bool)> {
        let gaps: HashSet<usize> = self.gaps.iter().copied().collect();
        let ends = self.open.keys().map(|at| at + 1);
        let first = ends.chain(gaps.iter().copied()).min();
        let first = first.unwrap_or_default().min(self.parts.len());
        let (beginning, rest) = self.parts.split_at(first);
        let rest = rest.iter().enumerate();
        let rest = rest.map(|(at, part)| (std::slice::from_ref(part), first + at + 1));
        let mut segments = Vec::new();
        for (parts, end) in [(beginning, first)].into_iter().chain(rest) {
            let flat = Flat::of(parts);
            let mut bytes = &flat.bytes[..];
            let is_beginning = segments.is_empty();
            // Who has joined in the middle of a part does not know that it is the middle, nor the first half of a character.
            if !is_beginning && bytes.first().is_some_and(|byte| is_text_marker(*byte)) {
                bytes = bytes.get(1..).unwrap_or_default();
                bytes = bytes.strip_prefix(REPLACEMENT).unwrap_or(bytes);
            }
            let ends_in_text = matches!(parts.last(), Some(Part::Text(_) | Part::Reasoning(_)));
            let is_open = |end: usize| {
                end.checked_sub(1)
                    .is_some_and(|at| self.open.contains_key(&at))
            };
            if ends_in_text && (gaps.contains(&end) || is_open(end)) {
                bytes = bytes.strip_suffix(&[END]).unwrap_or(bytes);
                bytes = bytes.strip_suffix(REPLACEMENT).unwrap_or(bytes);
            }
            segments.push((bytes.to_vec(), is_beginning));
        }
        segments
    }

    /// What a stored answer that does not hold everything has behind what was delivered, as far as that can be told from what they have in
    /// common. Where it cannot, nothing: better is missing what comes than coming twice.
    pub(super) fn tail(&self, stored: &UiMessage) -> Vec<Chunk<'static>> {
        let delivered = Flat::of(self.parts);
        let mut delivered = &delivered.bytes[..];
        let last = self.parts.len().checked_sub(1);
        if last.is_some_and(|last| self.open.contains_key(&last))
            || self.gaps.contains(&self.parts.len())
        {
            delivered = delivered.strip_suffix(&[END]).unwrap_or(delivered);
        }
        let whole = Flat::of(&stored.parts);
        let skipped = usize::from(
            whole
                .bytes
                .first()
                .is_some_and(|byte| is_text_marker(*byte)),
        );
        let whole_bytes = whole.bytes.get(skipped..).unwrap_or_default();
        let whole_but_end = whole_bytes.strip_suffix(&[END]).unwrap_or(whole_bytes);
        if memmem::find(delivered, whole_but_end).is_some() {
            return Vec::new();
        }
        let common = skipped + common(delivered, whole_bytes);
        let calls = calls(self.parts);
        let mut chunks = Vec::new();
        for (number, part) in stored.parts.iter().enumerate() {
            let Some((from, to)) = whole.places.get(number).copied() else {
                continue;
            };
            if let Part::Tool(call) = part
                && let Some(begun) = calls.get(&*call.tool_call_id.to_string_lossy())
            {
                chunks.extend(rest_of_call(begun, call, false).unwrap_or_default());
                continue;
            }
            if to <= common || from == to {
                continue;
            }
            let known = common.saturating_sub(from + 1);
            match part {
                Part::Text(TextPart { text, .. }) | Part::Reasoning(ReasoningPart { text, .. }) => {
                    let text = text.to_string_lossy();
                    let rest = text.get(known..).unwrap_or_default();
                    // What is written in parallel comes in many orders, and may have come in another.
                    let beginning = rest.trim_start_matches(char::REPLACEMENT_CHARACTER);
                    let beginning = &beginning[..beginning.floor_char_boundary(RECOGNIZABLE)];
                    if beginning.is_empty() {
                        continue;
                    }
                    if memmem::find(delivered, beginning.as_bytes()).is_some() {
                        return Vec::new();
                    }
                    chunks.extend(text_from(part, number, rest));
                }
                part => chunks.extend(chunks_of(part, number)),
            }
        }
        chunks
    }
}

/// Whether an answer stands behind a message of the user's.
pub(super) fn has_question(thread: &Thread, answer: &UiMessage) -> bool {
    let mut before = None;
    for message in thread.ui_messages() {
        if std::ptr::eq(message, answer) {
            return before == Some(&Role::User);
        }
        before = Some(&message.role);
    }
    false
}

/// The metadata of the stored answer as a chunk.
pub(super) fn metadata(stored: &UiMessage) -> Option<Chunk<'static>> {
    let metadata = stored.metadata.clone()?;
    Some(MessageMetadata::new().message_metadata(metadata).into())
}

/// The metadata of the stored answer with what it lacks of the delivered. `None` if it lacks nothing.
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

// Bytes that no UTF-8 has.
const TEXT: u8 = 0xf8;
const REASONING: u8 = 0xf9;
const OTHER: u8 = 0xfa;
const END: u8 = 0xfb;

/// So many bytes of a text that were delivered before are no coincidence.
const RECOGNIZABLE: usize = 16;

/// What half a character is shown as.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn is_text_marker(byte: u8) -> bool {
    matches!(byte, TEXT | REASONING)
}

/// Contents one after the other, so that they can be searched: texts as they are, of everything else what names it.
struct Flat {
    bytes: Vec<u8>,
    /// Where each part is.
    places: Vec<(usize, usize)>,
}

impl Flat {
    fn of(parts: &[Part]) -> Self {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for part in parts {
            let from = bytes.len();
            match part {
                Part::Text(part) => {
                    bytes.push(TEXT);
                    bytes.extend_from_slice(part.text.to_string_lossy().as_bytes());
                    bytes.push(END);
                }
                Part::Reasoning(part) => {
                    bytes.push(REASONING);
                    bytes.extend_from_slice(part.text.to_string_lossy().as_bytes());
                    bytes.push(END);
                }
                part if is_content(part) => {
                    bytes.push(OTHER);
                    bytes.extend_from_slice(signature(part).as_bytes());
                    bytes.push(END);
                }
                _ => {}
            }
            places.push((from, bytes.len()));
        }
        Self { bytes, places }
    }
}

/// How long the beginning of `whole` is with which `delivered` ends: the search of Knuth, Morris and Pratt, in linear time.
fn common(delivered: &[u8], whole: &[u8]) -> usize {
    let mut borders = vec![0_usize; whole.len()];
    let mut length = 0;
    for at in 1..whole.len() {
        while length > 0 && whole.get(at) != whole.get(length) {
            length = borders.get(length - 1).copied().unwrap_or_default();
        }
        if whole.get(at) == whole.get(length) {
            length += 1;
        }
        if let Some(border) = borders.get_mut(at) {
            *border = length;
        }
    }
    let mut length = 0;
    let from = delivered.len().saturating_sub(whole.len());
    for byte in delivered.get(from..).unwrap_or_default() {
        while length > 0 && whole.get(length) != Some(byte) {
            length = borders.get(length - 1).copied().unwrap_or_default();
        }
        if whole.get(length) == Some(byte) {
            length += 1;
        }
    }
    length
}

/// Whether a part is compared. Where steps begin is not stored everywhere, and what is not known cannot be compared.
fn is_content(part: &Part) -> bool {
    !matches!(part, Part::StepStart(_) | Part::Unknown(_))
}

/// What names a part that is not text.
fn signature(part: &Part) -> String {
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

fn calls(parts: &[Part]) -> HashMap<String, &ToolPart> {
    let calls = parts.iter().filter_map(Part::as_tool);
    calls
        .map(|call| (call.tool_call_id.to_string_lossy().into_owned(), call))
        .collect()
}

/// Whether two values are the same. The relay's database writes them anew: in another order, and numbers in another form.
fn same(a: Option<&RawJson<'_>>, b: Option<&RawJson<'_>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if a.get() == b.get() => true,
        (Some(a), Some(b)) => match (a.deserialize::<Value>(), b.deserialize::<Value>()) {
            (Ok(a), Ok(b)) => same_value(&a, &b),
            // Too deep to be read: nothing speaks against it.
            _ => true,
        },
        (None, None) => true,
        _ => false,
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut members = a.iter();
            a.len() == b.len()
                && members.all(|(name, a)| b.get(name).is_some_and(|b| same_value(a, b)))
        }
        _ => a == b,
    }
}

/// What is missing of a tool call. `None` if it is another, or has come less far. The input of a torn one is what could be read of it.
fn rest_of_call(begun: &ToolPart, call: &ToolPart, is_torn: bool) -> Option<Vec<Chunk<'static>>> {
    let has_input = begun.state != ToolState::InputStreaming && !is_torn;
    let has_result = is_result(&begun.state) && begun.preliminary != Some(true);
    let is_same = begun.tool_call_id == call.tool_call_id
        && (begun.tool_name == call.tool_name || begun.tool_name == "")
        && (!has_input || same(begun.input.as_ref(), call.input.as_ref()))
        && (!has_result
            || (begun.state == call.state
                && same(begun.output.as_ref(), call.output.as_ref())
                && begun.error_text == call.error_text));
    if !is_same {
        return None;
    }
    let mut chunks = Vec::new();
    if !has_input && call.state != ToolState::InputStreaming {
        chunks.push(input_of(call));
    }
    if !has_result {
        chunks.extend(result_of(call));
    }
    Some(chunks)
}

fn is_result(state: &ToolState) -> bool {
    matches!(
        state,
        ToolState::OutputAvailable | ToolState::OutputError | ToolState::OutputDenied
    )
}

fn input_of(call: &ToolPart) -> Chunk<'static> {
    let mut chunk = ToolInputAvailable::new(call.tool_call_id.clone(), call.tool_name.clone());
    chunk.input = call.input.clone();
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.provider_executed = call.provider_executed;
    chunk.title = call.title.clone();
    chunk.tool_metadata = call.tool_metadata.clone();
    chunk.provider_metadata = call.call_provider_metadata.clone();
    chunk.into()
}

fn result_of(call: &ToolPart) -> Option<Chunk<'static>> {
    let id = call.tool_call_id.clone();
    let dynamic = call.dynamic.then_some(true);
    Some(match &call.state {
        ToolState::OutputAvailable => {
            let mut chunk = ToolOutputAvailable::new(id);
            chunk.output = call.output.clone();
            chunk.dynamic = dynamic;
            chunk.preliminary = call.preliminary;
            chunk.into()
        }
        ToolState::OutputError => {
            let text = call.error_text.clone().unwrap_or_default();
            let mut chunk = ToolOutputError::new(id, text);
            chunk.dynamic = dynamic;
            chunk.into()
        }
        ToolState::OutputDenied => ToolOutputDenied::new(id).into(),
        ToolState::ApprovalRequested => {
            let approval = call.approval.as_ref()?;
            ToolApprovalRequest::new(approval.id.clone(), id).into()
        }
        _ => return None,
    })
}

/// The end of a text or reasoning part, of which this is still to come.
fn rest_of_text(part: &Part, id: &Text<'static>, rest: &str) -> Vec<Chunk<'static>> {
    let (kind, end) = match part {
        Part::Reasoning(part) => {
            let mut end = ReasoningEnd::new(id.clone());
            end.provider_metadata = part.provider_metadata.clone();
            (Kind::Reasoning, end.into())
        }
        Part::Text(part) => {
            let mut end = TextEnd::new(id.clone());
            end.provider_metadata = part.provider_metadata.clone();
            end.citations = part.citations.clone();
            (Kind::Text, end.into())
        }
        _ => return Vec::new(),
    };
    let delta = (!rest.is_empty()).then(|| kind.delta(id.clone(), rest.to_owned()));
    delta.into_iter().chain([end]).collect()
}

/// A text or reasoning part, the `number`-th of its message, from this text on.
fn text_from(part: &Part, number: usize, rest: &str) -> Vec<Chunk<'static>> {
    let id = Text::from(format!("stored-{number}"));
    let start = match part {
        Part::Reasoning(_) => ReasoningStart::new(id.clone()).into(),
        _ => TextStart::new(id.clone()).into(),
    };
    let mut chunks = vec![start];
    chunks.extend(rest_of_text(part, &id, rest));
    chunks
}

/// The chunks that make a part, the `number`-th of its message.
fn chunks_of(part: &Part, number: usize) -> Vec<Chunk<'static>> {
    match part {
        Part::Text(TextPart { text, .. }) | Part::Reasoning(ReasoningPart { text, .. }) => {
            text_from(part, number, &text.to_string_lossy())
        }
        Part::Tool(call) => {
            let input = input_of(call);
            [Some(input), result_of(call)]
                .into_iter()
                .flatten()
                .collect()
        }
        Part::SourceUrl(part) => {
            let mut chunk = SourceUrl::new(part.source_id.clone(), part.url.clone());
            chunk.title = part.title.clone();
            chunk.provider_metadata = part.provider_metadata.clone();
            vec![chunk.into()]
        }
        Part::SourceDocument(part) => {
            let mut chunk = SourceDocument::new(
                part.source_id.clone(),
                part.media_type.clone(),
                part.title.clone(),
            );
            chunk.filename = part.filename.clone();
            chunk.provider_metadata = part.provider_metadata.clone();
            vec![chunk.into()]
        }
        Part::File(part) => {
            let mut chunk = File::new(part.url.clone(), part.media_type.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            vec![chunk.into()]
        }
        Part::ReasoningFile(part) => {
            let mut chunk = ReasoningFile::new(part.url.clone(), part.media_type.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            vec![chunk.into()]
        }
        Part::Custom(part) => {
            let mut chunk = Custom::new(part.kind.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            vec![chunk.into()]
        }
        Part::SteeringMessage(part) => match RawJson::from_value(&part.parts) {
            Ok(parts) => vec![SteeringMessage::new(part.id.clone(), parts).into()],
            Err(_) => Vec::new(),
        },
        Part::Data(part) => {
            let mut chunk = Data::new(part.name.clone());
            chunk.id = part.id.clone();
            chunk.data = part.data.clone();
            vec![chunk.into()]
        }
        Part::StepStart(_) | Part::Unknown(_) => Vec::new(),
    }
}
