use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::allocation::Allocation;
use super::tracks::{CallStep, Place, Track, Tracks};
use crate::ui::chunk::MessageMetadata;
use crate::ui::held::allocation;
use crate::ui::{Chunk, Text};

/// The record of what was delivered, to compare other streams with.
pub(in crate::runs) type Recorded = Tracks<Content>;

/// The contents of a track: a text, values, or only a number of chunks.
#[derive(Debug, Default)]
pub(in crate::runs) struct Content {
    /// The id of a text or reasoning.
    pub(super) id: Option<Text<'static>>,
    /// The text received in deltas.
    pub(super) text: String,
    /// Whether the text or reasoning has ended.
    pub(super) ended: bool,
    /// The values, as JSON.
    pub(super) values: Vec<String>,
    /// The number of chunks that are only counted.
    pub(super) times: usize,
}

impl Content {
    /// Returns the length, in bytes or in values.
    pub(super) fn length(&self) -> usize {
        self.text.len() + self.values.len() + self.times
    }

    fn allocated(&self) -> usize {
        self.text.allocated() + self.values.allocated()
    }
}

impl Recorded {
    /// Records a chunk if there is `room` for it, in bytes. Returns whether there was.
    pub(super) fn record(&mut self, chunk: &Chunk<'static>, room: usize) -> bool {
        let place = Place::of(chunk);
        let delta = place.delta().map(Text::to_string_lossy).unwrap_or_default();
        let mut json = match place {
            Place::Value(_) => exact(json_of(chunk)),
            _ => String::new(),
        };
        // Before `begin` and `end`, which change what the place refers to.
        let tracks = self.of(&place);
        let values = usize::from(matches!(place, Place::Value(_)));
        let growth = tracks.iter().flatten().map(|track| match self.get(track) {
            Some(content) => content.text.growth(delta.len()) + content.values.growth(values),
            None => String::new().growth(delta.len()) + Vec::<String>::new().growth(values),
        });
        let json_size = allocation(json.len());
        if growth.sum::<usize>() + json_size + self.growth(&place) > room {
            // Nothing has changed yet: a chunk is recorded whole or not at all.
            return false;
        }
        self.contents += json_size;
        match place {
            Place::Start(kind, id) => drop(self.begin(kind, id)),
            Place::End(kind, id) => drop(self.end(kind, id)),
            _ => {}
        }
        for track in tracks.iter().flatten() {
            let content = self.at(track);
            let before = content.allocated();
            match &place {
                Place::Start(_, id) => content.id = Some((*id).clone()),
                Place::Delta(..) | Place::Input(..) => content.text.push_str(&delta),
                Place::End(..) => content.ended = true,
                // A chunk of a call has two tracks. Only that of its step counts it.
                Place::Step(..) => content.times += usize::from(matches!(track, Track::Step(..))),
                Place::Value(_) => content.values.push(std::mem::take(&mut json)),
                Place::Run => {}
            }
            let grown = content.allocated() - before;
            self.contents += grown;
        }
        true
    }

    /// Returns how often a chunk of a call may be repeated. An output that the result has replaced may be repeated any number of
    /// times.
    pub(super) fn times(&self, id: &Text<'static>, step: CallStep) -> usize {
        let times = |step| {
            self.get(&Track::Step(id.clone(), step))
                .map(Content::length)
        };
        let mut results = [CallStep::Output, CallStep::Error, CallStep::Denied].into_iter();
        match step == CallStep::Preliminary && results.any(|result| times(result).is_some()) {
            true => usize::MAX,
            false => times(step).unwrap_or_default(),
        }
    }

    /// Returns what makes a replay recognizable: the length of all texts in bytes, and whether there are tool calls.
    pub(super) fn evidence(&self) -> (usize, bool) {
        let texts = self
            .iter()
            .filter(|(track, _)| matches!(track, Track::Written(..)));
        let length = texts.map(|(_, content)| content.length()).sum();
        let has_calls = self
            .iter()
            .any(|(track, _)| matches!(track, Track::Call(_)));
        (length, has_calls)
    }
}

/// Returns a chunk that is compared as a whole, as JSON.
pub(super) fn json_of(chunk: &Chunk<'static>) -> String {
    // Metadata names a text by an id that differs between readers.
    let Chunk::MessageMetadata(metadata) = chunk else {
        return chunk.encode();
    };
    metadata_of(metadata).unwrap_or_default()
}

/// Returns the metadata without `finalTextId`: each reader gets its own ids of texts.
fn metadata_of(chunk: &MessageMetadata<'static>) -> Option<String> {
    let metadata = chunk.message_metadata.as_ref()?;
    let members = metadata.deserialize::<BTreeMap<String, &RawValue>>();
    let without_id = members.ok().and_then(|mut members| {
        members.remove("finalTextId");
        serde_json::to_string(&members).ok()
    });
    Some(without_id.unwrap_or_else(|| metadata.get().to_owned()))
}

/// Returns the string without spare capacity.
fn exact(mut text: String) -> String {
    text.shrink_to_fit();
    text
}
