//! Reads JSON that is still being written.

mod closer;
mod document;
mod forbidden;
mod grammar;

pub use document::PartialJson;
