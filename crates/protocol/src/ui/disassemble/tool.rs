use super::same::same;
use crate::ui::chunk::{
    InputEncoding, ToolApprovalRequest, ToolApprovalResponse, ToolInputAvailable, ToolInputDelta,
    ToolInputError, ToolInputStart, ToolOutputAvailable, ToolOutputDenied, ToolOutputError,
};
use crate::ui::{Approval, Chunk, PartialJson, RawJson, Text, ToolPart, ToolState};

/// Returns the chunks that lead from `begun` to `call`; `None` if `begun` is another call, or has made more progress.
///
/// `is_torn` means that the input in `begun` broke off: it is only the value that could be read so far.
pub(crate) fn rest_of_call(
    begun: &ToolPart,
    call: &ToolPart,
    is_torn: bool,
) -> Option<Vec<Chunk<'static>>> {
    let has_input = begun.state != ToolState::InputStreaming && !is_torn;
    let has_result = is_result(&begun.state) && begun.preliminary != Some(true);
    let is_same = begun.tool_call_id == call.tool_call_id
        && (begun.tool_name == call.tool_name || begun.tool_name == "")
        && (!has_input || same(begun.input.as_ref(), call.input.as_ref()))
        && (!has_result
            || (begun.state == call.state
                && same(begun.output.as_ref(), call.output.as_ref())
                && begun.error_text == call.error_text));
    if !is_same {
        return None;
    }
    let mut chunks = Vec::new();
    if !has_input {
        let is_written = !is_torn && begun.tool_name == call.tool_name;
        chunks.extend(input_of(call, is_written.then_some(begun)));
    }
    chunks.extend(approval_of(call, begun.approval.as_ref()));
    if !has_result {
        chunks.extend(result_of(call));
    }
    Some(chunks)
}

fn is_result(state: &ToolState) -> bool {
    match state {
        ToolState::OutputAvailable | ToolState::OutputError | ToolState::OutputDenied => true,
        ToolState::InputStreaming
        | ToolState::InputAvailable
        | ToolState::ApprovalRequested
        | ToolState::ApprovalResponded
        | ToolState::Unknown(_) => false,
    }
}

/// Returns the chunks of a call's input that are missing in `begun`, or all of them if there is none.
pub(super) fn input_of(call: &ToolPart, begun: Option<&ToolPart>) -> Vec<Chunk<'static>> {
    if let Some(encoding) = encoding_of_written(call) {
        let written = call.raw_input.as_ref().map(Text::to_string_lossy);
        let written = written.unwrap_or_default();
        let before = begun.and_then(|begun| begun.raw_input.as_ref());
        let before = before.map(Text::to_string_lossy).unwrap_or_default();
        let (start, rest) = match (begun, written.strip_prefix(&*before)) {
            (Some(_), Some(rest)) => (None, rest),
            _ => (Some(start_of(call, call, encoding)), &*written),
        };
        let is_first = start.is_some() && call.raw_input.is_some();
        let has_delta = is_first || !rest.is_empty();
        let delta = has_delta.then(|| input_delta_of(call, rest.to_owned()));
        return start.into_iter().chain(delta).collect();
    }
    if call.state == ToolState::InputStreaming {
        return match begun {
            Some(_) => Vec::new(),
            None => vec![start_of(call, call, call.input_encoding)],
        };
    }
    if is_input_error(call) {
        return Vec::new();
    }
    vec![available_of(call, call.input.clone())]
}

/// Returns the encoding of an input that was written but never completed; a completed one does not keep its text. `None` if the
/// call did not get its input by deltas.
fn encoding_of_written(call: &ToolPart) -> Option<Option<InputEncoding>> {
    let keeps_text = match call.state {
        ToolState::InputAvailable | ToolState::OutputAvailable | ToolState::Unknown(_) => false,
        ToolState::OutputError => !call.dynamic,
        ToolState::InputStreaming
        | ToolState::ApprovalRequested
        | ToolState::ApprovalResponded
        | ToolState::OutputDenied => true,
    };
    if !keeps_text {
        return None;
    }
    let Some(text) = &call.raw_input else {
        let has_begun = call.input_encoding.is_some() && call.input.is_none();
        return has_begun.then_some(call.input_encoding);
    };
    let mut json = PartialJson::new();
    json.push(&text.to_string_lossy());
    if call.input_encoding != Some(InputEncoding::Text)
        && same(json.value().as_ref(), call.input.as_ref())
    {
        return Some(call.input_encoding);
    }
    let as_text = RawJson::from_value(&*text.to_string_lossy()).ok();
    same(as_text.as_ref(), call.input.as_ref()).then_some(Some(InputEncoding::Text))
}

/// Returns the chunk that begins the input of a call, with the names in the part `names`.
pub(super) fn start_of(
    call: &ToolPart,
    names: &ToolPart,
    encoding: Option<InputEncoding>,
) -> Chunk<'static> {
    let mut chunk = ToolInputStart::new(call.tool_call_id.clone(), names.tool_name.clone());
    chunk.input_encoding = encoding;
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.provider_executed = call.provider_executed;
    chunk.title = names.title.clone();
    chunk.tool_metadata = names.tool_metadata.clone();
    chunk.provider_metadata = call.call_provider_metadata.clone();
    chunk.into()
}

/// Returns the chunk that appends to the input of a call.
pub(super) fn input_delta_of(call: &ToolPart, delta: impl Into<Text<'static>>) -> Chunk<'static> {
    ToolInputDelta::new(call.tool_call_id.clone(), delta).into()
}

/// Returns the chunk that completes the input of a call.
pub(super) fn available_of(call: &ToolPart, input: Option<RawJson<'static>>) -> Chunk<'static> {
    let mut chunk = ToolInputAvailable::new(call.tool_call_id.clone(), call.tool_name.clone());
    chunk.input = input;
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.provider_executed = call.provider_executed;
    chunk.title = call.title.clone();
    chunk.tool_metadata = call.tool_metadata.clone();
    chunk.provider_metadata = call.call_provider_metadata.clone();
    chunk.into()
}

/// Returns whether a call has failed because its input could not be read, so that it has only the text.
fn is_input_error(call: &ToolPart) -> bool {
    let has_text = call.raw_input.is_some() || call.other.get("rawInput").is_some();
    call.state == ToolState::OutputError
        && call.input.is_none()
        && has_text
        && encoding_of_written(call).is_none()
}

/// Returns the chunks of an approval, the request and the response, without those that were delivered already.
pub(super) fn approval_of(call: &ToolPart, begun: Option<&Approval>) -> Vec<Chunk<'static>> {
    let Some(approval) = &call.approval else {
        return Vec::new();
    };
    let begun = begun.filter(|begun| begun.id == approval.id);
    let mut chunks = Vec::new();
    if begun.is_none() {
        let mut chunk = ToolApprovalRequest::new(approval.id.clone(), call.tool_call_id.clone());
        chunk.approval_descriptor = approval.descriptor.clone();
        chunk.input_schema_input = approval.input_schema_input.clone();
        chunk.reason = approval.request_reason.clone();
        chunk.is_automatic = approval.is_automatic;
        chunk.signature = approval.signature.clone();
        chunks.push(chunk.into());
    }
    if let Some(approved) = approval.approved
        && begun.is_none_or(|begun| begun.approved.is_none())
    {
        let mut chunk = ToolApprovalResponse::new(approval.id.clone(), approved);
        chunk.reason = approval.reason.clone();
        chunks.push(chunk.into());
    }
    chunks
}

/// Returns the result of a call.
pub(super) fn result_of(call: &ToolPart) -> Option<Chunk<'static>> {
    Some(match &call.state {
        ToolState::OutputAvailable => output_of(call),
        ToolState::OutputError if is_input_error(call) => input_error_of(call),
        ToolState::OutputError => error_of(call),
        ToolState::OutputDenied => denied_of(call),
        ToolState::InputStreaming
        | ToolState::InputAvailable
        | ToolState::ApprovalRequested
        | ToolState::ApprovalResponded
        | ToolState::Unknown(_) => return None,
    })
}

/// Returns the output of a call.
pub(super) fn output_of(call: &ToolPart) -> Chunk<'static> {
    let mut chunk = ToolOutputAvailable::new(call.tool_call_id.clone());
    chunk.output = call.output.clone();
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.preliminary = call.preliminary;
    chunk.provider_metadata = call.result_provider_metadata.clone();
    chunk.into()
}

/// Returns the error of a call.
pub(super) fn error_of(call: &ToolPart) -> Chunk<'static> {
    let text = call.error_text.clone().unwrap_or_default();
    let mut chunk = ToolOutputError::new(call.tool_call_id.clone(), text);
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.provider_metadata = call.result_provider_metadata.clone();
    chunk.into()
}

/// Returns the denial of a call.
pub(super) fn denied_of(call: &ToolPart) -> Chunk<'static> {
    ToolOutputDenied::new(call.tool_call_id.clone()).into()
}

fn input_error_of(call: &ToolPart) -> Chunk<'static> {
    let error_text = call.error_text.clone().unwrap_or_default();
    let mut chunk = ToolInputError::new(
        call.tool_call_id.clone(),
        call.tool_name.clone(),
        error_text,
    );
    let text = call.raw_input.as_ref();
    let text = text.and_then(|text| RawJson::from_value(&*text.to_string_lossy()).ok());
    chunk.input = text.or_else(|| call.other.get("rawInput").cloned());
    chunk.dynamic = call.dynamic.then_some(true);
    chunk.provider_executed = call.provider_executed;
    chunk.title = call.title.clone();
    chunk.tool_metadata = call.tool_metadata.clone();
    let result = call.result_provider_metadata.clone();
    chunk.provider_metadata = result.or_else(|| call.call_provider_metadata.clone());
    chunk.into()
}
