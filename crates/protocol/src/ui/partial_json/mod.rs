//! JSON that is still being written, read as far as it goes.

mod closer;
mod document;
mod forbidden;
mod grammar;

pub use document::PartialJson;
