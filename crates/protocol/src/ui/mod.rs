//! The UI message stream of the AI SDK: chunks, and the messages that they build.

pub mod chunk;

pub use chunk::{error::ChunkError, kinds::Chunk, raw_json::RawJson, text::Text};
