//! Shows the content of an event stream from standard input.
//!
//! ```text
//! curl … | cargo run --example inspect -- events
//! curl … | cargo run --example inspect -- chunks
//! curl … | cargo run --example inspect -- message [--initial FILE] [--lenient]
//! ```
//!
//! `events` prints each event as a line of JSON: `{"event": name or null, "data": text, "id": text or null}`.
//! `chunks` prints a line for each event: `{"chunk": …}`, or `{"error": text}` if it is not a chunk; nothing for `[DONE]`.
//! `message` prints one line at the end: `{"message": the message or null, "errors": [texts of error chunks], "fatal": null or {"message": text},
//! "end": "finished", "aborted", "failed" or "cut"}`. It stops assembling at the first error, which is `fatal`; `--lenient` goes on, and a
//! delta for a part that was never started opens that part. `--initial` names a file with an assistant message to continue.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use serde::Serialize;
use serde_json::json;
use twentyfirst_protocol::ui::{Assembler, Change, End, Text, UiMessage};
use twentyfirst_stream::{BodyStreamExt, StreamError, from_reader};

const USAGE: &str = "usage: inspect events | chunks | message [--initial FILE] [--lenient]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = BufWriter::new(io::stdout().lock());
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["events"] => block_on(events(out)),
        ["chunks"] => block_on(chunks(out)),
        ["message", ref options @ ..] => {
            assembler(options).and_then(|assembler| block_on(message(assembler, out)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inspect: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn events(mut out: impl Write) -> io::Result<()> {
    let mut events = from_reader(io::stdin()).sse_events();
    while let Some(event) = events.next().await {
        let line = match event {
            Ok(event) => {
                let id = event.id.filter(|id| !id.is_empty());
                json!({"event": event.event, "data": event.data, "id": id})
            }
            Err(error) => json!({"error": described(error)?}),
        };
        writeln!(out, "{line}")?;
    }
    out.flush()
}

async fn chunks(mut out: impl Write) -> io::Result<()> {
    let mut chunks = from_reader(io::stdin()).ui_chunks();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            // Not via `serde_json::Value`, which cannot hold a lone surrogate.
            Ok(chunk) => writeln!(out, "{{\"chunk\":{}}}", chunk.encode())?,
            Err(error) => writeln!(out, "{}", json!({"error": described(error)?}))?,
        }
    }
    out.flush()
}

/// Creates the assembler that the options ask for.
fn assembler(mut options: &[&str]) -> io::Result<Assembler> {
    let mut initial = None;
    let mut lenient = false;
    loop {
        options = match options {
            ["--initial", file, rest @ ..] => {
                initial = Some(serde_json::from_str(&fs::read_to_string(file)?)?);
                rest
            }
            ["--lenient", rest @ ..] => {
                lenient = true;
                rest
            }
            [] => break,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
        };
    }
    let assembler = initial.map_or_else(Assembler::new, Assembler::continuing);
    Ok(assembler.lenient(lenient))
}

async fn message(mut assembler: Assembler, mut out: impl Write) -> io::Result<()> {
    let mut chunks = from_reader(io::stdin()).ui_chunks();
    let mut errors = Vec::new();
    let mut fatal = None;
    while let Some(chunk) = chunks.next().await {
        if fatal.is_some() {
            // The message is final, but the rest of the stream decides how it ended.
            continue;
        }
        match chunk {
            Ok(chunk) => match assembler.apply(&chunk) {
                Ok(Change::Failed(text)) => errors.push(text.clone().into_owned()),
                Ok(_) => {}
                Err(error) if !assembler.is_lenient() => fatal = Some(error.to_string()),
                Err(_) => {}
            },
            Err(error) => {
                let ends = error.is_fatal() || !assembler.is_lenient();
                fatal = Some(described(error)?).filter(|_| ends);
            }
        }
    }
    let end = chunks.end().map(End::as_str);
    let line = Line {
        message: assembler.has_shown().then(|| assembler.message()),
        errors,
        fatal: fatal.map(|message| Fatal { message }),
        end,
    };
    serde_json::to_writer(&mut out, &line)?;
    writeln!(out)?;
    out.flush()
}

/// The output of `message`. Not a `serde_json::Value`, which cannot hold a lone surrogate.
#[derive(Serialize)]
struct Line<'a> {
    message: Option<&'a UiMessage>,
    errors: Vec<Text<'static>>,
    fatal: Option<Fatal>,
    end: Option<&'static str>,
}

#[derive(Serialize)]
struct Fatal {
    message: String,
}

/// Describes an error of the stream; returns an error of the input itself unchanged.
fn described(error: StreamError<io::Error>) -> io::Result<String> {
    match error {
        StreamError::Body(error) => Err(error),
        StreamError::Sse(error) => Ok(error.to_string()),
        StreamError::Chunk(error) => Ok(error.to_string()),
        other => Ok(other.to_string()),
    }
}

/// Runs a future that never waits.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
