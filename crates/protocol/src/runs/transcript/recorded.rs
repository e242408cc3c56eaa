use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::room::Places;
use super::tracks::{CallStep, Place, Track, Tracks};
use crate::ui::chunk::MessageMetadata;
use crate::ui::held::allocation;
use crate::ui::{Chunk, Text};

/// What was delivered, to compare other streams with it.
pub(in crate::runs) type Recorded = Tracks<Content>;

/// What was delivered on a track.
#[derive(Debug)]
pub(in crate::runs) enum Content {
    Written(Written),
    /// As JSON.
    Values(Vec<String>),
    /// Only how many.
    Times(usize),
}

/// What comes bit by bit.
#[derive(Debug, Default)]
pub(in crate::runs) struct Written {
    /// The id of a text or reasoning.
    pub(super) id: Option<Text<'static>>,
    pub(super) text: String,
    pub(super) ended: bool,
}

impl Content {
    /// Nothing yet.
    fn new(track: &Track) -> Self {
        match track {
            Track::Written(..) | Track::Call(_) => Self::Written(Written::default()),
            Track::Step(..) => Self::Times(0),
            Track::Data(..) | Track::Metadata | Track::Other => Self::Values(Vec::new()),
        }
    }

    /// How much it is, in bytes or in number.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Written(written) => written.text.len(),
            Self::Values(values) => values.len(),
            Self::Times(times) => *times,
        }
    }

    fn places(&self) -> usize {
        match self {
            Self::Written(written) => written.text.places(),
            Self::Values(values) => values.places(),
            Self::Times(_) => 0,
        }
    }

    /// What it takes more while so many bytes of text, or a value, come.
    fn growth(&self, bytes: usize) -> usize {
        match self {
            Self::Written(written) => written.text.growth(bytes),
            Self::Values(values) => values.growth(1),
            Self::Times(_) => 0,
        }
    }
}

impl Recorded {
    /// Records a chunk, unless there is no `room` for it, in bytes. Whether it has.
    pub(super) fn record(&mut self, chunk: &Chunk<'static>, room: usize) -> bool {
        let place = Place::of(chunk);
        let delta = place.delta().map(Text::to_string_lossy).unwrap_or_default();
        let mut json = match place {
            Place::Value(_) => exact(json_of(chunk)),
            _ => String::new(),
        };
        let tracks = self.of(&place);
        let growth = tracks.iter().flatten().map(|track| {
            let content = self.get(track);
            content.map_or_else(
                || Content::new(track).growth(delta.len()),
                |content| content.growth(delta.len()),
            )
        });
        let json_size = allocation(json.len());
        if growth.sum::<usize>() + json_size + self.growth(&place) > room {
            return false;
        }
        self.contents += json_size;
        match place {
            Place::Start(kind, id) => drop(self.begin(kind, id)),
            Place::End(kind, id) => drop(self.end(kind, id)),
            _ => {}
        }
        for track in tracks.iter().flatten() {
            let content = self.at(track, Content::new(track));
            let before = content.places();
            match (&mut *content, &place) {
                (Content::Written(part), Place::Start(_, id)) => part.id = Some((*id).clone()),
                (Content::Written(part), Place::End(..)) => part.ended = true,
                (Content::Written(part), _) => part.text.push_str(&delta),
                (Content::Values(values), _) => values.push(std::mem::take(&mut json)),
                (Content::Times(times), _) => *times += 1,
            }
            let grown = content.places() - before;
            self.contents += grown;
        }
        true
    }

    /// What was written on a track.
    pub(super) fn written(&self, track: &Track) -> Option<&Written> {
        match self.get(track)? {
            Content::Written(written) => Some(written),
            Content::Values(_) | Content::Times(_) => None,
        }
    }

    /// The values of a track.
    pub(super) fn values(&self, track: &Track) -> &[String] {
        match self.get(track) {
            Some(Content::Values(values)) => values,
            _ => &[],
        }
    }

    /// How often a chunk of a call may come again. An output that the result has replaced may as often as it likes.
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

    /// How long all texts are in bytes, and whether there are tool calls: by these it is recognized.
    pub(super) fn telling(&self) -> (usize, bool) {
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

/// A chunk of which all is compared, as JSON.
pub(super) fn json_of(chunk: &Chunk<'static>) -> String {
    let Chunk::MessageMetadata(metadata) = chunk else {
        return chunk.encode();
    };
    metadata_of(metadata).unwrap_or_default()
}

/// The metadata without `finalTextId`: the ids of texts are each reader's own.
fn metadata_of(chunk: &MessageMetadata<'static>) -> Option<String> {
    let metadata = chunk.message_metadata.as_ref()?;
    let members = metadata.deserialize::<BTreeMap<String, &RawValue>>();
    let without_id = members.ok().and_then(|mut members| {
        members.remove("finalTextId");
        serde_json::to_string(&members).ok()
    });
    Some(without_id.unwrap_or_else(|| metadata.get().to_owned()))
}

/// Without places that are not used.
fn exact(mut text: String) -> String {
    text.shrink_to_fit();
    text
}
