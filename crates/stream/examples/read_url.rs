//! Reads a UI message stream with reqwest and prints the result as a line of JSON.
//!
//! ```text
//! cargo run -p twentyfirst-stream --example read_url -- http://127.0.0.1:3000/api/chat
//! ```

use std::error::Error;

use serde::Serialize;
use twentyfirst_protocol::ui::{Assembler, Change, Chunk, End, Text, UiMessage};
use twentyfirst_stream::{BodyStreamExt, from_stream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: read_url URL")?;
    let response = reqwest::get(url).await?.error_for_status()?;

    let mut chunks = from_stream(response.bytes_stream()).ui_chunks();
    let mut assembler = Assembler::new();
    let mut transient = Vec::new();
    let mut errors = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match assembler.apply(&chunk?)? {
            Change::Transient(data) => transient.push(Chunk::from(data.clone()).into_owned()),
            Change::Failed(text) => errors.push(text.clone().into_owned()),
            _ => {}
        }
    }

    let outcome = Outcome {
        end: chunks.end().map(End::as_str),
        message: assembler.into_message(),
        transient,
        errors,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

#[derive(Serialize)]
struct Outcome {
    message: UiMessage,
    /// Transient data, which is not part of the message.
    transient: Vec<Chunk<'static>>,
    /// The texts of `error` chunks.
    errors: Vec<Text<'static>>,
    /// `finished`, `aborted`, `failed` or `cut`.
    end: Option<&'static str>,
}
