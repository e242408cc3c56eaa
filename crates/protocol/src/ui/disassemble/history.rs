use std::mem;

use super::tool::{
    approval_of, available_of, denied_of, error_of, input_delta_of, output_of, start_of,
};
use crate::ui::chunk::{InputEncoding, ToolApprovalRequest, ToolApprovalResponse};
use crate::ui::{Chunk, PartialJson, RawJson, Text, ToolPart, ToolState};

/// The chunks of a call, in an order that leads to its part as it is.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The chunks that create the part.
    pub(super) created: Vec<Chunk<'static>>,
    /// The chunks that change its input again, in the part's own step.
    pub(super) input_again: Vec<Chunk<'static>>,
    /// The result of the call.
    pub(super) result: Vec<Chunk<'static>>,
    /// The approval of the call, and the result after it.
    pub(super) decision: Vec<Chunk<'static>>,
}

/// The part of a later step in which the input of a call continues.
pub(super) struct Next<'p> {
    pub(super) part: &'p ToolPart,
    /// The text that was written before that part.
    pub(super) text: &'p Text<'static>,
}

/// The last chunk that has set the whole part. Later chunks change only its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// `tool-input-start` and `tool-input-delta`: the input was being written.
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
/// tool shows this: if a delta has created it, it has no `rawInput`, as in the AI SDK.
pub(super) fn is_continued(call: &ToolPart) -> bool {
    call.dynamic
        && Basis::of(call) == Basis::Writing
        && call.raw_input.is_none()
        && call.input.is_some()
}

/// Returns whether the input that continues in `next` can have begun in this part, even if this part has another input by now.
pub(super) fn may_have_begun(call: &ToolPart, next: &ToolPart) -> bool {
    // The start of the input has set these members of both parts, and they are kept once they are set.
    let keeps_title = next.title.is_none() || call.title.is_some();
    let keeps_metadata = next.tool_metadata.is_none() || call.tool_metadata.is_some();
    Basis::of(call) == Basis::Writing || (keeps_title && keeps_metadata)
}

impl History {
    /// Returns the history of a call whose input begins in this part, and continues in `next` if there is one.
    pub(super) fn of(call: &ToolPart, next: Option<&Next<'_>>) -> Self {
        let basis = Basis::of(call);
        let mut history = Self::default();
        if matches!(basis, Basis::Writing | Basis::Input) && call.result_provider_metadata.is_some()
        {
            // Only a result brings such metadata, and the part keeps it when the input starts again.
            history.result.push(output_of(call));
        }
        let input = input_of(call, next);
        // The chunk that has set the state comes last. But some chunk has to create the part first, at its place in the message.
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
                    // The result came before the input that is being written, and a result needs a part.
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

    /// Moves the chunks of an input that is being written to `input_again`, and creates the part with `tool-input-available`.
    pub(super) fn write_later(&mut self, call: &ToolPart) {
        if let Some(Chunk::ToolInputStart(_)) = self.created.first() {
            self.input_again = mem::replace(&mut self.created, vec![available_of(call, None)]);
        }
    }

    /// Returns the history of a call whose input continues in this part. `more` is the text written in it.
    pub(super) fn of_continued(call: &ToolPart, more: &Text<'static>) -> Self {
        let mut result = Vec::new();
        if let Some(approval) = &call.approval
            && (call.provider_executed.is_some() || call.call_provider_metadata.is_some())
        {
            // Only the response to an approval can have set these members. It was an earlier one, with an id that no longer shows.
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

/// Returns the result of a call, if the result has set the whole part.
fn result_on(call: &ToolPart, basis: Basis) -> Option<Chunk<'static>> {
    match basis {
        Basis::Writing | Basis::Input => None,
        Basis::Output => Some(output_of(call)),
        Basis::Error => Some(error_of(call)),
    }
}

/// Returns the approval of a call, and the denied result if there is one.
fn decision_of(call: &ToolPart) -> Vec<Chunk<'static>> {
    let mut chunks = approval_of(call, None);
    if call.state == ToolState::OutputDenied {
        chunks.push(denied_of(call));
    }
    chunks
}

/// Returns the chunks of a call's input, which is being written or complete.
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

/// Returns the encoding of a failed call's input. Its part does not have it, so find the one that gives the same value.
fn encoding_of(call: &ToolPart) -> Option<InputEncoding> {
    let text = call.raw_input.as_ref()?.to_string_lossy();
    [None, Some(InputEncoding::Text)]
        .into_iter()
        .find(|encoding| value_of(&text, *encoding).as_ref() == call.input.as_ref())
        .flatten()
}

/// Returns the text of an input that is being written; `None` if the input is not.
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

/// Returns a text from which the input of a call can be read.
pub(super) fn text_of(call: &ToolPart) -> String {
    let input = call.input.as_ref();
    let text = match call.input_encoding {
        Some(InputEncoding::Text) => input.and_then(|input| input.deserialize().ok()),
        Some(InputEncoding::Json) | None => input.map(|input| input.get().to_owned()),
    };
    text.unwrap_or_default()
}
