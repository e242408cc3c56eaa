use twentyfirst_protocol::ui::{Chunk, Text};

use super::feed::Event;

/// Cuts the deltas of a run at other places, for a replay.
///
/// Each delta is cut in its middle, and its second half joins the first half of the next delta. A part still ends with its last delta.
pub(super) fn cut_elsewhere(events: Vec<Event>) -> Vec<Event> {
    let mut cut = Vec::with_capacity(events.len());
    let mut held: Option<Delta> = None;
    for event in events {
        let Some(mut delta) = Delta::of(&event) else {
            // This event may end the part, so the rest of the part comes first.
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

/// A delta: the chunk without its text, and the text as code units.
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

    /// Returns whether `next` continues the same part: the chunks are equal except for their text.
    fn continues_with(&self, next: &Self) -> bool {
        self.chunk == next.chunk
    }

    /// Returns the index to cut at, which is not at an end and not within a surrogate pair.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twentyfirst_protocol::ui::chunk::{TextDelta, TextEnd, ToolInputDelta};

    use super::*;

    /// Yields the deltas of a part, and whether it is the input of a tool.
    fn part() -> impl Strategy<Value = (bool, Vec<String>)> {
        (any::<bool>(), prop::collection::vec("[aé😀]{0,5}", 0..8))
    }

    proptest! {
        #[test]
        fn recutting_keeps_the_texts_and_moves_the_cuts(parts in prop::collection::vec(part(), 0..4)) {
            let mut events = Vec::new();
            for (number, (is_tool, deltas)) in parts.iter().enumerate() {
                for delta in deltas {
                    let (id, delta) = (number.to_string(), delta.clone());
                    events.push(Event::from(if *is_tool {
                        Chunk::from(ToolInputDelta::new(id, delta))
                    } else {
                        Chunk::from(TextDelta::new(id, delta))
                    }));
                }
                events.push(Chunk::from(TextEnd::new(number.to_string())).into());
            }
            let (before, after) = (shape(&events), shape(&cut_elsewhere(events)));
            prop_assert_eq!(before.len(), after.len());
            for ((old, old_cuts), (new, new_cuts)) in before.iter().zip(&after) {
                prop_assert_eq!(old, new);
                prop_assert!(old_cuts.iter().all(|cut| !new_cuts.contains(cut)), "{:?} {:?}", old_cuts, new_cuts);
                // A delta that can be cut is cut.
                let long = old_cuts.windows(2).any(|two| {
                    old.get(two[0]..two[1]).is_some_and(|delta| delta.chars().count() > 1)
                });
                prop_assert!(!long || !new_cuts.is_empty());
            }
        }
    }

    /// Returns the text of each part, and the offsets where its deltas meet.
    fn shape(events: &[Event]) -> Vec<(String, Vec<usize>)> {
        let mut parts = vec![(String::new(), Vec::new())];
        for event in events {
            let whole = parts.last_mut().unwrap();
            match Delta::of(event) {
                Some(delta) => {
                    if !delta.units.is_empty() && !whole.0.is_empty() {
                        whole.1.push(whole.0.len());
                    }
                    // Fails if a delta is cut within a character.
                    whole.0.push_str(&String::from_utf16(&delta.units).unwrap());
                }
                None => parts.push((String::new(), Vec::new())),
            }
        }
        parts
    }
}
