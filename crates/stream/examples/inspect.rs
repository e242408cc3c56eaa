//! Shows what is in an event stream, which is read from standard input.
//!
//! ```text
//! curl … | cargo run --example inspect -- events
//! curl … | cargo run --example inspect -- chunks
//! ```
//!
//! `events` prints each event as a line of JSON: `{"event": name or null, "data": text, "id": text or null}`.
//! `chunks` prints a line for each event: `{"chunk": …}`, or `{"error": text}` if it is not a chunk; nothing for `[DONE]`.

use std::io::{self, BufWriter, Read, Write};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::json;
use twentyfirst_stream::{BodyStreamExt, StreamError};

const USAGE: &str = "usage: inspect events | chunks";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = BufWriter::new(io::stdout().lock());
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["events"] => block_on(events(out)),
        ["chunks"] => block_on(chunks(out)),
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
    let mut events = Input.sse_events();
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
    let mut chunks = Input.ui_chunks();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            // Not through a JSON value, which could not hold a lone surrogate.
            Ok(chunk) => writeln!(out, "{{\"chunk\":{}}}", chunk.encode())?,
            Err(error) => writeln!(out, "{}", json!({"error": described(error)?}))?,
        }
    }
    out.flush()
}

/// What is wrong with the stream, in words; an error of the input itself stays one.
fn described(error: StreamError<io::Error>) -> io::Result<String> {
    match error {
        StreamError::Body(error) => Err(error),
        StreamError::Sse(error) => Ok(error.to_string()),
        StreamError::Chunk(error) => Ok(error.to_string()),
        other => Ok(other.to_string()),
    }
}

/// Standard input as a body. It blocks, so that no runtime is needed.
struct Input;

impl Body for Input {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut piece = vec![0; 16 << 10];
        Poll::Ready(match io::stdin().lock().read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

/// Runs a future that never has to wait.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
