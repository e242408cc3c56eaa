//! Prints the text of a UI message stream, from standard input.

use std::io::{self, Read as _};

use twentyfirst_stream::BodyStreamExt as _;
use twentyfirst_stream::protocol::ui::Chunk;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = String::new();
    io::stdin().read_to_string(&mut stream)?;
    let mut chunks = stream.ui_chunks();
    while let Some(chunk) = pollster::block_on(chunks.next()) {
        if let Chunk::TextDelta(text) = chunk? {
            print!("{}", text.delta.to_string_lossy());
        }
    }
    Ok(())
}
