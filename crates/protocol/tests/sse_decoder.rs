//! The event stream format of the WHATWG HTML standard, section 9.2.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use twentyfirst_protocol::sse::{
    Decoder, Event, Limits, SseError, UnfinishedEvent, encode_comment,
};

/// Everything that a decoder returns for a stream in these pieces.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event<'static>>,
    error: Option<SseError>,
    end: Result<(), UnfinishedEvent>,
    last_event_id: Option<String>,
    retry: Option<Duration>,
}

fn decode_with<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = Decoder::with_limits(limits);
    let mut events = Vec::new();
    let mut error = None;
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event() {
            match event {
                Ok(event) => events.push(event.into_owned()),
                Err(fatal) => assert_eq!(error.replace(fatal), None, "a second error"),
            }
        }
    }
    Outcome {
        events,
        error,
        end: decoder.finish(),
        last_event_id: decoder.last_event_id().map(str::to_owned),
        retry: decoder.retry(),
    }
}

fn decode(stream: impl AsRef<[u8]>) -> Outcome {
    decode_with(Limits::default(), [stream.as_ref()])
}

/// Returns the data of the events of a stream that decodes without an error.
fn data(stream: impl AsRef<[u8]>) -> Vec<String> {
    let outcome = decode(stream);
    assert_eq!(outcome.error, None);
    outcome
        .events
        .into_iter()
        .map(|event| event.data.into_owned())
        .collect()
}

#[test]
fn the_examples_of_the_standard() {
    assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);

    let outcome = decode(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
    );
    assert_eq!(
        outcome.events,
        [
            Event::new("first event").id("1"),
            Event::new("second event").id("")
        ]
    );
    assert!(
        outcome.end.is_err(),
        "the third event has no blank line after it"
    );

    assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(data("data:test\n\ndata: test\n\n"), ["test", "test"]);

    let outcome = decode("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n");
    assert_eq!(
        outcome.events,
        [
            Event::new("73857293").event("add"),
            Event::new("2153").event("remove")
        ]
    );
}

#[test]
fn lines_end_in_three_ways() {
    for end in ["\n", "\r", "\r\n"] {
        assert_eq!(
            data(["data: a", "data: b", "", "data: c", "", ""].join(end)),
            ["a\nb", "c"],
            "{end:?}"
        );
    }
    assert_eq!(data("data: a\r\n\rdata: b\n\r\n"), ["a", "b"]);
    assert_eq!(
        data("data: a\r\r\ndata: b\n\n"),
        ["a", "b"],
        "the line feed belongs to the return before it"
    );
    assert_eq!(
        data("data: a\u{85}b\u{2028}c\u{b}\n\n"),
        ["a\u{85}b\u{2028}c\u{b}"]
    );
}

#[test]
fn an_event_is_returned_with_its_last_byte() {
    for blank_line in ["\n", "\r"] {
        let mut decoder = Decoder::new();
        decoder.push(format!("data: a{blank_line}"));
        assert_eq!(decoder.next_event(), None);
        decoder.push(blank_line);
        assert_eq!(decoder.next_event(), Some(Ok(Event::new("a"))));
        assert_eq!(decoder.next_event(), None);
    }
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
    assert_eq!(
        data("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: \u{feff}c\n\n"),
        ["a", "\u{feff}c"]
    );
    assert_eq!(data("\u{feff}\u{feff}data: a\n\n"), [""; 0]);
    assert_eq!(data("\u{feff}\ndata: a\n\n"), ["a"]);
    assert_eq!(data("\u{feff}: comment\ndata: a\n\n"), ["a"]);
    assert_eq!(data(b"\xef\xbbdata: a\n\ndata: b\n\n"), ["b"]);
}

#[test]
fn one_space_after_the_colon_is_not_part_of_the_value() {
    assert_eq!(
        data("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\ndata:\n\ndata: \n\n"),
        ["a", "a", " a", "\ta", "", ""]
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let stream =
        "dat: a\nDATA: b\n data: c\ndata : d\ndataa\nid2: 3\nnothing\n:data: e\n\ndata: f\n\n";
    assert_eq!(decode(stream).events, [Event::new("f")]);
}

#[test]
fn the_last_name_of_an_event_counts() {
    let stream = "event: a\nevent: b\ndata: 1\n\ndata: 2\n\nevent: c\n\ndata: 3\n\nevent: d\nevent\ndata: 4\n\nevent: message\ndata: 5\n\n";
    assert_eq!(
        decode(stream).events,
        [
            Event::new("1").event("b"),
            Event::new("2"),
            Event::new("3"),
            Event::new("4"),
            Event::new("5").event("message"),
        ]
    );
}

#[test]
fn an_id_applies_until_the_next_one() {
    let outcome = decode(
        "data: 0\n\nid: 1\ndata: 1\n\ndata: 2\n\nid: 3\n\ndata: 3\n\nid: 4\0\ndata: 4\n\nid\ndata: 5\n\nid: 6\ndata: 6\n\nid: 7\ndata: 7\n",
    );
    let ids: Vec<_> = outcome
        .events
        .iter()
        .map(|event| event.id.as_deref())
        .collect();
    assert_eq!(
        ids,
        [
            None,
            Some("1"),
            Some("1"),
            Some("3"),
            Some("3"),
            Some(""),
            Some("6")
        ]
    );
    assert_eq!(
        outcome.last_event_id.as_deref(),
        Some("6"),
        "the last event was not finished"
    );
}

#[test]
fn the_time_to_wait_is_digits_only() {
    assert_eq!(decode("data: a\n\n").retry, None);
    assert_eq!(
        decode("retry: 1500\n").retry,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(decode("retry:0\n").retry, Some(Duration::ZERO));
    for ignored in ["", " ", "-1", "+1", "1.5", "1e3", "0x1", " 1", "1 ", "١"] {
        assert_eq!(
            decode(format!("retry: 7\nretry: {ignored}\n")).retry,
            Some(Duration::from_millis(7)),
            "{ignored:?}"
        );
    }
    assert_eq!(
        decode("retry: 99999999999999999999\n").retry,
        Some(Duration::from_millis(u64::MAX))
    );
}

#[test]
fn bytes_that_are_not_utf_8_are_replaced() {
    assert_eq!(data(b"data: a\xffb\n\ndata: c\n\n"), ["a\u{fffd}b", "c"]);
    assert_eq!(
        data(b"data: \xf0\x9f\ndata: \x98\x80\n\n"),
        ["\u{fffd}\n\u{fffd}\u{fffd}"]
    );
    assert_eq!(
        data(b"data: \xe2\x82\n\ndata: \xc0\x80\n\n"),
        ["\u{fffd}", "\u{fffd}\u{fffd}"]
    );
    assert_eq!(
        decode(b"event: \xff\nid: \xfe\ndata: a\n\n").events,
        [Event::new("a").event("\u{fffd}").id("\u{fffd}")]
    );
    assert_eq!(data(b"d\xffata: a\ndata: b\n\n"), ["b"]);
}

#[test]
fn a_stream_may_only_end_between_events() {
    for whole in [
        "",
        "\n",
        ":",
        ": comment",
        "data: a\n\n",
        "data: a\n\n\n",
        "data: a\r\r",
        "retry: 1\n",
        "x: y\n",
        "event: e\n\n",
        "data: a\n\n: com",
    ] {
        assert_eq!(decode(whole).end, Ok(()), "{whole:?}");
    }
    for cut in [
        "d",
        "data: a",
        "data: a\n",
        "data: a\r",
        "data: a\r\n",
        "data\n",
        "event: e\n",
        "id: 1\n",
        "id\n",
        "data: a\n\ndata: b\n",
        "data: a\n: comment\n",
    ] {
        assert!(decode(cut).end.is_err(), "{cut:?}");
    }
    assert_eq!(decode("data: four\n").end.unwrap_err().bytes, 4);
}

#[test]
fn an_unfinished_event_reports_its_bytes() {
    for (stream, bytes) in [
        ("d", 1),
        ("data: a", 7),
        ("data\n", 0),
        ("data: one\ndata: two\n", 7),
        ("event: name\n", 4),
        ("id: 12345\n", 5),
        ("data: one\nevent: name\nid: 12345\nda", 14),
        ("data: one\n: a comment that is cut", 3),
    ] {
        let unfinished = decode(stream).end.unwrap_err();
        assert_eq!(unfinished.bytes, bytes, "{stream:?}");
    }
    // Bytes that were pushed and never read count too.
    let mut decoder = Decoder::new();
    decoder.push("data: a\n\ndata: b\n\n");
    decoder.push("data: c\n\n");
    decoder.push("data: d\n\n");
    assert!(decoder.next_event().is_some());
    assert_eq!(decoder.finish().unwrap_err().bytes, 3 * 9);
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_decoder_can_read_the_next_stream() {
    let mut decoder = Decoder::new();
    decoder.push("id: 1\nretry: 5\ndata: a\n\nid: 2\nevent: lost\ndata: lo");
    assert_eq!(decoder.next_event(), Some(Ok(Event::new("a").id("1"))));
    assert_eq!(decoder.next_event(), None);
    assert!(decoder.finish().is_err());
    assert_eq!(
        (decoder.last_event_id(), decoder.retry()),
        (Some("1"), Some(Duration::from_millis(5)))
    );

    decoder.push("\u{feff}data: b\n\n");
    assert_eq!(decoder.next_event(), Some(Ok(Event::new("b").id("1"))));
    assert_eq!(decoder.finish(), Ok(()));
}

fn limits(line: usize, event: usize, total: u64) -> Limits {
    let mut limits = Limits::default();
    (limits.line, limits.event, limits.total) = (line, event, total);
    limits
}

#[test]
fn each_limit_has_an_error_that_ends_the_stream() {
    let cases = [
        (
            limits(9, 99, 999),
            "data: 123\n\n",
            "data: 1234\n\n",
            SseError::LineTooLong { limit: 9 },
        ),
        (
            limits(9, 99, 999),
            ":12345678\n",
            ":123456789\n",
            SseError::LineTooLong { limit: 9 },
        ),
        (
            limits(99, 3, 999),
            "data: 123\n\n",
            "data: 1234\n\n",
            SseError::EventTooLong { limit: 3 },
        ),
        (
            limits(99, 3, 999),
            "data: 1\ndata: 2\n\n",
            "data: 1\ndata: 23\n\n",
            SseError::EventTooLong { limit: 3 },
        ),
        (
            limits(99, 99, 9),
            "data: 1\n\n",
            "data: 12\n\n",
            SseError::StreamTooLong { limit: 9 },
        ),
    ];
    for (limits, within, beyond, error) in cases {
        let outcome = decode_with(limits, [within.as_bytes()]);
        assert_eq!((outcome.error, outcome.end), (None, Ok(())), "{within:?}");

        let mut decoder = Decoder::with_limits(limits);
        decoder.push(beyond);
        assert_eq!(decoder.next_event(), Some(Err(error)));
        decoder.push("\n\ndata: x\n\n");
        assert_eq!(decoder.next_event(), None, "fatal means fatal");
        assert_eq!(decoder.finish(), Ok(()));
        decoder.push("data: x\n\n");
        assert_eq!(
            decoder.next_event(),
            Some(Ok(Event::new("x"))),
            "the next stream begins anew"
        );
    }
}

#[test]
fn an_event_of_16_mib_is_accepted_by_default() {
    let whole = "x".repeat(16 << 20);
    let stream = format!("data: {whole}\n\ndata: {whole}x\n\n");
    let outcome = decode_with(Limits::default(), stream.as_bytes().chunks(1 << 16));
    assert_eq!(outcome.events.len(), 1);
    assert_eq!(outcome.events[0].data, whole);
    assert_eq!(
        outcome.error,
        Some(SseError::EventTooLong { limit: 16 << 20 })
    );
}

#[test]
fn events_before_an_error_are_not_lost() {
    let stream = "data: 1\n\ndata: 2\n\ndata: 12345678\n\n";
    for split in 0..stream.len() {
        let (one, two) = stream.as_bytes().split_at(split);
        for limits in [limits(9, 99, 999), limits(99, 7, 999), limits(99, 99, 20)] {
            assert_eq!(
                decode_with(limits, [one, two]).events,
                [Event::new("1"), Event::new("2")]
            );
        }
    }
}

/// Generates streams with many bytes that matter to the format.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        6 => prop::sample::select(vec![
            "data", "data:", "data: ", "event: ", "id: ", "id", "retry: 1", ":", " ", "x", "\u{feff}", "ü", "😀", "\0", "[DONE]",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        6 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// Generates the cuts of a stream; each number is the length of a piece.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..7, 1..60)
}

fn cut<'s>(mut stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut pieces = Vec::new();
    for &length in cuts {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

/// Decodes the whole stream at once, by the text of the standard.
fn by_the_book(stream: &[u8]) -> Vec<Event<'static>> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data, mut event, mut id, mut last) =
        (Vec::new(), String::new(), String::new(), None, None);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                if id.is_some() {
                    last = id.clone();
                }
                if let Some(whole) = data.strip_suffix('\n') {
                    let mut found = Event::new(whole.to_owned());
                    found.event = (!event.is_empty()).then(|| event.clone().into());
                    found.id = last.clone();
                    events.push(found);
                }
                data.clear();
                event.clear();
            }
            "data" => data.extend([value, "\n"]),
            "event" => event = value.to_owned(),
            "id" if !value.contains('\0') => id = Some(value.to_owned().into()),
            _ => {}
        }
    }
    events
}

proptest! {
    #[test]
    fn a_stream_is_decoded_by_the_book(stream in streams()) {
        prop_assert_eq!(decode(&stream).events, by_the_book(&stream));
    }

    #[test]
    fn cuts_make_no_difference(
        stream in streams(),
        cuts in cuts(),
        (line, event, total) in (0usize..30, 0usize..30, 0u64..200),
    ) {
        for limits in [Limits::default(), limits(line, event, total)] {
            let whole = decode_with(limits, [&*stream]);
            prop_assert_eq!(&decode_with(limits, cut(&stream, &cuts)), &whole);
            prop_assert_eq!(&decode_with(limits, stream.chunks(1)), &whole);
        }
    }

    #[test]
    fn pieces_may_be_pushed_before_events_are_taken(stream in streams(), cuts in cuts()) {
        let mut decoder = Decoder::new();
        for piece in cut(&stream, &cuts) {
            decoder.push(Bytes::copy_from_slice(piece));
        }
        let mut events = Vec::new();
        while let Some(event) = decoder.next_event() {
            events.push(event.unwrap().into_owned());
        }
        prop_assert_eq!(events, decode(&stream).events);
    }

    #[test]
    fn an_encoded_event_is_decoded_unchanged(
        data in "([a-z\\{\"ü😀: ]|\n|\0|\u{feff}){0,20}",
        event in prop::option::of("[a-zü: ]{1,5}"),
        id in prop::option::of("[a-zü: ]{0,5}"),
        comment in ".{0,5}",
    ) {
        let mut original = Event::new(data);
        original.event = event.map(Into::into);
        original.id = id.map(Into::into);
        let stream = [encode_comment(&comment), original.encode().unwrap()].concat();
        let outcome = decode(stream);
        prop_assert_eq!(outcome.events, [original]);
        prop_assert_eq!(outcome.end, Ok(()));
    }

    #[test]
    fn decoded_events_are_encoded_and_decoded_unchanged(stream in streams()) {
        let events = decode(stream).events;
        let again: Vec<u8> = events.iter().flat_map(|event| event.encode().unwrap()).collect();
        prop_assert_eq!(decode(again).events, events);
    }
}
