use twentyfirst_protocol::ui::{Chunk, Text};

use super::feed::Event;

/// The same events with deltas cut at other places: in the middle of each, and where one of them ended only if it is the last
/// of its part.
pub(super) fn cut_elsewhere(events: Vec<Event>) -> Vec<Event> {
    let mut cut = Vec::with_capacity(events.len());
    let mut held: Option<Delta> = None;
    for event in events {
        let Some(mut delta) = Delta::of(&event) else {
            cut.extend(held.take().map(Delta::into_event));
            cut.push(event);
            continue;
        };
        let before = match held.take() {
            Some(before) if before.continues_with(&delta) => before.units,
            other => {
                cut.extend(other.map(Delta::into_event));
                Vec::new()
            }
        };
        let middle = delta.middle().map(|middle| before.len() + middle);
        delta.units.splice(0..0, before);
        if let Some(middle) = middle {
            let mut first = delta.clone();
            delta.units = first.units.split_off(middle);
            cut.push(first.into_event());
        }
        held = Some(delta);
    }
    cut.extend(held.map(Delta::into_event));
    cut
}

/// A chunk that continues a text, and what it brings.
#[derive(Clone)]
struct Delta {
    chunk: Chunk<'static>,
    units: Vec<u16>,
}

impl Delta {
    fn of(event: &Event) -> Option<Self> {
        let Event::Chunk(encoded) = event else {
            return None;
        };
        let mut chunk = encoded.chunk.clone();
        let units = std::mem::take(text(&mut chunk)?).to_code_units();
        Some(Self { chunk, units })
    }

    /// Whether another is more of the same text: all but what it brings is the same.
    fn continues_with(&self, next: &Self) -> bool {
        self.chunk == next.chunk
    }

    /// Where it can be cut: not at its ends, and not within a character.
    fn middle(&self) -> Option<usize> {
        let middle = self.units.len() / 2;
        let is_low = |unit: &u16| (0xdc00..0xe000).contains(unit);
        let middle = middle + usize::from(self.units.get(middle).is_some_and(is_low));
        (0 < middle && middle < self.units.len()).then_some(middle)
    }

    fn into_event(self) -> Event {
        let mut chunk = self.chunk;
        if let Some(text) = text(&mut chunk) {
            *text = Text::from_code_units(&self.units);
        }
        chunk.into()
    }
}

fn text<'a>(chunk: &'a mut Chunk<'static>) -> Option<&'a mut Text<'static>> {
    match chunk {
        Chunk::TextDelta(delta) => Some(&mut delta.delta),
        Chunk::ReasoningDelta(delta) => Some(&mut delta.delta),
        Chunk::ToolInputDelta(delta) => Some(&mut delta.input_text_delta),
        _ => None,
    }
}
