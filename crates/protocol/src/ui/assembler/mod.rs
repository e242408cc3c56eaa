//! Assembles chunks into the message that they describe.

mod by_text;
mod calls;
mod change;
mod data;
mod error;
mod index;
mod input;
mod machine;
mod metadata;
mod open;
mod room;
mod texts;
mod tool_chunks;
mod tool_update;

pub use change::Change;
pub use error::AssembleError;
pub use machine::Assembler;
pub(crate) use texts::Kind as TextKind;
