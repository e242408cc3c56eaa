//! Disassembles a message into the chunks that create it: the inverse of the assembler.

mod error;
mod history;
mod inputs;
mod order;
mod parts;
mod same;
mod texts;
mod tool;
mod tools;

pub use error::DisassembleError;
pub(crate) use parts::{chunks_of, rest_of_metadata};
pub(crate) use same::same;
pub(crate) use texts::{rest_of_text, text_from};
pub(crate) use tool::rest_of_call;

use super::{Assembler, Chunk, UiMessage};

/// Disassembles a message into chunks from which an [`Assembler`] creates it again.
///
/// The first chunk is `start`, with the message's id and metadata. The others follow in the order of the parts, as far as chunks
/// allow. A text or an input that is still being written stays open. There is no `finish-step` and no `finish`, because a message
/// does not show whether they have arrived. The chunks may be encoded and decoded without an effect on the message.
///
/// The time is proportional to the size of the message. It includes assembling the chunks again, to check that nothing is
/// missing.
///
/// # Errors
/// The chunks create a different message. Chunks can express every message that an assembler, begun with [`Assembler::new`], has
/// created from decoded chunks. They cannot express the following, which occurs in messages from elsewhere:
///
/// - another role than `assistant`, no id, metadata that is `null`, and unknown members of the message;
/// - text and reasoning parts without a state, as in users' messages; reasoning without an id; citations of a text that is still
///   being written;
/// - `filename` and `providerReference` of a file;
/// - unknown members of a part, or members whose values do not fit, except in data parts;
/// - unknown parts, and steering messages with anything but texts and files;
/// - a second data part of the same name and id, which would replace the data of the first;
/// - tool calls that no chunks can create: with an unknown state, with a `rawInput` from which `input` cannot be read (as after an
///   input error in messages of the AI SDK 5), with members of another state (an output before the input is complete), or two
///   calls with the same id and kind in one step;
/// - values that chunks may not have: provider metadata that is not an object of objects, citations with unknown members, keys
///   like `__proto__`, and text with half a surrogate pair.
///
/// ```
/// use twentyfirst_protocol::ui::{Assembler, UiMessage, disassemble};
///
/// let stored: UiMessage = serde_json::from_str(
///     r#"{"id":"m1","role":"assistant","parts":[{"type":"text","text":"Two files.","state":"done"}]}"#,
/// )?;
/// let chunks = disassemble(&stored)?;
/// let json: Vec<String> = chunks.iter().map(|chunk| chunk.encode()).collect();
/// assert_eq!(
///     json,
///     [
///         r#"{"type":"start","messageId":"m1"}"#,
///         r#"{"type":"text-start","id":"text-0"}"#,
///         r#"{"type":"text-delta","id":"text-0","delta":"Two files."}"#,
///         r#"{"type":"text-end","id":"text-0"}"#,
///     ]
/// );
///
/// let mut assembler = Assembler::new();
/// for chunk in &chunks {
///     assembler.apply(chunk)?;
/// }
/// assert_eq!(assembler.into_message(), stored);
///
/// // A text without a state becomes one that is done.
/// let question = UiMessage::assistant("Which folder?").with_id("m2");
/// let error = disassemble(&question).unwrap_err();
/// assert_eq!(error.part(), Some(0));
/// assert_eq!(error.into_chunks().len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn disassemble(message: &UiMessage) -> Result<Vec<Chunk<'static>>, DisassembleError> {
    let chunks = order::chunks(message);
    let made = assembled(&chunks);
    if made == *message {
        return Ok(chunks);
    }
    let mut pairs = message.parts.iter().zip(&made.parts);
    let shorter = message.parts.len().min(made.parts.len());
    let longer = message.parts.len().max(made.parts.len());
    let part = pairs.position(|(part, made)| part != made);
    let part = part.or_else(|| (shorter < longer).then_some(shorter));
    Err(DisassembleError { chunks, part })
}

/// Returns the message that the chunks create at the other end of a stream, after encoding and decoding.
fn assembled(chunks: &[Chunk<'static>]) -> UiMessage {
    let mut assembler = Assembler::new().with_limit(usize::MAX);
    for chunk in chunks {
        // A chunk that cannot be decoded or applied is missing in the result, so the caller sees a different message.
        if let Ok(chunk) = Chunk::decode(&chunk.encode()) {
            let _ = assembler.apply(&chunk);
        }
    }
    assembler.into_message()
}
