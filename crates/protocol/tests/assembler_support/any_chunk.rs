//! Chunks that a server may send, in any order, valid or not.

use proptest::option::weighted;
use proptest::prelude::*;
use twentyfirst_protocol::ui::chunk::{
    Custom, Data, File, Finish, InputEncoding, MessageMetadata, ReasoningDelta, ReasoningEnd,
    ReasoningFile, ReasoningStart, SourceDocument, SourceUrl, Start, SteeringMessage, TextDelta,
    TextEnd, TextStart, ToolApprovalRequest, ToolApprovalResponse, ToolInputAvailable,
    ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable, ToolOutputDenied,
    ToolOutputError,
};
use twentyfirst_protocol::ui::{Chunk, RawJson, Text};

/// Generates strings that JavaScript can make: code units, with many halves of surrogate pairs.
pub(crate) fn units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        4 => prop::sample::select("{}[]\":,\\u0 1tn-.".encode_utf16().collect::<Vec<u16>>()),
        2 => Just(0xd83d_u16),
        2 => Just(0xde00_u16),
        1 => any::<u16>(),
    ];
    prop::collection::vec(unit, 0..8)
}

fn text() -> impl Strategy<Value = Text<'static>> {
    units().prop_map(|units| Text::from_code_units(&units))
}

fn id() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![
        4 => Just(Text::from("a")),
        2 => Just(Text::from("b")),
        1 => Just(Text::from_code_units(&[0xd83d])),
    ]
}

fn raw() -> impl Strategy<Value = RawJson<'static>> {
    prop::sample::select(vec![
        "null",
        "1",
        r#""\ud83d""#,
        "[1]",
        r#"{"a":{"b":1}}"#,
        r#"{"a":{"c":[2]},"d":null}"#,
    ])
    .prop_map(|json| RawJson::parse(json).unwrap())
}

/// Generates metadata of providers and tools.
fn metadata() -> impl Strategy<Value = Option<RawJson<'static>>> {
    let metadata = prop::sample::select(vec![r#"{"p":{"a":1}}"#, "{}", r#"{ "q" : {} }"#]);
    weighted(0.2, metadata.prop_map(|json| RawJson::parse(json).unwrap()))
}

fn citations() -> impl Strategy<Value = Option<RawJson<'static>>> {
    let source =
        r#"[{"source":{"type":"source","sourceType":"url","id":"s","url":"https://example.com"}}]"#;
    let citations = prop::sample::select(vec!["[]", source]);
    weighted(
        0.2,
        citations.prop_map(|json| RawJson::parse(json).unwrap()),
    )
}

fn flag() -> impl Strategy<Value = Option<bool>> {
    weighted(0.2, any::<bool>())
}

fn few_texts() -> impl Strategy<Value = Option<Text<'static>>> {
    weighted(
        0.2,
        prop::sample::select(vec!["t", "u", ""]).prop_map(Text::from),
    )
}

fn encoding() -> impl Strategy<Value = Option<InputEncoding>> {
    let encodings = vec![InputEncoding::Text, InputEncoding::Json];
    weighted(0.3, prop::sample::select(encodings))
}

/// Generates pieces that often form the text of an input.
fn piece() -> impl Strategy<Value = Text<'static>> {
    let pieces = vec![
        "", "{", "\"a\":", "tr", "ue", "1", ".", "\"x", "\"", ",", "}", " ", "]", "[",
    ];
    prop_oneof![3 => prop::sample::select(pieces).prop_map(Text::from), 1 => text()]
}

/// Sets optional members of a chunk.
macro_rules! with {
    ($chunk:expr, $($member:ident),+) => {{
        let mut chunk = $chunk;
        $( chunk.$member = $member; )+
        Chunk::from(chunk)
    }};
}

fn texts() -> impl Strategy<Value = Chunk<'static>> {
    prop_oneof![
        (id(), metadata())
            .prop_map(|(id, provider_metadata)| with!(TextStart::new(id), provider_metadata)),
        (id(), text(), metadata()).prop_map(|(id, delta, provider_metadata)| with!(
            TextDelta::new(id, delta),
            provider_metadata
        )),
        (id(), citations(), metadata()).prop_map(|(id, citations, provider_metadata)| with!(
            TextEnd::new(id),
            citations,
            provider_metadata
        )),
        (id(), metadata())
            .prop_map(|(id, provider_metadata)| with!(ReasoningStart::new(id), provider_metadata)),
        (id(), text(), metadata()).prop_map(|(id, delta, provider_metadata)| with!(
            ReasoningDelta::new(id, delta),
            provider_metadata
        )),
        (id(), metadata())
            .prop_map(|(id, provider_metadata)| with!(ReasoningEnd::new(id), provider_metadata)),
    ]
}

fn inputs() -> impl Strategy<Value = Chunk<'static>> {
    let name = || prop::sample::select(vec!["n", "n", "m"]);
    // The common members of chunks about an input.
    let about = || {
        (
            id(),
            name(),
            flag(),
            metadata(),
            metadata(),
            few_texts(),
            weighted(0.5, any::<bool>()),
        )
    };
    prop_oneof![
        3 => (about(), encoding()).prop_map(|((id, name, provider_executed, provider_metadata, tool_metadata, title, dynamic), input_encoding)| {
            with!(ToolInputStart::new(id, name), provider_executed, provider_metadata, tool_metadata, title, dynamic, input_encoding)
        }),
        4 => (id(), piece()).prop_map(|(id, delta)| ToolInputDelta::new(id, delta).into()),
        2 => (about(), weighted(0.8, raw())).prop_map(|((id, name, provider_executed, provider_metadata, tool_metadata, title, dynamic), input)| {
            with!(ToolInputAvailable::new(id, name), provider_executed, provider_metadata, tool_metadata, title, dynamic, input)
        }),
        1 => (about(), text(), weighted(0.8, raw())).prop_map(|((id, name, provider_executed, provider_metadata, tool_metadata, title, dynamic), error, input)| {
            with!(ToolInputError::new(id, name, error), provider_executed, provider_metadata, tool_metadata, title, dynamic, input)
        }),
    ]
}

fn outputs() -> impl Strategy<Value = Chunk<'static>> {
    let about = || (id(), flag(), metadata(), metadata());
    prop_oneof![
        (about(), weighted(0.8, raw()), flag()).prop_map(
            |((id, provider_executed, provider_metadata, tool_metadata), output, preliminary)| {
                with!(
                    ToolOutputAvailable::new(id),
                    provider_executed,
                    provider_metadata,
                    tool_metadata,
                    output,
                    preliminary
                )
            }
        ),
        (about(), text()).prop_map(
            |((id, provider_executed, provider_metadata, tool_metadata), error)| {
                with!(
                    ToolOutputError::new(id, error),
                    provider_executed,
                    provider_metadata,
                    tool_metadata
                )
            }
        ),
        id().prop_map(|id| ToolOutputDenied::new(id).into()),
        (
            id(),
            id(),
            weighted(0.2, raw()),
            weighted(0.2, raw()),
            few_texts(),
            flag(),
            few_texts()
        )
            .prop_map(
                |(
                    approval,
                    call,
                    approval_descriptor,
                    input_schema_input,
                    reason,
                    is_automatic,
                    signature,
                )| {
                    with!(
                        ToolApprovalRequest::new(approval, call),
                        approval_descriptor,
                        input_schema_input,
                        reason,
                        is_automatic,
                        signature
                    )
                }
            ),
        (id(), any::<bool>(), few_texts(), flag(), metadata()).prop_map(
            |(approval, approved, reason, provider_executed, provider_metadata)| {
                with!(
                    ToolApprovalResponse::new(approval, approved),
                    reason,
                    provider_executed,
                    provider_metadata
                )
            }
        ),
    ]
}

fn whole_parts() -> impl Strategy<Value = Chunk<'static>> {
    let steering =
        r#"[{"type":"text","text":"Stop","x":1},{"type":"file","mediaType":"a/b","url":"u"}]"#;
    prop_oneof![
        (id(), few_texts(), metadata()).prop_map(|(id, title, provider_metadata)| with!(
            SourceUrl::new(id, "u"),
            title,
            provider_metadata
        )),
        (id(), few_texts(), metadata()).prop_map(|(id, filename, provider_metadata)| {
            with!(
                SourceDocument::new(id, "a/b", "t"),
                filename,
                provider_metadata
            )
        }),
        (text(), metadata())
            .prop_map(|(url, provider_metadata)| with!(File::new(url, "a/b"), provider_metadata)),
        (text(), metadata()).prop_map(|(url, provider_metadata)| with!(
            ReasoningFile::new(url, "a/b"),
            provider_metadata
        )),
        (text(), metadata())
            .prop_map(|(kind, provider_metadata)| with!(Custom::new(kind), provider_metadata)),
        id().prop_map(move |id| SteeringMessage::new(id, RawJson::parse(steering).unwrap()).into()),
        (
            weighted(0.7, id()),
            weighted(0.9, raw()),
            flag(),
            prop::collection::vec((text(), raw()), 0..2)
        )
            .prop_map(|(id, data, transient, other)| with!(
                Data::new("x"),
                id,
                data,
                transient,
                other
            )),
    ]
}

fn others() -> impl Strategy<Value = Chunk<'static>> {
    let metadata = || weighted(0.8, raw());
    prop_oneof![
        6 => Just(Chunk::StartStep),
        1 => Just(Chunk::FinishStep),
        1 => Just(Chunk::ResetStep),
        1 => (weighted(0.8, id()), metadata()).prop_map(|(message_id, message_metadata)| with!(Start::new(), message_id, message_metadata)),
        2 => metadata().prop_map(|message_metadata| with!(MessageMetadata::new(), message_metadata)),
        1 => metadata().prop_map(|message_metadata| with!(Finish::new(), message_metadata)),
    ]
}

/// Generates any chunk that changes a message, about a few parts.
pub(crate) fn any_chunk() -> impl Strategy<Value = Chunk<'static>> {
    prop_oneof![4 => texts(), 8 => inputs(), 4 => outputs(), 2 => whole_parts(), 3 => others()]
}
