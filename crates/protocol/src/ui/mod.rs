//! The UI message stream of the AI SDK: chunks, and the messages that they build.
//!
//! `data:` events of a response body become [`Chunk`]s in a [`Decoder`]; [`Chunk::encode_event`] is the way back.

pub mod chunk;
mod decoder;
mod delta;
mod encode;
mod end;

pub use chunk::{error::ChunkError, kinds::Chunk, raw_json::RawJson, text::Text};
pub use decoder::{DecodeError, Decoder};
pub use encode::{encode_done, response_headers};
pub use end::End;
