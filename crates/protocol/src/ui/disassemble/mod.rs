//! A message as the chunks that make it: the inverse of the assembler.

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

/// Takes a message apart into chunks from which an [`Assembler`] makes it again.
///
/// The first is `start`, with the message's id and metadata; what follows is in the order of the parts, as far as chunks allow. A text
/// or an input that is still being written stays open. There is no `finish-step` and no `finish`: a message does not tell whether they
/// have come. The chunks give the same message when they were encoded and decoded in between.
///
/// Takes time that grows with the size of the message, because the chunks are put together again to see that nothing is missing.
///
/// # Errors
/// If the chunks make another message than this. Every message that an assembler has made of decoded chunks, begun with
/// [`Assembler::new`], can be said in chunks. What cannot, is in messages from elsewhere:
///
/// - another role than `assistant`, no id, metadata that is `null`, and members of the message that are not known;
/// - text and reasoning parts without a state, as users' messages have them; reasoning without an id; citations of a text that is still
///   being written;
/// - `filename` and `providerReference` of a file;
/// - members of a part that are not known, or whose values do not fit: only data parts pass them on;
/// - parts that are not known, and steering messages with anything but texts and files;
/// - a second data part of the same name and id, which would replace the data of the first;
/// - tool calls that no chunks lead to: with an unknown state, with a `rawInput` from which `input` cannot be read, as after an input
///   error in messages of the AI SDK 5, with members of another state (an output before the input is whole), or two of the same id and
///   kind in one step;
/// - values that chunks may not have: metadata of providers that is no object of objects, citations with members that are not known, keys
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
/// // A text without a state comes out as one that is done.
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

/// What an assembler makes of the chunks at the other end of a stream.
fn assembled(chunks: &[Chunk<'static>]) -> UiMessage {
    let mut assembler = Assembler::new().with_limit(usize::MAX);
    for chunk in chunks {
        // What does not fit is missing in what is made.
        if let Ok(chunk) = Chunk::decode(&chunk.encode()) {
            let _ = assembler.apply(&chunk);
        }
    }
    assembler.into_message()
}
