//! JSON that is still being written, read as far as it goes.

mod closer;
mod document;
mod grammar;

pub use document::PartialJson;
