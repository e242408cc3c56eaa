//! Chunks put together to the message that they describe.

mod by_text;
mod change;
mod error;
mod index;
mod machine;
mod metadata;
mod tools;

pub use change::Change;
pub use error::AssembleError;
pub use machine::Assembler;
