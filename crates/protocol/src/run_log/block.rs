use bytes::Bytes;

use super::entry::Chunks;
use crate::ui::chunk::{ReasoningDelta, TextDelta, ToolInputDelta};
use crate::ui::{Chunk, Text};

/// Chunks on their way into a log. Adjacent deltas of one part are merged, so that an entry is smaller and all readers of the log
/// count the same chunks.
#[derive(Debug, Default)]
pub(super) struct Block {
    lines: String,
    /// The last chunk, while it can be extended.
    open: Option<Delta>,
}

/// A delta without any field but its text.
#[derive(Debug)]
struct Delta {
    kind: Kind,
    id: Text<'static>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    ToolInput,
}

impl Block {
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        let Some((kind, id, text)) = plain_delta(chunk) else {
            self.close();
            self.line(chunk);
            return;
        };
        match &mut self.open {
            Some(open) if open.kind == kind && open.id == *id => open.text.push_str(text),
            // Deltas are merged only if they are adjacent, so the order of chunks stays as it was.
            _ => {
                self.close();
                self.open = Some(Delta {
                    kind,
                    id: id.clone().into_owned(),
                    text: text.to_owned(),
                });
            }
        }
    }

    /// Returns the approximate size in bytes.
    pub(super) fn size(&self) -> usize {
        self.lines.len() + self.open.as_ref().map_or(0, |open| open.text.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.open.is_none()
    }

    /// Takes all chunks.
    pub(super) fn take(&mut self) -> Chunks {
        self.close();
        Chunks::new(Bytes::from(std::mem::take(&mut self.lines)))
    }

    fn close(&mut self) {
        let Some(Delta { kind, id, text }) = self.open.take() else {
            return;
        };
        let chunk = match kind {
            Kind::Text => TextDelta::new(id, text).into(),
            Kind::Reasoning => ReasoningDelta::new(id, text).into(),
            Kind::ToolInput => ToolInputDelta::new(id, text).into(),
        };
        self.line(&chunk);
    }

    fn line(&mut self, chunk: &Chunk<'_>) {
        chunk.encode_into(&mut self.lines);
        self.lines.push('\n');
    }
}

/// Returns the parts of a delta that can be merged with its neighbours. Merging would lose provider metadata, and a lone half of a
/// surrogate pair is no `str`.
fn plain_delta<'c>(chunk: &'c Chunk<'_>) -> Option<(Kind, &'c Text<'c>, &'c str)> {
    match chunk {
        Chunk::TextDelta(delta) if delta.provider_metadata.is_none() => {
            Some((Kind::Text, &delta.id, delta.delta.as_str()?))
        }
        Chunk::ReasoningDelta(delta) if delta.provider_metadata.is_none() => {
            Some((Kind::Reasoning, &delta.id, delta.delta.as_str()?))
        }
        Chunk::ToolInputDelta(delta) => Some((
            Kind::ToolInput,
            &delta.tool_call_id,
            delta.input_text_delta.as_str()?,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ui::Assembler;

    fn delta() -> impl Strategy<Value = Chunk<'static>> {
        (0..4_u8, 0..2_u8, "[a-c\n\u{1f600}]{0,3}").prop_map(|(kind, id, text)| {
            let id = ["a", "b"][usize::from(id)];
            match kind {
                0 => TextDelta::new(id, text).into(),
                1 => ReasoningDelta::new(id, text).into(),
                2 => ToolInputDelta::new(id, text).into(),
                _ => TextDelta::new(id, Text::from_code_units(&[0xd83d])).into(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_block_has_the_content_of_its_chunks_in_no_more_of_them(chunks in prop::collection::vec(delta(), 0..30)) {
            let mut block = Block::default();
            for chunk in &chunks {
                block.push(chunk);
            }
            let logged = block.take();
            prop_assert!(logged.len() <= chunks.len());
            prop_assert!(block.is_empty());
            let mut one = Assembler::new().lenient(true);
            let mut other = Assembler::new().lenient(true);
            for chunk in &chunks {
                let _ = one.apply(chunk);
            }
            for line in logged.iter() {
                let line = std::str::from_utf8(&line).unwrap();
                let _ = other.apply(&Chunk::decode(line).unwrap());
            }
            prop_assert_eq!(one.into_message(), other.into_message());
        }
    }

    #[test]
    fn adjacent_deltas_of_a_part_are_merged() {
        let mut block = Block::default();
        for (id, text) in [("a", "Hel"), ("a", "lo"), ("b", "!"), ("a", " you")] {
            block.push(&TextDelta::new(id, text).into());
        }
        block.push(&Chunk::StartStep);
        let logged = block.take();
        insta::assert_snapshot!(std::str::from_utf8(logged.lines()).unwrap(), @r#"
        {"type":"text-delta","id":"a","delta":"Hello"}
        {"type":"text-delta","id":"b","delta":"!"}
        {"type":"text-delta","id":"a","delta":" you"}
        {"type":"start-step"}
        "#);
        assert_eq!(logged.len(), 4);
    }
}
