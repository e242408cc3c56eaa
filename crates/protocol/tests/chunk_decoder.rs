//! From the bytes of a body to chunks, and to the end of the stream.

use bytes::Bytes;
use proptest::prelude::*;
use twentyfirst_protocol::{
    sse::{self, Limits, SseError},
    ui::{
        Chunk, ChunkError, DecodeError, Decoder, End,
        chunk::{Abort, Error, Finish, ReasoningDelta, TextDelta, ToolInputDelta},
        encode_done, response_headers,
    },
};

/// Everything that a decoder returns for a stream in these pieces.
#[derive(Debug, PartialEq)]
struct Outcome {
    chunks: Vec<Result<Chunk<'static>, DecodeError>>,
    end: End,
    is_done: bool,
    saw_finish: bool,
    is_cut_inside_an_event: bool,
}

fn decode_with<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = Decoder::with_limits(limits);
    let mut chunks = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(chunk) = decoder.next_chunk() {
            chunks.push(chunk.map(Chunk::into_owned));
        }
    }
    Outcome {
        chunks,
        end: decoder.end(),
        is_done: decoder.is_done(),
        saw_finish: decoder.saw_finish(),
        is_cut_inside_an_event: decoder.finish().is_err(),
    }
}

fn decode(stream: impl AsRef<[u8]>) -> Outcome {
    decode_with(Limits::default(), [stream.as_ref()])
}

/// Decodes without the fast path for deltas: first events, then chunks.
fn decode_in_two_steps(stream: &[u8], limits: Limits) -> Vec<Result<Chunk<'static>, DecodeError>> {
    let mut decoder = sse::Decoder::with_limits(limits);
    decoder.push(Bytes::copy_from_slice(stream));
    let mut chunks = Vec::new();
    while let Some(event) = decoder.next_event() {
        match event {
            Ok(event) if event.data == "[DONE]" => {}
            Ok(event) => chunks.push(
                Chunk::decode(&event.data)
                    .map(Chunk::into_owned)
                    .map_err(Into::into),
            ),
            Err(error) => chunks.push(Err(error.into())),
        }
    }
    chunks
}

#[test]
fn deltas_with_any_content_are_read() {
    let stream = r#"
data: {"type":"text-delta","id":"t1","delta":"Grüezi \"wohl\"\n\u00e9\ud83d\ude00\/\\\b\f\r\t"}

data: {"type":"reasoning-delta","id":"r1","delta":""}

data: {"type":"tool-input-delta","toolCallId":"c1","inputTextDelta":"{\"command\":\"ls"}

data: {"type":"text-delta","id":"t\u0031","delta":"\ud83d"}

data: {"type":"text-delta","id":"t1","delta":"x","providerMetadata":{}}

"#;
    let half = r#"{"type":"text-delta","id":"t1","delta":"\ud83d"}"#;
    let metadata = twentyfirst_protocol::ui::RawJson::parse("{}").unwrap();
    assert_eq!(
        decode(stream).chunks,
        [
            Ok(TextDelta::new("t1", "Grüezi \"wohl\"\né😀/\\\u{8}\u{c}\r\t").into()),
            Ok(ReasoningDelta::new("r1", "").into()),
            Ok(ToolInputDelta::new("c1", "{\"command\":\"ls").into()),
            Ok(Chunk::decode(half).unwrap()),
            Ok(TextDelta::new("t1", "x").provider_metadata(metadata).into()),
        ]
    );
}

#[test]
fn deltas_may_have_other_fields_and_neighbours() {
    let delta = "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"x\"}\n";
    let chunk = || Ok(TextDelta::new("t", "x").into());

    let outcome = decode(format!("event: e\nid: 1\n{delta}\n"));
    assert_eq!(outcome.chunks, [chunk()]);
    assert!(!outcome.is_cut_inside_an_event);

    let outcome = decode(format!("{delta}\n\u{feff}{delta}\n{delta}\n"));
    assert_eq!(
        outcome.chunks,
        [chunk(), chunk()],
        "a byte order mark is part of the name of its field"
    );

    let outcome = decode(format!(
        ": comment\r{delta}\n\n\r\n{delta}\r\n{delta}id: 1\n\n"
    ));
    assert_eq!(outcome.chunks, [chunk(), chunk(), chunk()]);

    let outcome = decode(format!("{delta}data:  \n\n{delta}data: x\n\n"));
    assert_eq!(
        outcome.chunks[0],
        chunk(),
        "there may be whitespace after an object"
    );
    assert!(outcome.chunks[1].is_err(), "but nothing else");
}

#[test]
fn a_cut_before_a_delta_changes_nothing() {
    let delta = "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"x\"}\n\n";
    for before in [
        "",
        "event: e\n",
        "id: 1\n",
        "id: 1\r",
        ": comment ",
        "data: x\n",
        "data:\n",
        "data: {\"a\":",
        "x",
        "\r",
        "\u{feff}",
    ] {
        for after in ["", "\u{feff}", "\n"] {
            let stream = format!("{before}{delta}{after}");
            let whole = decode(&stream);
            for cut in 0..stream.len() {
                let (one, two) = stream.as_bytes().split_at(cut);
                let outcome = decode_with(Limits::default(), [one, two]);
                assert_eq!(outcome, whole, "{stream:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn an_invalid_chunk_is_an_error_between_others() {
    let stream = "data: {\"type\":\"start\"}\n\ndata: {\"type\":\"abort\",\"reason\":1}\n\ndata: oops\n\ndata: {\"type\":\"finish\"}\n\n";
    let outcome = decode(stream);
    let [
        Ok(Chunk::Start(_)),
        Err(unfit),
        Err(not_json),
        Ok(Chunk::Finish(_)),
    ] = &outcome.chunks[..]
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        *unfit,
        ChunkError::Unfit {
            chunk: "abort",
            member: "reason",
            expected: "a string"
        }
        .into()
    );
    assert_eq!(*not_json, ChunkError::NotJson { offset: 0 }.into());
    assert!(!unfit.is_fatal());
    assert_eq!(
        outcome.end,
        End::Cut,
        "what is not an abort chunk does not abort"
    );
}

#[test]
fn a_delta_has_the_same_limits_as_any_other_event() {
    let data = r#"{"type":"text-delta","id":"a","delta":"some text"}"#;
    let stream = format!("data: {data}\n\n");
    let line = "data: ".len() + data.len();
    for (line, event, fits) in [
        (line, data.len(), true),
        (line - 1, data.len(), false),
        (data.len(), data.len(), false),
        (line, data.len() - 1, false),
    ] {
        let mut limits = Limits::default();
        (limits.line, limits.event) = (line, event);
        let outcome = decode_with(limits, [stream.as_bytes()]);
        assert_eq!(outcome.chunks.len(), 1, "{line} {event}");
        assert_eq!(outcome.chunks[0].is_ok(), fits, "{line} {event}");
        assert_eq!(
            outcome.chunks,
            decode_in_two_steps(stream.as_bytes(), limits)
        );
    }
}

#[test]
fn a_stream_beyond_the_limits_ends_there() {
    let mut limits = Limits::default();
    limits.event = 60;
    let stream = [
        Chunk::from(TextDelta::new("t", "short")).encode_event(),
        Chunk::from(TextDelta::new("t", "x".repeat(60))).encode_event(),
        Chunk::StartStep.encode_event(),
    ];
    let outcome = decode_with(limits, [&*stream.concat()]);
    let fatal = DecodeError::Sse(SseError::EventTooLong { limit: 60 });
    assert!(fatal.is_fatal());
    assert_eq!(
        outcome.chunks,
        [Ok(TextDelta::new("t", "short").into()), Err(fatal)]
    );
    assert_eq!(
        (outcome.end, outcome.is_cut_inside_an_event),
        (End::Cut, false)
    );
}

#[test]
fn the_end_of_a_stream_is_known() {
    let (error, abort, finish) = (
        Chunk::from(Error::new("bad")).encode_event(),
        Chunk::from(Abort::new()).encode_event(),
        Chunk::from(Finish::new()).encode_event(),
    );
    let done = encode_done();
    for (events, end) in [
        (&[][..], End::Cut),
        (&[&finish], End::Cut),
        (&[&finish, &done], End::Finished),
        (&[&done], End::Finished),
        (&[&abort], End::Aborted),
        (&[&abort, &finish, &done], End::Aborted),
        (&[&error], End::Failed),
        (&[&error, &abort, &finish, &done], End::Failed),
        (&[&abort, &error], End::Failed),
        (&[&finish, &done, &error], End::Failed),
        (&[&done, &abort], End::Aborted),
    ] {
        let outcome = decode(
            events
                .iter()
                .flat_map(|event| event.to_vec())
                .collect::<Vec<u8>>(),
        );
        assert_eq!(outcome.end, end, "{events:?}");
        assert_eq!(outcome.is_done, events.contains(&&done));
        assert_eq!(outcome.saw_finish, events.contains(&&finish));
        assert_eq!(
            outcome.chunks.len(),
            events.iter().filter(|event| **event != &done).count()
        );
    }
}

#[test]
fn only_the_exact_word_ends_the_stream() {
    for data in [
        " [DONE]",
        "[DONE] ",
        "[done]",
        "\"[DONE]\"",
        "[DONE]\ndata:",
    ] {
        let outcome = decode(format!("data: {data}\n\n"));
        assert!(outcome.chunks[0].is_err(), "{data:?}");
        assert_eq!(outcome.end, End::Cut);
    }
    let outcome = decode("data:[DONE]\n\nevent: x\ndata: [DONE]\r\n\r\n");
    assert_eq!((outcome.chunks, outcome.end), (vec![], End::Finished));
}

#[test]
fn the_response_headers_describe_the_stream() {
    let headers = response_headers();
    let lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        lines,
        [
            "content-type: text/event-stream",
            "cache-control: no-cache",
            "x-vercel-ai-ui-message-stream: v1",
            "x-accel-buffering: no"
        ]
    );
}

/// Generates streams of deltas as servers write them, and streams that resemble them.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let string = prop::collection::vec(
        prop_oneof![
            8 => "[a-z ]{0,12}".prop_map(String::into_bytes),
            4 => prop::sample::select(vec![
                "ü", "😀", "\\n", "\\\"", "\\\\", "\\/", "\\t", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\uD83D\\u0041",
            ]).prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::sample::select(vec!["\"", "\\", "\\x", "\\u12", "\n", "\r", "\t", "\0", "\n\n", "}"]).prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..3),
        ],
        0..5,
    )
    .prop_map(|parts| parts.concat());
    let kind = prop::sample::select(vec![
        (r#"{"type":"text-delta","id":""#, r#"","delta":""#),
        (r#"{"type":"reasoning-delta","id":""#, r#"","delta":""#),
        (
            r#"{"type":"tool-input-delta","toolCallId":""#,
            r#"","inputTextDelta":""#,
        ),
        (r#"{"type":"text-delta", "id":""#, r#"","delta":""#),
        (r#"{"type":"text-delta","delta":""#, r#"","id":""#),
        (r#"{"type":"text-start","id":""#, r#"","x":""#),
    ]);
    let end = prop::sample::select(vec![
        "\"}\n\n",
        "\"}\n\n",
        "\"}\n\n",
        "\"}\r\n\r\n",
        "\"}\ndata:\n\n",
        "\"}\n",
        "\"} \n\n",
        "\",\"providerMetadata\":{}}\n\n",
    ]);
    let delta =
        (kind, string.clone(), string, end).prop_map(|((before, between), id, delta, end)| {
            [
                b"data: ",
                before.as_bytes(),
                &id,
                between.as_bytes(),
                &delta,
                end.as_bytes(),
            ]
            .concat()
        });
    let other = prop::sample::select(vec![
        "data: [DONE]\n\n",
        "event: x\n",
        "id: 1\n",
        "\n",
        ": comment\n\n",
        "\u{feff}",
        "data: {\"type\":\"error\",\"errorText\":\"e\"}\n\n",
        "data: {\"type\":\"abort\"}\n\n",
        "data:{\"type\":\"finish\"}\n\n",
        "data: {\n",
        "data: }\n\n",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    prop::collection::vec(prop_oneof![3 => delta, 1 => other], 0..8)
        .prop_map(|events| events.concat())
}

proptest! {
    #[test]
    fn the_fast_path_makes_no_difference(stream in streams(), (line, event, total) in (0usize..200, 0usize..200, 0u64..600)) {
        let mut tight = Limits::default();
        (tight.line, tight.event, tight.total) = (line, event, total);
        for limits in [Limits::default(), tight] {
            prop_assert_eq!(decode_with(limits, [&*stream]).chunks, decode_in_two_steps(&stream, limits));
        }
    }

    #[test]
    fn cuts_make_no_difference(
        stream in streams(),
        lengths in prop::collection::vec(0usize..90, 0..30),
        (line, event, total) in (0usize..200, 0usize..200, 0u64..600),
    ) {
        let mut tight = Limits::default();
        (tight.line, tight.event, tight.total) = (line, event, total);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for length in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        for limits in [Limits::default(), tight] {
            let whole = decode_with(limits, [&*stream]);
            prop_assert_eq!(&decode_with(limits, pieces.iter().copied()), &whole);
            prop_assert_eq!(&decode_with(limits, stream.chunks(1)), &whole);
        }
    }

    #[test]
    fn encoded_chunks_are_decoded(texts in prop::collection::vec((any::<String>(), any::<String>()), 0..6)) {
        let sent: Vec<Chunk<'_>> = texts.iter().flat_map(|(id, delta)| [
            TextDelta::new(id, delta).into(), ReasoningDelta::new(id, delta).into(), ToolInputDelta::new(id, delta).into(), Error::new(delta).into(),
        ]).collect();
        let stream: Vec<u8> = sent.iter().flat_map(Chunk::encode_event).chain(encode_done()).collect();
        let outcome = decode(&stream);
        prop_assert_eq!(outcome.chunks, sent.into_iter().map(Ok).collect::<Vec<_>>());
        prop_assert!(outcome.is_done);
    }
}
