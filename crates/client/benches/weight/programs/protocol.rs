//! Prints the text of a UI message stream, from standard input.

use std::io::{self, Read as _};

use twentyfirst_protocol::ui::{Chunk, Decoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = Vec::new();
    io::stdin().read_to_end(&mut stream)?;
    let mut decoder = Decoder::new();
    decoder.push(stream);
    while let Some(chunk) = decoder.next_chunk() {
        if let Chunk::TextDelta(text) = chunk? {
            print!("{}", text.delta.to_string_lossy());
        }
    }
    Ok(())
}
