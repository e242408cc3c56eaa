//! For every sequence of chunks: a change names all that differs, an error changes nothing, the limit holds, and the message reads back.
#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use twentyfirst_protocol::ui::chunk::{
    Data, Finish, InputEncoding, MessageMetadata, ReasoningDelta, ReasoningEnd, ReasoningStart,
    Start, TextDelta, TextEnd, TextStart, ToolApprovalRequest, ToolApprovalResponse,
    ToolInputAvailable, ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable,
    ToolOutputDenied, ToolOutputError,
};
use twentyfirst_protocol::ui::{Assembler, Change, Chunk, Part, RawJson, Text, UiMessage};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    lenient: bool,
    limit: u16,
    initial: Option<&'a str>,
    chunks: Vec<(u8, u8, Any<'a>, bool)>,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Any<'a> {
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

fn chunk<'a>(kind: u8, id: u8, any: &'a Any<'_>, flag: bool) -> Chunk<'a> {
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

fn text_of(part: &Part) -> &Text<'static> {
    match part {
        Part::Text(part) => &part.text,
        Part::Reasoning(part) => &part.text,
        other => panic!("{other:?} has no text to append to"),
    }
}

fn check(change: &Change<'_>, before: &UiMessage, after: &UiMessage) {
    let mut expected = before.clone();
    match change {
        Change::Message => return,
        Change::Added { first } => {
            assert_eq!(*first, before.parts.len());
            expected.parts.extend_from_slice(&after.parts[*first..]);
        }
        Change::Appended { part, text } => {
            let old = text_of(&before.parts[*part]).to_string_lossy();
            assert_eq!(*text_of(&after.parts[*part]), &*format!("{old}{text}"));
            expected.parts[*part] = after.parts[*part].clone();
        }
        Change::Changed { part } => expected.parts[*part] = after.parts[*part].clone(),
        Change::Removed { left } => expected.parts.truncate(*left),
        _ => {}
    }
    assert_eq!(&expected, after);
}

fuzz_target!(|input: Input<'_>| {
    let initial = input
        .initial
        .and_then(|json| serde_json::from_str::<UiMessage>(json).ok());
    let mut assembler = initial.map_or_else(Assembler::new, Assembler::continuing);
    let limit = assembler.size() + usize::from(input.limit);
    assembler = assembler.lenient(input.lenient).with_limit(limit);
    for (kind, id, any, flag) in &input.chunks {
        let chunk = chunk(*kind, *id, any, *flag);
        let before = assembler.message().clone();
        match assembler.apply(&chunk) {
            Ok(change) => check(&change, &before, assembler.message()),
            Err(error) => {
                assert!(error.to_string().len() < 2_000);
                assert_eq!(assembler.message(), &before);
            }
        }
        assert!(assembler.size() <= limit);
    }
    let message = assembler.into_message();
    let json = serde_json::to_string(&message).expect("a message is JSON");
    let read: UiMessage = serde_json::from_str(&json).expect("a message reads back");
    assert_eq!(
        serde_json::to_string(&read).expect("a message is JSON"),
        json
    );
});
