//! Chunks that a server may send, valid or not, in any order.

use libfuzzer_sys::arbitrary;
use twentyfirst_protocol::ui::chunk::{
    Data, Finish, InputEncoding, MessageMetadata, ReasoningDelta, ReasoningEnd, ReasoningStart,
    Start, TextDelta, TextEnd, TextStart, ToolApprovalRequest, ToolApprovalResponse,
    ToolInputAvailable, ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable,
    ToolOutputDenied, ToolOutputError,
};
use twentyfirst_protocol::ui::{Chunk, RawJson, Text};

#[derive(Debug, arbitrary::Arbitrary)]
pub(crate) enum Any<'a> {
    Text(&'a str),
    Units(Vec<u16>),
}

impl Any<'_> {
    fn text(&self) -> Text<'_> {
        match self {
            Self::Text(text) => Text::from(*text),
            Self::Units(units) => Text::from_code_units(units),
        }
    }

    fn raw(&self) -> RawJson<'static> {
        let text = self.text().to_string_lossy().into_owned();
        RawJson::parse(text.clone())
            .unwrap_or_else(|_| RawJson::from_value(&text).expect("a string is JSON"))
    }
}

/// Builds a chunk for one of three parts.
pub(crate) fn chunk<'a>(kind: u8, id: u8, any: &'a Any<'_>, flag: bool) -> Chunk<'a> {
    let ids = [
        Text::from("a"),
        Text::from("b"),
        Text::from_code_units(&[0xd83d]),
    ];
    let [id, other] = [id, id / 3].map(|id| ids[usize::from(id) % ids.len()].clone());
    let (text, raw) = (any.text(), any.raw());
    match kind % 22 {
        0 => TextStart::new(id).into(),
        1 => TextDelta::new(id, text).into(),
        2 => TextEnd::new(id).into(),
        3 => ReasoningStart::new(id).into(),
        4 => ReasoningDelta::new(id, text).into(),
        5 => ReasoningEnd::new(id).into(),
        6 => ToolInputStart::new(id, "n").dynamic(flag).into(),
        7 => ToolInputStart::new(id, text)
            .input_encoding(InputEncoding::Text)
            .title("t")
            .into(),
        8 | 9 => ToolInputDelta::new(id, text).into(),
        10 => ToolInputAvailable::new(id, "n")
            .input(raw)
            .dynamic(flag)
            .into(),
        11 => ToolInputError::new(id, "n", text).into(),
        12 => ToolOutputAvailable::new(id)
            .output(raw)
            .preliminary(flag)
            .into(),
        13 => ToolOutputError::new(id, text).into(),
        14 => ToolOutputDenied::new(id).into(),
        15 => ToolApprovalRequest::new(id, other).into(),
        16 => ToolApprovalResponse::new(id, flag).reason(text).into(),
        17 => Data::new("x").id(id).data(raw).transient(flag).into(),
        18 => MessageMetadata::new().message_metadata(raw).into(),
        19 => Start::new().message_id(id).into(),
        20 if flag => Finish::new().message_metadata(raw).into(),
        20 => Chunk::ResetStep,
        _ => Chunk::StartStep,
    }
}
