//! What the stored answer has to do with what was delivered.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use memchr::memmem;
use serde_json::value::RawValue;

use super::replay::Kind;
use crate::threads::Thread;
use crate::ui::{
    Chunk, DataPart, Part, RawJson, ReasoningPart, Role, Text, TextPart, ToolPart, UiMessage,
};
use crate::ui::{chunks_of, rest_of_call, rest_of_text, same, text_from};

pub(super) use crate::ui::rest_of_metadata as metadata;

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
        let mut delivered = delivered.filter(|(_, part)| is_compared(part)).peekable();
        let is_step = |part: &&Part| matches!(part, Part::StepStart(_));
        let mut steps = self.steps;
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
            // A text without a word need not be stored, nor one that is have been delivered.
            while let Some((at, begun)) = delivered.next_if(|(at, begun)| {
                let may_be = is_empty(part) || self.open.contains_key(at);
                is_empty(begun) && !(may_be && signature(begun) == signature(part))
            }) {
                chunks.extend(self.end_of(at, begun));
            }
            match delivered.next_if(|(_, begun)| !is_empty(part) || is_empty(begun)) {
                Some((at, begun)) => chunks.extend(self.rest_of(at, begun, part)?),
                None if delivered.peek().is_some() => {}
                None => chunks.extend(chunks_of(part, number)),
            }
        }
        while let Some((at, begun)) = delivered.next_if(|(_, begun)| is_empty(begun)) {
            chunks.extend(self.end_of(at, begun));
        }
        delivered.next().is_none().then_some(chunks)
    }

    /// The end of a part of which nothing more comes, if it has not ended.
    fn end_of(&self, at: usize, begun: &Part) -> Vec<Chunk<'static>> {
        match self.open.get(&at) {
            Some(id) => rest_of_text(begun, id, ""),
            None => Vec::new(),
        }
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
        let mut whole = flat(&stored.parts);
        // What is so short may be anywhere, also in what another is.
        let is_short = |(segment, is_beginning): &(Vec<u8>, bool)| {
            !is_beginning && segment.len() < RECOGNIZABLE
        };
        let (short, long): (Vec<_>, Vec<_>) = self.segments().into_iter().partition(is_short);
        // Most come in order, so that the search begins behind the last.
        let mut at = 0;
        let mut segments = long.into_iter().chain(short);
        let has_all = segments.all(|(segment, is_beginning)| {
            let ahead = whole.get(at..).unwrap_or_default();
            let found = match is_beginning {
                true => whole.starts_with(&segment).then_some(0),
                false => memmem::find(ahead, &segment)
                    .map(|found| at + found)
                    .or_else(|| memmem::find(&whole, &segment)),
            };
            let from = found.unwrap_or_default();
            at = from + segment.len();
            // No other part is the same.
            let text = whole.get_mut(from..at).unwrap_or_default().iter_mut();
            text.filter(|byte| **byte != END)
                .for_each(|byte| *byte = TAKEN);
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
            let flat = flat(parts);
            let mut bytes = &flat[..];
            let is_beginning = segments.is_empty();
            // Who has joined in the middle of a part does not know that it is the middle, nor the first half of a character.
            if !is_beginning && bytes.first().is_some_and(|byte| is_text_marker(*byte)) {
                bytes = bytes.get(1..).unwrap_or_default();
                bytes = bytes.strip_prefix(REPLACEMENT).unwrap_or(bytes);
            }
            let is_text = |part: &Part| matches!(part, Part::Text(_) | Part::Reasoning(_));
            let ends_in_text = parts
                .last()
                .is_some_and(|part| is_text(part) && is_content(part));
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

    /// What a stored answer has behind what was delivered, as far as that can be told from what they have in common. Where it cannot,
    /// nothing: better is missing what comes than coming twice. `is_within`: whether it holds all that was delivered, pieces with gaps
    /// between them.
    pub(super) fn tail(&self, stored: &UiMessage, is_within: bool) -> Vec<Chunk<'static>> {
        let reached = self.reached(stored, is_within);
        let calls = calls(self.parts);
        let mut named: HashMap<String, Vec<&Part>> = HashMap::new();
        for part in self.parts {
            named.entry(signature(part)).or_default().push(part);
        }
        let mut chunks = Vec::new();
        for (number, part) in stored.parts.iter().enumerate() {
            if let Part::Tool(call) = part
                && let Some(begun) = calls.get(&*call.tool_call_id.to_string_lossy())
            {
                chunks.extend(rest_of_call(begun, call, false).unwrap_or_default());
                continue;
            }
            let delivered = named.get(&signature(part)).map_or(&[][..], Vec::as_slice);
            let is_known = || delivered.iter().any(|begun| is_same(begun, part));
            if let Part::Data(DataPart { id: Some(_), .. }) = part
                && !delivered.is_empty()
            {
                // Its newest value stands where its first did.
                if !is_known() {
                    chunks.extend(chunks_of(part, number));
                }
                continue;
            }
            let Some(reached) = reached.filter(|reached| reached.part <= number) else {
                continue;
            };
            match part {
                part if !is_content(part) => {}
                Part::Text(TextPart { text, .. }) | Part::Reasoning(ReasoningPart { text, .. }) => {
                    let text = text.to_string_lossy();
                    let rest = match reached.part == number {
                        true => self.behind(&text, reached.bytes),
                        false => &text,
                    };
                    if rest.contains(is_telling) {
                        chunks.extend(text_from(part, number, rest));
                    }
                }
                _ if is_known() => {}
                part => chunks.extend(chunks_of(part, number)),
            }
        }
        chunks
    }

    /// How far a stored answer was delivered. `None` if that is doubtful.
    fn reached(&self, stored: &UiMessage, is_within: bool) -> Option<Reached> {
        let kinds = [Kind::Text, Kind::Reasoning].map(|kind| {
            let (delivered, stored) = (Words::of(self.parts, kind), Words::of(&stored.parts, kind));
            let common = Common::of(&delivered.bytes, &stored.bytes);
            (delivered, stored, common)
        });
        let texts = kinds
            .iter()
            .map(|(_, stored, common)| stored.reached(common.end));
        let calls = calls(self.parts);
        let begun = stored.parts.iter().enumerate().filter(|(_, part)| {
            let call = part.as_tool();
            call.is_some_and(|call| calls.contains_key(&*call.tool_call_id.to_string_lossy()))
        });
        let begun = begun.map(|(part, _)| Reached { part, bytes: 0 });
        let reached = texts.chain(begun).max().unwrap_or_default();
        let is_new = |(delivered, stored, common): &(Words, Words, Common)| {
            // The pieces of an answer that holds them all are known only in one.
            let is_known = || stored.is_known_behind(reached, delivered, common.is_recognized);
            common.is_all || (!is_within && !is_known())
        };
        kinds.iter().all(is_new).then_some(reached)
    }

    /// What a text has behind so many of its telling bytes, without the spaces with which what was delivered ends.
    fn behind<'t>(&self, text: &'t str, mut telling: usize) -> &'t str {
        let mut rest = text;
        while telling > 0
            && let Some(next) = rest.chars().next()
        {
            if is_telling(next) {
                telling = telling.saturating_sub(next.len_utf8());
            }
            rest = rest.strip_prefix(next).unwrap_or_default();
        }
        let delivered = self.parts.iter().rev().find_map(|part| match part {
            Part::Text(part) => Some(part.text.to_string_lossy()),
            Part::Reasoning(part) => Some(part.text.to_string_lossy()),
            _ => None,
        });
        let delivered = delivered.unwrap_or_default();
        let words = delivered.trim_end_matches(|char| !is_telling(char));
        let spaces = delivered.strip_prefix(words).unwrap_or_default();
        spaces
            .chars()
            .fold(rest, |rest, space| rest.strip_prefix(space).unwrap_or(rest))
    }
}

/// How far a message was delivered: up to a part, and of a text so many telling bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Reached {
    part: usize,
    bytes: usize,
}

/// The telling characters of all texts of one kind, one after the other. What is stored may be trimmed, and cut otherwise into parts.
struct Words {
    bytes: Vec<u8>,
    /// Which part each is, and where it begins and ends.
    texts: Vec<(usize, Range<usize>)>,
}

impl Words {
    fn of(parts: &[Part], kind: Kind) -> Self {
        let mut bytes = Vec::new();
        let mut texts = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let text = match (part, kind) {
                (Part::Text(part), Kind::Text) => part.text.to_string_lossy(),
                (Part::Reasoning(part), Kind::Reasoning) => part.text.to_string_lossy(),
                _ => continue,
            };
            let from = bytes.len();
            for telling in text.split(|char| !is_telling(char)) {
                bytes.extend_from_slice(telling.as_bytes());
            }
            texts.push((number, from..bytes.len()));
        }
        Self { bytes, texts }
    }

    /// Where in the message it is that so many bytes end.
    fn reached(&self, end: usize) -> Reached {
        let mut texts = self.texts.iter();
        let text = texts.find(|(_, text)| text.start < end && end <= text.end);
        text.map_or_else(Reached::default, |(part, text)| Reached {
            part: *part,
            bytes: end - text.start,
        })
    }

    /// Whether anything from a place on looks like what was delivered. What is written in parallel comes in many orders, and may have
    /// come in another.
    fn is_known_behind(&self, reached: Reached, delivered: &Self, is_recognized: bool) -> bool {
        let is_delivered =
            |bytes: &[u8]| !bytes.is_empty() && memmem::find(&delivered.bytes, bytes).is_some();
        let pieces: HashSet<&[u8]> = delivered.bytes.chunks_exact(2 * RECOGNIZABLE).collect();
        self.texts.iter().any(|(part, text)| {
            let from = match part.cmp(&reached.part) {
                Ordering::Less => return false,
                Ordering::Equal => text.end.min(text.start + reached.bytes),
                Ordering::Greater => text.start,
            };
            let context = match from == text.start {
                true => from,
                false => from.saturating_sub(RECOGNIZABLE),
            };
            let to = text.end.min(from + RECOGNIZABLE);
            let rest = self.bytes.get(from..text.end).unwrap_or_default();
            let beginning = self.bytes.get(context..to).unwrap_or_default();
            let has_piece = || match pieces.is_empty() {
                true => {
                    !delivered.bytes.is_empty() && memmem::find(rest, &delivered.bytes).is_some()
                }
                false => rest
                    .windows(2 * RECOGNIZABLE)
                    .any(|piece| pieces.contains(piece)),
            };
            !rest.is_empty() && (is_delivered(beginning) || (!is_recognized && has_piece()))
        })
    }
}

/// What the end of what was delivered has in common with what is stored.
struct Common {
    /// Where in the latter it ends.
    end: usize,
    /// Whether it is all that was delivered.
    is_all: bool,
    /// Whether it is more than a coincidence.
    is_recognized: bool,
}

impl Common {
    fn of(delivered: &[u8], stored: &[u8]) -> Self {
        let last = |length: usize| {
            let from = delivered.len().saturating_sub(length);
            delivered.get(from..).unwrap_or_default()
        };
        // If so much of it is there, so is less of it.
        let (mut length, mut too_long) = (0, delivered.len() + 1);
        while length + 1 < too_long {
            let middle = length.midpoint(too_long);
            match memmem::find(stored, last(middle)) {
                Some(_) => length = middle,
                None => too_long = middle,
            }
        }
        let is_recognized = length >= RECOGNIZABLE;
        let end = if is_recognized {
            memmem::rfind(stored, last(length)).map(|at| at + length)
        } else {
            // What is so short may be anywhere. It counts if what is stored begins with it, as that of a reader who came later.
            (1..=length)
                .rev()
                .find(|length| stored.starts_with(last(*length)))
        };
        let end = end.unwrap_or_default();
        Self {
            end,
            is_all: length == delivered.len() && (is_recognized || end == length),
            is_recognized,
        }
    }
}

/// Whether it tells a text from another. Spaces are trimmed, and who has joined in the middle of a character has not seen it.
fn is_telling(char: char) -> bool {
    !char.is_whitespace() && char != char::REPLACEMENT_CHARACTER
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
const TAKEN: u8 = 0xfc;

/// So many bytes of a text that were delivered before are no coincidence.
const RECOGNIZABLE: usize = 16;

/// What half a character is shown as.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn is_text_marker(byte: u8) -> bool {
    matches!(byte, TEXT | REASONING)
}

/// Contents one after the other, so that they can be searched: texts as they are, of everything else what names it.
fn flat(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts.iter().filter(|part| is_content(part)) {
        match part {
            Part::Text(part) => {
                bytes.push(TEXT);
                bytes.extend_from_slice(part.text.to_string_lossy().as_bytes());
            }
            Part::Reasoning(part) => {
                bytes.push(REASONING);
                bytes.extend_from_slice(part.text.to_string_lossy().as_bytes());
            }
            part => {
                bytes.push(OTHER);
                bytes.extend_from_slice(signature(part).as_bytes());
            }
        }
        bytes.push(END);
    }
    bytes
}

/// Whether a part is compared. Where steps begin is not stored everywhere, and what is not known cannot be compared.
fn is_compared(part: &Part) -> bool {
    !matches!(part, Part::StepStart(_) | Part::Unknown(_))
}

/// Whether it is a text without a word.
fn is_empty(part: &Part) -> bool {
    match part {
        Part::Text(part) => part.text == "",
        Part::Reasoning(part) => part.text == "",
        _ => false,
    }
}

/// Whether a part has anything that must not be missing.
fn is_content(part: &Part) -> bool {
    is_compared(part) && !is_empty(part)
}

/// Whether two parts are the same, texts and tool calls aside.
fn is_same(begun: &Part, part: &Part) -> bool {
    match (begun, part) {
        (Part::Data(begun), Part::Data(part)) => same(begun.data.as_ref(), part.data.as_ref()),
        _ => signature(begun) == signature(part),
    }
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
