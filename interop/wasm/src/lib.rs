//! The decoder and the assembler as functions over memory, for `wasm.test.mjs`: bytes of an event stream in, JSON out.
//!
//! No package that anybody installs: it shows that protocol runs as wasm32-unknown-unknown, where there is no clock, no randomness, no
//! thread and no IO.

use std::slice;

use twentyfirst_protocol::ui::{Assembler, Change, Decoder};

/// Gives `length` bytes to write an event stream to.
// An exported name is unsafe as two of one name would clash. There is one crate, and these names are in it only.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; length].into_boxed_slice()).cast()
}

/// Reads an event stream, a piece of `piece` bytes at a time, and returns its message, the texts of its error chunks, the error that ended it
/// and its end as JSON: four bytes of length, then that many bytes. Takes back what [`allocate`] gave.
///
/// # Safety
/// `pointer` and `length` are those of an [`allocate`], used once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(pointer: *mut u8, length: usize, piece: usize) -> *const u8 {
    // SAFETY: the caller's promise: `allocate` made this box, and nobody else has it.
    let stream = unsafe { Box::from_raw(slice::from_raw_parts_mut(pointer, length)) };
    let json = outcome(&stream, piece.max(1)).to_string();
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut result = Vec::with_capacity(4 + json.len());
    result.extend_from_slice(&length.to_le_bytes());
    result.extend_from_slice(json.as_bytes());
    // Never freed: it lives as long as the instance, which is as long as a test.
    result.leak().as_ptr()
}

fn outcome(stream: &[u8], piece: usize) -> serde_json::Value {
    let mut decoder = Decoder::new();
    let mut assembler = Assembler::new();
    let mut errors = Vec::new();
    let mut fatal = None;
    for piece in stream.chunks(piece) {
        decoder.push(piece.to_vec());
        while let Some(chunk) = decoder.next_chunk() {
            let Ok(chunk) = chunk else {
                fatal.get_or_insert_with(|| "a chunk that cannot be read".to_owned());
                continue;
            };
            if fatal.is_some() {
                continue;
            }
            match assembler.apply(&chunk) {
                Ok(Change::Failed(text)) => errors.push(text.to_string()),
                Ok(_) => {}
                Err(error) => fatal = Some(error.to_string()),
            }
        }
    }
    let message = assembler.has_shown().then(|| assembler.message());
    serde_json::json!({
        "message": message,
        "errors": errors,
        "fatal": fatal,
        "end": decoder.end().as_str(),
    })
}
