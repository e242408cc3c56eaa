use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter::FusedIterator;
use std::vec;

use super::half::{Half, REPLACEMENT};
use crate::ui::chunk::{ReasoningDelta, TextDelta, ToolInputDelta};
use crate::ui::held::{allocation, entry};
use crate::ui::{Chunk, Text};

/// Joins halves of surrogate pairs that were split between two deltas of one part.
///
/// JavaScript cuts strings between UTF-16 code units, so an emoji may arrive in two deltas with half of it each. After the
/// joiner, every delta is well-formed: the first half waits for the next delta of its part, and a half that stays alone becomes
/// U+FFFD. All other chunks pass unchanged. The order stays the same.
///
/// ```text
///  a delta ends with a first half ─► it waits ─┬─ the part's next delta begins with the second half ─► one character
///                                              ├─ that delta begins otherwise, or the part ends ─────► U+FFFD
///                                              └─ the part's next delta is empty ────────────────────► it waits on
/// ```
///
/// [`push`](Self::push) takes a chunk. It returns a delta with U+FFFD for each half that this chunk leaves alone, then the chunk.
/// [`finish`](Self::finish) returns such deltas at the end of the stream. The [`Assembler`](crate::ui::Assembler) joins halves
/// itself and needs no joiner before it, although one does no harm.
///
/// ```
/// use twentyfirst_protocol::ui::{Chunk, Joiner};
///
/// let mut joiner = Joiner::new();
/// let mut text = String::new();
/// for data in [
///     r#"{"type":"text-delta","id":"t","delta":"Hi \ud83d"}"#,
///     r#"{"type":"text-delta","id":"t","delta":"\ude00!"}"#,
/// ] {
///     for chunk in joiner.push(Chunk::decode(data)?) {
///         if let Chunk::TextDelta(chunk) = chunk {
///             text.push_str(chunk.delta.as_str().unwrap());
///         }
///     }
/// }
/// assert_eq!(text, "Hi 😀!");
/// # Ok::<(), twentyfirst_protocol::ui::ChunkError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Joiner {
    halves: BTreeMap<(Kind, Id), Half>,
    /// The memory of the parts with a waiting half, in bytes.
    waiting: usize,
    message_id: Option<Text<'static>>,
}

/// The kind of a part. Parts of different kinds may have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Reasoning,
    ToolInput,
}

/// An id as code units. They can be compared even if the id is ill-formed.
type Id = Vec<u16>;

impl Joiner {
    /// The memory limit for waiting halves and the ids of their parts: 2 MiB. A half beyond the limit becomes U+FFFD at once.
    ///
    /// A joiner also keeps the id of the message, to see whether a `start` begins another one. It does not keep an id that is
    /// longer than this limit: a `start` with such an id always counts as another message.
    pub const MAX_WAITING: usize = 2 * 1024 * 1024;

    /// Creates a joiner without waiting halves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a chunk. Returns a delta with U+FFFD for each half that this chunk leaves alone, then the chunk.
    pub fn push<'a>(&mut self, mut chunk: Chunk<'a>) -> Joined<'a> {
        let alone = match &mut chunk {
            Chunk::TextDelta(delta) => {
                self.join(Kind::Text, &delta.id, &mut delta.delta);
                Vec::new()
            }
            Chunk::ReasoningDelta(delta) => {
                self.join(Kind::Reasoning, &delta.id, &mut delta.delta);
                Vec::new()
            }
            Chunk::ToolInputDelta(delta) => {
                let id = &delta.tool_call_id;
                self.join(Kind::ToolInput, id, &mut delta.input_text_delta);
                Vec::new()
            }
            Chunk::Start(start) => self.start(start.message_id.as_ref()),
            // The usual case: no half waits, so the end of a part needs no search.
            _ if self.halves.is_empty() => Vec::new(),
            // A start ends an earlier part with the same id: the next delta belongs to the new one.
            Chunk::TextStart(chunk) => self.part_ends(Kind::Text, &chunk.id),
            Chunk::TextEnd(chunk) => self.part_ends(Kind::Text, &chunk.id),
            Chunk::ReasoningStart(chunk) => self.part_ends(Kind::Reasoning, &chunk.id),
            Chunk::ReasoningEnd(chunk) => self.part_ends(Kind::Reasoning, &chunk.id),
            Chunk::ToolInputStart(chunk) => self.part_ends(Kind::ToolInput, &chunk.tool_call_id),
            Chunk::ToolInputAvailable(chunk) => {
                self.part_ends(Kind::ToolInput, &chunk.tool_call_id)
            }
            Chunk::ToolInputError(chunk) => self.part_ends(Kind::ToolInput, &chunk.tool_call_id),
            Chunk::ToolOutputAvailable(chunk) => {
                self.part_ends(Kind::ToolInput, &chunk.tool_call_id)
            }
            Chunk::ToolOutputError(chunk) => self.part_ends(Kind::ToolInput, &chunk.tool_call_id),
            Chunk::ToolOutputDenied(chunk) => self.part_ends(Kind::ToolInput, &chunk.tool_call_id),
            Chunk::ResetStep | Chunk::Finish(_) | Chunk::Abort(_) => self.all_end(),
            _ => Vec::new(),
        };
        Joined {
            alone: alone.into_iter(),
            chunk: Some(chunk),
        }
    }

    /// Ends the stream. Returns a delta with U+FFFD for each half that still waited.
    pub fn finish(&mut self) -> Joined<'static> {
        Joined {
            alone: self.all_end().into_iter(),
            chunk: None,
        }
    }

    fn join(&mut self, kind: Kind, id: &Text<'_>, delta: &mut Text<'_>) {
        // The usual case: nothing waits, and nothing has to wait.
        if self.halves.is_empty() && delta.is_well_formed() {
            return;
        }
        let key = (kind, id.to_code_units());
        let mut half = self.take(&key).unwrap_or_default();
        if let Cow::Owned(joined) = half.join(delta) {
            *delta = joined.into();
        }
        if !half.is_waiting() {
            return;
        }
        // Without room to wait, the half becomes U+FFFD now. A stream of lone halves must not fill the memory.
        if self.waiting + size(&key) > Self::MAX_WAITING {
            let joined = std::mem::take(delta).into_string_lossy();
            *delta = (joined + REPLACEMENT).into();
            return;
        }
        self.waiting += size(&key);
        self.halves.insert(key, half);
    }

    /// Ends all parts if a `start` has another id than before, because another message begins.
    fn start(&mut self, message_id: Option<&Text<'_>>) -> Vec<Chunk<'static>> {
        let Some(message_id) = message_id else {
            return Vec::new();
        };
        if self.message_id.as_ref() == Some(message_id) {
            return Vec::new();
        }
        let is_short = message_id.stored_len() <= Self::MAX_WAITING;
        self.message_id = is_short.then(|| message_id.clone().into_owned());
        self.all_end()
    }

    fn part_ends(&mut self, kind: Kind, id: &Text<'_>) -> Vec<Chunk<'static>> {
        let key = (kind, id.to_code_units());
        let alone = self.take(&key).map(|_| replacement(&key));
        alone.into_iter().collect()
    }

    fn all_end(&mut self) -> Vec<Chunk<'static>> {
        self.waiting = 0;
        let halves = std::mem::take(&mut self.halves);
        halves.keys().map(replacement).collect()
    }

    fn take(&mut self, key: &(Kind, Id)) -> Option<Half> {
        let half = self.halves.remove(key)?;
        self.waiting -= size(key);
        Some(half)
    }
}

/// The chunks that a [`Joiner`] returns for a chunk.
#[derive(Clone, Debug)]
#[must_use = "these are the chunks; chunks that are not taken are lost"]
pub struct Joined<'a> {
    alone: vec::IntoIter<Chunk<'static>>,
    chunk: Option<Chunk<'a>>,
}

impl<'a> Iterator for Joined<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.alone.next().or_else(|| self.chunk.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.alone.len() + usize::from(self.chunk.is_some());
        (left, Some(left))
    }
}

impl ExactSizeIterator for Joined<'_> {}

impl FusedIterator for Joined<'_> {}

/// Returns the memory of a waiting half: its entry, the id of its part, and the chunk that it becomes if it stays alone.
fn size((_, id): &(Kind, Id)) -> usize {
    let own = entry(size_of::<((Kind, Id), Half)>()) + size_of::<Chunk<'_>>();
    // A code unit takes at most three bytes as UTF-8, and six as an escape.
    own + allocation(size_of_val(&**id)) + allocation(6 * id.len())
}

/// Returns the delta for a half that stays alone.
fn replacement((kind, id): &(Kind, Id)) -> Chunk<'static> {
    let id = Text::from_code_units(id);
    match kind {
        Kind::Text => TextDelta::new(id, REPLACEMENT).into(),
        Kind::Reasoning => ReasoningDelta::new(id, REPLACEMENT).into(),
        Kind::ToolInput => ToolInputDelta::new(id, REPLACEMENT).into(),
    }
}
