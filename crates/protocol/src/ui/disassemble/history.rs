use std::mem;

use super::tool::{
    approval_of, available_of, denied_of, error_of, input_delta_of, output_of, start_of,
};
use crate::ui::chunk::InputEncoding;
use crate::ui::{Chunk, PartialJson, RawJson, Text, ToolPart, ToolState};

/// How a call has come to what its part shows.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What makes the part.
    pub(super) made: Vec<Chunk<'static>>,
    /// What changes its input again, in the part's own step.
    pub(super) again: Vec<Chunk<'static>>,
    /// What came of it.
    pub(super) then: Vec<Chunk<'static>>,
}

/// The last chunk that has set the whole part. What may come after it changes the state, and leaves the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The input was being written: `tool-input-start` and `tool-input-delta`.
    Writing,
    /// `tool-input-available`.
    Input,
    /// `tool-output-available`.
    Output,
    /// `tool-output-error`, or `tool-input-error`, which makes the same.
    Error,
}

impl Basis {
    fn of(call: &ToolPart) -> Self {
        match call.state {
            ToolState::InputStreaming => Self::Writing,
            ToolState::InputAvailable | ToolState::Unknown(_) => Self::Input,
            ToolState::OutputAvailable => Self::Output,
            ToolState::OutputError => Self::Error,
            ToolState::ApprovalRequested
            | ToolState::ApprovalResponded
            | ToolState::OutputDenied => {
                if call.error_text.is_some() {
                    Self::Error
                } else if call.output.is_some() || call.preliminary.is_some() {
                    Self::Output
                } else if call.raw_input.is_some() || call.input_encoding.is_some() {
                    Self::Writing
                } else {
                    Self::Input
                }
            }
        }
    }
}

/// Whether the input of a call was written on in this part and had begun in that of an earlier step. Only the part of a dynamic tool
/// tells: as in the AI SDK, it shows no text after its first delta.
pub(super) fn goes_on(call: &ToolPart) -> bool {
    let fresh = value_of("", call.input_encoding);
    call.dynamic
        && Basis::of(call) == Basis::Writing
        && call.raw_input.is_none()
        && fresh != call.input
}

impl History {
    /// Of a call that begins in its own step.
    pub(super) fn of(call: &ToolPart) -> Self {
        let basis = Basis::of(call);
        let has_input = matches!(basis, Basis::Writing | Basis::Input);
        let metadata = call.result_provider_metadata.is_some();
        let (is_input, is_over) = match call.state {
            ToolState::InputStreaming | ToolState::InputAvailable => (true, false),
            ToolState::OutputAvailable | ToolState::OutputError => (false, true),
            ToolState::ApprovalRequested
            | ToolState::ApprovalResponded
            | ToolState::OutputDenied
            | ToolState::Unknown(_) => (false, false),
        };
        let mut history = Self::default();
        let then = &mut history.then;
        if has_input && metadata {
            // Only a result has such metadata, and it stays when the input comes anew.
            then.push(output_of(call));
        }
        if is_input {
            then.extend(approval_of(call, None));
        }
        if !then.is_empty() {
            history.made = vec![available_of(call, None)];
            then.extend(input_of(call));
        } else {
            history.made = input_of(call);
        }
        if is_over {
            then.extend(approval_of(call, None));
        }
        match basis {
            Basis::Writing | Basis::Input => {}
            Basis::Output => then.push(output_of(call)),
            Basis::Error => then.push(error_of(call)),
        }
        if !is_input && !is_over {
            then.extend(decision_of(call));
        }
        history
    }

    /// Of a call that goes on in its part with this much of its input.
    pub(super) fn of_continued(call: &ToolPart, more: &str) -> Self {
        let mut then = decision_of(call);
        for chunk in &mut then {
            // Nothing else can have set them.
            if let Chunk::ToolApprovalResponse(chunk) = chunk {
                chunk.provider_executed = call.provider_executed;
                chunk.provider_metadata = call.call_provider_metadata.clone();
            }
        }
        Self {
            made: vec![input_delta_of(call, more)],
            again: Vec::new(),
            then,
        }
    }

    /// Of a call whose input goes on in a part of a later step, `next`. If it has another input now, so much was written here before.
    pub(super) fn begin(&mut self, call: &ToolPart, next: &ToolPart, text: &str) {
        if Basis::of(call) != Basis::Writing {
            let start = start_of(next, next.input_encoding);
            let whole = available_of(call, call.input.clone());
            self.again = vec![start, input_delta_of(call, text), whole];
            return;
        }
        let mut is_made = true;
        for chunk in self.made.iter_mut().chain(&mut self.then) {
            if let Chunk::ToolInputStart(start) = chunk {
                start.tool_name = next.tool_name.clone();
                start.title = next.title.clone();
                start.tool_metadata = next.tool_metadata.clone();
            } else if let Chunk::ToolInputAvailable(_) = chunk {
                is_made = false;
            }
        }
        if is_made && call.raw_input.is_some() {
            self.again = mem::replace(&mut self.made, vec![available_of(call, None)]);
        }
    }
}

/// Whether the call may run, and that it did not.
fn decision_of(call: &ToolPart) -> Vec<Chunk<'static>> {
    let mut chunks = approval_of(call, None);
    if call.state == ToolState::OutputDenied {
        chunks.push(denied_of(call));
    }
    chunks
}

/// The input of a call, written or whole.
fn input_of(call: &ToolPart) -> Vec<Chunk<'static>> {
    let encoding = match Basis::of(call) {
        Basis::Writing => call.input_encoding,
        Basis::Error => encoding_of(call),
        Basis::Input | Basis::Output => None,
    };
    let text = call.raw_input.as_ref().map(Text::to_string_lossy);
    match (Basis::of(call), text) {
        (Basis::Writing | Basis::Error, Some(text)) => {
            vec![start_of(call, encoding), input_delta_of(call, &text)]
        }
        (Basis::Writing, None) => vec![start_of(call, encoding)],
        (Basis::Error, None) | (Basis::Input | Basis::Output, _) => {
            vec![available_of(call, call.input.clone())]
        }
    }
}

/// What the text of a failed call's input was, which its part does not tell.
fn encoding_of(call: &ToolPart) -> Option<InputEncoding> {
    let text = call.raw_input.as_ref()?.to_string_lossy();
    let is_text = |encoding| value_of(&text, encoding).as_ref() == call.input.as_ref();
    let encodings = [None, Some(InputEncoding::Text)].into_iter();
    encodings
        .flat_map(|encoding| is_text(encoding).then_some(encoding))
        .next()
        .flatten()
}

/// The text of the input that is being written in the part of a call.
pub(super) fn written_in(call: &ToolPart) -> Option<String> {
    let text = call.raw_input.as_ref().map(Text::to_string_lossy);
    (Basis::of(call) == Basis::Writing).then(|| text.unwrap_or_default().into_owned())
}

/// What can be read of the text of an input.
fn value_of(text: &str, encoding: Option<InputEncoding>) -> Option<RawJson<'static>> {
    match encoding {
        Some(InputEncoding::Text) => RawJson::from_value(text).ok(),
        Some(InputEncoding::Json) | None => PartialJson::from(text).value(),
    }
}

/// A text that is read as the input of a call.
pub(super) fn text_of(call: &ToolPart) -> String {
    let input = call.input.as_ref();
    let text = match call.input_encoding {
        Some(InputEncoding::Text) => input.and_then(|input| input.deserialize().ok()),
        Some(InputEncoding::Json) | None => input.map(|input| input.get().to_owned()),
    };
    text.unwrap_or_default()
}
