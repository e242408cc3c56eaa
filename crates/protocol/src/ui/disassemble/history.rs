use std::mem;

use super::tool::{
    approval_of, available_of, denied_of, error_of, input_delta_of, output_of, start_of,
};
use crate::ui::chunk::{InputEncoding, ToolApprovalRequest, ToolApprovalResponse};
use crate::ui::{Chunk, PartialJson, RawJson, Text, ToolPart, ToolState};

/// The chunks of a call, in an order that leads to the state of its part.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The chunks that create the part.
    pub(super) created: Vec<Chunk<'static>>,
    /// The chunks that change its input again, in the part's own step.
    pub(super) input_again: Vec<Chunk<'static>>,
    /// The result of the call.
    pub(super) result: Vec<Chunk<'static>>,
    /// The decision whether the call may run, and the result after it.
    pub(super) decision: Vec<Chunk<'static>>,
}

/// The part of a later step in which the input of a call continues, and the text written before it.
pub(super) struct Next<'p> {
    pub(super) part: &'p ToolPart,
    pub(super) text: &'p Text<'static>,
}

/// The last chunk that has set the whole part. Later chunks change only its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The input was being written: `tool-input-start` and `tool-input-delta`.
    Writing,
    /// `tool-input-available`.
    Input,
    /// `tool-output-available`.
    Output,
    /// `tool-output-error`, or `tool-input-error`, which has the same effect.
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

/// Returns whether the input of a call was continued in this part, after it began in an earlier step. Only the part of a dynamic
/// tool shows this: as in the AI SDK, it shows no text if a delta has created it.
pub(super) fn is_continued(call: &ToolPart) -> bool {
    call.dynamic
        && Basis::of(call) == Basis::Writing
        && call.raw_input.is_none()
        && call.input.is_some()
}

/// Returns whether the input of a call that continues in a part, `next`, can have begun in this one, which has another input now.
pub(super) fn may_have_begun(call: &ToolPart, next: &ToolPart) -> bool {
    // The start sets these members, and they are kept.
    let keeps_title = next.title.is_none() || call.title.is_some();
    let keeps_metadata = next.tool_metadata.is_none() || call.tool_metadata.is_some();
    Basis::of(call) == Basis::Writing || (keeps_title && keeps_metadata)
}

impl History {
    /// Returns the history of a call that begins in its own step, and whose input may continue elsewhere.
    pub(super) fn of(call: &ToolPart, next: Option<&Next<'_>>) -> Self {
        let basis = Basis::of(call);
        let mut history = Self::default();
        if matches!(basis, Basis::Writing | Basis::Input) && call.result_provider_metadata.is_some()
        {
            // Only a result has such metadata, and it is kept when the input starts again.
            history.result.push(output_of(call));
        }
        let input = input_of(call, next);
        match call.state {
            ToolState::InputStreaming | ToolState::InputAvailable => {
                history.decision.extend(approval_of(call, None));
                if history.result.is_empty() && history.decision.is_empty() {
                    history.created = input;
                } else {
                    history.created = vec![available_of(call, None)];
                    history.decision.extend(input);
                }
            }
            ToolState::OutputAvailable | ToolState::OutputError => {
                history.created = input;
                history.decision.extend(approval_of(call, None));
                history.decision.extend(result_on(call, basis));
            }
            ToolState::ApprovalRequested
            | ToolState::ApprovalResponded
            | ToolState::OutputDenied
            | ToolState::Unknown(_) => {
                if basis == Basis::Writing && !history.result.is_empty() {
                    history.created = vec![available_of(call, None)];
                    history.result.extend(input);
                } else {
                    history.created = input;
                }
                history.result.extend(result_on(call, basis));
                history.decision = decision_of(call);
            }
        }
        if let Some(next) = next.filter(|_| basis != Basis::Writing) {
            history.input_again = vec![
                start_of(call, next.part, next.part.input_encoding),
                input_delta_of(call, next.text.clone()),
                available_of(call, call.input.clone()),
            ];
        }
        history
    }

    /// Moves an input that is being written behind the chunks that create the part, and creates the part with another chunk.
    pub(super) fn write_later(&mut self, call: &ToolPart) {
        if let Some(Chunk::ToolInputStart(_)) = self.created.first() {
            self.input_again = mem::replace(&mut self.created, vec![available_of(call, None)]);
        }
    }

    /// Returns the history of a call that continues in its part, with this rest of its input.
    pub(super) fn of_continued(call: &ToolPart, more: &Text<'static>) -> Self {
        let mut result = Vec::new();
        if let Some(approval) = &call.approval
            && (call.provider_executed.is_some() || call.call_provider_metadata.is_some())
        {
            // Only the response to an approval can have set them: any approval before this one serves.
            let before = Text::from(format!("{} before", approval.id));
            let mut response = ToolApprovalResponse::new(before.clone(), false);
            response.provider_executed = call.provider_executed;
            response.provider_metadata = call.call_provider_metadata.clone();
            let request = ToolApprovalRequest::new(before, call.tool_call_id.clone());
            result.extend([request.into(), response.into()]);
        }
        Self {
            created: vec![input_delta_of(call, more.clone())],
            input_again: Vec::new(),
            result,
            decision: decision_of(call),
        }
    }
}

/// Returns the result of a call, if it has set the whole part.
fn result_on(call: &ToolPart, basis: Basis) -> Option<Chunk<'static>> {
    match basis {
        Basis::Writing | Basis::Input => None,
        Basis::Output => Some(output_of(call)),
        Basis::Error => Some(error_of(call)),
    }
}

/// Returns the decision whether the call may run, and a denied result.
fn decision_of(call: &ToolPart) -> Vec<Chunk<'static>> {
    let mut chunks = approval_of(call, None);
    if call.state == ToolState::OutputDenied {
        chunks.push(denied_of(call));
    }
    chunks
}

/// Returns the input of a call, being written or complete.
fn input_of(call: &ToolPart, next: Option<&Next<'_>>) -> Vec<Chunk<'static>> {
    let encoding = match Basis::of(call) {
        Basis::Writing => call.input_encoding,
        Basis::Error if call.raw_input.is_some() => encoding_of(call),
        Basis::Error | Basis::Input | Basis::Output => {
            return vec![available_of(call, call.input.clone())];
        }
    };
    let names = next.map_or(call, |next| next.part);
    let start = start_of(call, names, encoding);
    let text = call.raw_input.as_ref().map(|text| match next {
        Some(next) => next.text.clone(),
        None => text.to_string_lossy().into_owned().into(),
    });
    let delta = text.map(|text: Text<'static>| input_delta_of(call, text));
    [start].into_iter().chain(delta).collect()
}

/// Returns the encoding of a failed call's input, which its part does not show.
fn encoding_of(call: &ToolPart) -> Option<InputEncoding> {
    let text = call.raw_input.as_ref()?.to_string_lossy();
    let is_text = |encoding| value_of(&text, encoding).as_ref() == call.input.as_ref();
    let encodings = [None, Some(InputEncoding::Text)].into_iter();
    encodings
        .flat_map(|encoding| is_text(encoding).then_some(encoding))
        .next()
        .flatten()
}

/// Returns the text of the input that is being written in the part of a call.
pub(super) fn written_in(call: &ToolPart) -> Option<String> {
    let text = call.raw_input.as_ref().map(Text::to_string_lossy);
    (Basis::of(call) == Basis::Writing).then(|| text.unwrap_or_default().into_owned())
}

/// Returns the value that can be read from the text of an input.
fn value_of(text: &str, encoding: Option<InputEncoding>) -> Option<RawJson<'static>> {
    match encoding {
        Some(InputEncoding::Text) => RawJson::from_value(text).ok(),
        Some(InputEncoding::Json) | None => PartialJson::from(text).value(),
    }
}

/// Returns a text that is read as the input of a call.
pub(super) fn text_of(call: &ToolPart) -> String {
    let input = call.input.as_ref();
    let text = match call.input_encoding {
        Some(InputEncoding::Text) => input.and_then(|input| input.deserialize().ok()),
        Some(InputEncoding::Json) | None => input.map(|input| input.get().to_owned()),
    };
    text.unwrap_or_default()
}
