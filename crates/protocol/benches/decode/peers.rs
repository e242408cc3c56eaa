//! The usual alternatives: an event stream parser and `serde_json`, combined in the usual ways.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use sse_stream::SseStream;

/// The usual type: an enum with a tag, with values as `serde_json::Value`.
#[derive(Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[expect(dead_code, reason = "not all that is read is looked at")]
enum Tagged {
    Start {
        message_id: Option<String>,
    },
    TextStart {
        id: String,
    },
    TextDelta {
        id: String,
        delta: String,
    },
    TextEnd {
        id: String,
    },
    ToolInputStart {
        tool_call_id: String,
        tool_name: String,
    },
    ToolInputDelta {
        tool_call_id: String,
        input_text_delta: String,
    },
    ToolInputAvailable {
        tool_call_id: String,
        tool_name: String,
        input: serde_json::Value,
    },
    ToolOutputAvailable {
        tool_call_id: String,
        output: serde_json::Value,
    },
    Finish {
        finish_reason: Option<String>,
    },
}

/// The careful type: one struct that borrows what it can, with raw values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "not all that is read is looked at")]
struct Borrowed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delta: Option<Text<'a>>,
    #[serde(borrow)]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input_text_delta: Option<Text<'a>>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// In an `Option`, serde borrows a `Cow` only inside a type of its own.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

type Read = (usize, usize);

pub(crate) fn sse_stream_and_tagged_enum(pieces: Vec<Bytes>) -> Read {
    let events = SseStream::from_bytes_stream(body(pieces));
    fold(events, |event, read| {
        tagged(
            &event
                .expect("the load is an event stream")
                .data
                .unwrap_or_default(),
            read,
        );
    })
}

pub(crate) fn eventsource_stream_and_tagged_enum(pieces: Vec<Bytes>) -> Read {
    fold(body(pieces).eventsource(), |event, read| {
        tagged(&event.expect("the load is an event stream").data, read);
    })
}

pub(crate) fn sse_stream_and_borrowed_struct(pieces: Vec<Bytes>) -> Read {
    let events = SseStream::from_bytes_stream(body(pieces));
    fold(events, |event, (events, text)| {
        let data = event
            .expect("the load is an event stream")
            .data
            .unwrap_or_default();
        if data == "[DONE]" {
            return;
        }
        let chunk: Borrowed<'_> = serde_json::from_str(&data).expect("the load has only chunks");
        *events += 1;
        *text += chunk.delta.map_or(0, |delta| delta.0.len())
            + chunk.input_text_delta.map_or(0, |delta| delta.0.len());
    })
}

/// Reads only the JSON, of events that were found before: the least work of `serde_json` to validate it.
pub(crate) fn ignored_any(data: &[&str]) -> Read {
    for data in data {
        let IgnoredAny = serde_json::from_str(data).expect("the load is JSON");
    }
    (data.len(), 0)
}

fn tagged(data: &str, (events, text): &mut Read) {
    if data == "[DONE]" {
        return;
    }
    *events += 1;
    *text += match serde_json::from_str(data).expect("the load has only chunks") {
        Tagged::TextDelta { delta, .. } => delta.len(),
        Tagged::ToolInputDelta {
            input_text_delta, ..
        } => input_text_delta.len(),
        _ => 0,
    };
}

fn body(pieces: Vec<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(pieces).map(Ok)
}

/// Reads everything from a stream that never has to wait.
fn fold<S: Stream>(events: S, mut each: impl FnMut(S::Item, &mut Read)) -> Read {
    let mut read = (0, 0);
    let mut events = pin!(events);
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(event)) = events.as_mut().poll_next(&mut context) {
        each(event, &mut read);
    }
    read
}
