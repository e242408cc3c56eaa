use twentyfirst_protocol::ui::{Chunk, Part, RawJson, Text, TextState, ToolState, UiMessage};

/// Builds the message that is stored from the chunks of a run.
#[derive(Default)]
pub(crate) struct Assembly {
    parts: Vec<Part>,
    /// The open text and reasoning parts, and where they stand.
    open: Vec<(Text<'static>, usize)>,
}

impl Assembly {
    pub(crate) fn take(&mut self, chunk: &Chunk<'static>) {
        match chunk {
            Chunk::TextStart(start) => {
                let mut part = twentyfirst_protocol::ui::TextPart::new("");
                part.state = Some(TextState::Streaming);
                self.open.push((start.id.clone(), self.parts.len()));
                self.parts.push(Part::Text(part));
            }
            Chunk::TextDelta(delta) => {
                if let Some(Part::Text(part)) = self.open_part(&delta.id) {
                    part.text = joined(&part.text, &delta.delta);
                }
            }
            Chunk::TextEnd(end) => {
                if let Some(Part::Text(part)) = self.open_part(&end.id) {
                    part.state = Some(TextState::Done);
                }
                self.open.retain(|(id, _)| *id != end.id);
            }
            Chunk::ToolInputAvailable(call) => {
                let mut part = twentyfirst_protocol::ui::ToolPart::new(
                    call.tool_name.clone(),
                    call.tool_call_id.clone(),
                    ToolState::InputAvailable,
                );
                part.input.clone_from(&call.input);
                self.parts.push(Part::Tool(Box::new(part)));
            }
            Chunk::ToolOutputAvailable(output) => {
                for part in &mut self.parts {
                    if let Part::Tool(part) = part
                        && part.tool_call_id == output.tool_call_id
                    {
                        part.state = ToolState::OutputAvailable;
                        part.output.clone_from(&output.output);
                    }
                }
            }
            Chunk::ToolOutputError(error) => {
                for part in &mut self.parts {
                    if let Part::Tool(part) = part
                        && part.tool_call_id == error.tool_call_id
                    {
                        part.state = ToolState::OutputError;
                        part.error_text = Some(error.error_text.clone());
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn message(self, id: &str, metadata: Option<RawJson<'static>>) -> UiMessage {
        let message = UiMessage::assistant(self.parts).with_id(id.to_owned());
        match metadata {
            Some(metadata) => message.with_metadata(metadata),
            None => message,
        }
    }

    fn open_part(&mut self, id: &Text<'static>) -> Option<&mut Part> {
        let (_, at) = self.open.iter().rfind(|(open, _)| open == id)?;
        self.parts.get_mut(*at)
    }
}

fn joined(text: &Text<'static>, delta: &Text<'static>) -> Text<'static> {
    match (text.as_str(), delta.as_str()) {
        (Some(text), Some(delta)) => format!("{text}{delta}").into(),
        _ => {
            let mut units = text.to_code_units();
            units.extend(delta.to_code_units());
            Text::from_code_units(&units)
        }
    }
}
