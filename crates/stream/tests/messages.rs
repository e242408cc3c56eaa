//! Bodies read as a message that grows.

mod common;

use std::error::Error as _;

use common::{Event::*, Failure, block_on, data, poll_once, script};
use futures_core::FusedStream;
use proptest::prelude::*;
use twentyfirst_protocol::sse::{Limits, SseError};
use twentyfirst_protocol::ui::{AssembleError, Assembler, ChunkError, End, Part, UiMessage};
use twentyfirst_stream::{BodyStreamExt, StreamError, UiMessages};

const START: &str = "data: {\"type\":\"start\",\"messageId\":\"m\"}\n\ndata: {\"type\":\"text-start\",\"id\":\"t\"}\n\n";
const FINISH: &str = "data: {\"type\":\"finish\"}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn delta(id: &str, text: &str) -> String {
    format!("data: {{\"type\":\"text-delta\",\"id\":\"{id}\",\"delta\":\"{text}\"}}\n\n")
}

fn text(message: Option<Result<UiMessage, StreamError<Failure>>>) -> String {
    message.unwrap().unwrap().text()
}

#[test]
fn the_message_is_yielded_whenever_no_more_data_is_ready() {
    let mut messages = script([
        Wait,
        data(START),
        data(delta("t", "Hel")),
        Wait,
        data("data: {\"type\":\"text-delta\",\"id\""),
        Wait,
        data(":\"t\",\"delta\":\"lo\"}\n\n"),
        data(FINISH),
        data(DONE),
        Trailers,
    ])
    .ui_messages();
    assert_eq!(poll_once(messages.next()), None);
    assert_eq!(text(block_on(messages.next())), "");
    assert_eq!(text(poll_once(messages.next()).unwrap()), "Hel");
    assert_eq!(poll_once(messages.next()), None);
    assert!(!messages.is_terminated());
    assert_eq!(text(block_on(messages.next())), "Hello");
    assert_eq!(block_on(messages.next()), None);
    assert_eq!(block_on(messages.next()), None);
    assert!(messages.is_terminated());
    assert_eq!(
        (messages.end(), messages.saw_finish()),
        (Some(End::Finished), true)
    );
    assert_eq!(messages.message().id.as_ref().unwrap(), "m");
    assert_eq!(messages.into_message().text(), "Hello");
}

#[test]
fn a_body_that_is_ready_at_once_costs_few_copies() {
    let mut pieces = vec![data(START)];
    pieces.extend((0..10_000).map(|_| data(delta("t", "0123456789"))));
    let mut messages = script(pieces).ui_messages();
    let mut copied = 0;
    let mut last = 0;
    while let Some(message) = block_on(messages.next()) {
        last = message.unwrap().text().len();
        copied += last;
    }
    assert_eq!(last, 100_000);
    assert!(copied < 12 * last, "{copied}");
    assert_eq!(messages.end(), Some(End::Cut));
}

#[test]
fn the_first_error_ends_the_stream_after_the_message_before_it() {
    let body = script([
        data(format!(
            "{START}{}{}{}",
            delta("t", "a"),
            delta("x", "b"),
            delta("t", "c")
        )),
        data(DONE),
    ]);
    let alive = body.alive.clone();
    let mut messages = body.ui_messages();
    assert_eq!(text(block_on(messages.next())), "a");
    let error = block_on(messages.next()).unwrap().unwrap_err();
    assert!(matches!(
        error,
        StreamError::Message(AssembleError::NotStarted { .. })
    ));
    assert!(!error.is_fatal());
    assert_eq!(
        error.to_string(),
        "a chunk of the response does not fit the message"
    );
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .starts_with("Received text-delta for missing text part")
    );
    assert!(!alive.get(), "nothing more is read");
    assert_eq!(block_on(messages.next()), None);
    assert!(messages.is_terminated());
    assert_eq!(messages.message().text(), "a");
    assert_eq!(messages.end(), Some(End::Cut));

    let mut messages = script([data("data: {}\n\n"), data(START)]).ui_messages();
    assert_eq!(
        block_on(messages.next()),
        Some(Err(StreamError::Chunk(ChunkError::NoType)))
    );
    assert_eq!(block_on(messages.next()), None);
}

#[test]
fn a_lenient_stream_goes_on_after_errors() {
    let stream = format!(
        "{}data: {{}}\n\ndata: {{\"type\":\"text-end\",\"id\":\"y\"}}\n\n{}",
        delta("x", "a"),
        delta("x", "b")
    );
    let mut messages = script([data(stream), data(DONE)])
        .ui_messages()
        .with_assembler(Assembler::new().lenient(true));
    assert_eq!(text(block_on(messages.next())), "a");
    assert_eq!(
        block_on(messages.next()),
        Some(Err(StreamError::Chunk(ChunkError::NoType)))
    );
    assert!(matches!(
        block_on(messages.next()),
        Some(Err(StreamError::Message(_)))
    ));
    assert_eq!(text(block_on(messages.next())), "ab");
    assert_eq!(block_on(messages.next()), None);
    assert_eq!(messages.end(), Some(End::Finished));

    let mut limits = Limits::default();
    limits.event = 100;
    let body = script([
        data(delta("x", "a")),
        data(delta("x", &"b".repeat(100))),
        data(delta("x", "c")),
    ]);
    let mut messages =
        UiMessages::with_limits(body, limits).with_assembler(Assembler::new().lenient(true));
    assert_eq!(text(block_on(messages.next())), "a");
    assert_eq!(
        block_on(messages.next()),
        Some(Err(StreamError::Sse(SseError::EventTooLong { limit: 100 })))
    );
    assert_eq!(block_on(messages.next()), None);
    assert_eq!(messages.into_message().text(), "a");
}

#[test]
fn a_body_that_fails_does_not_take_the_message_with_it() {
    let mut messages = script([
        data(START),
        data(delta("t", "a")),
        data("data: {"),
        Fail("reset"),
    ])
    .ui_messages();
    assert_eq!(text(block_on(messages.next())), "");
    assert_eq!(text(block_on(messages.next())), "a");
    assert_eq!(
        block_on(messages.next()),
        Some(Err(StreamError::Body(Failure("reset"))))
    );
    assert_eq!(block_on(messages.next()), None);
    assert_eq!(messages.end(), Some(End::Cut));
    assert_eq!(messages.unfinished().unwrap().bytes, 7);
}

#[test]
fn a_stored_message_is_continued_and_a_failure_is_reported() {
    let stored: UiMessage =
        serde_json::from_str(r#"{"id":"m","role":"assistant","parts":[{"type":"step-start"}]}"#)
            .unwrap();
    let error = "data: {\"type\":\"error\",\"errorText\":\"out of credit\"}\n\n";
    let mut messages = script([data(START), data(error), data(DONE)])
        .ui_messages()
        .with_assembler(Assembler::continuing(stored));
    let message = block_on(messages.next()).unwrap().unwrap();
    assert!(matches!(
        message.parts[..],
        [Part::StepStart(_), Part::Text(_)]
    ));
    assert_eq!(block_on(messages.next()), None);
    assert_eq!(messages.error_text().unwrap(), "out of credit");
    assert_eq!(messages.end(), Some(End::Failed));
}

#[test]
fn a_stream_of_messages_can_be_printed() {
    let printed = format!("{:?}", script([]).ui_messages());
    assert!(printed.starts_with("UiMessages { source: "), "{printed}");
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_message_and_end(
        cuts in prop::collection::vec(0_usize..400, 0..12),
        waits: bool,
        end in prop::sample::select(vec!["", DONE, FINISH, "data: {\"type\":\"abort\"}\n\n", "data: {\"ty"]),
    ) {
        let stream = format!(
            "{START}{}data: {{\"type\":\"tool-input-start\",\"toolCallId\":\"c\",\"toolName\":\"n\"}}\r\n\r\ndata: {{\"type\":\"tool-input-delta\",\"toolCallId\":\"c\",\"inputTextDelta\":\"[\\\"é\\ud83d\"}}\n\n{end}",
            delta("t", "ж😀\\ud83d")
        );
        let whole = read([data(&stream)]);
        let mut at: Vec<usize> = cuts.into_iter().filter(|cut| *cut < stream.len()).chain([0, stream.len()]).collect();
        at.sort_unstable();
        let pieces = at.windows(2).map(|cut| data(&stream.as_bytes()[cut[0]..cut[1]]));
        let pieces = pieces.flat_map(|piece| if waits { vec![piece, Wait] } else { vec![piece] });
        prop_assert_eq!(read(pieces), whole);
    }
}

fn read(pieces: impl IntoIterator<Item = common::Event>) -> (UiMessage, Option<End>, bool) {
    let mut messages = script(pieces).ui_messages();
    let mut last = None;
    while let Some(message) = block_on(messages.next()) {
        last = Some(message.unwrap());
    }
    assert_eq!(last.as_ref(), Some(messages.message()));
    (last.unwrap(), messages.end(), messages.saw_finish())
}
