//! Reads JSON that is still being written, as far as it goes.

mod closer;
mod document;
mod forbidden;
mod grammar;

pub use document::PartialJson;
