//! The UI message stream of the AI SDK: chunks, and the messages that they build.
//!
//! A [`Decoder`] turns the bytes of a response body into [`Chunk`]s; [`Chunk::encode_event`] is the inverse. An [`Assembler`]
//! turns chunks into a message; [`disassemble`] is the inverse. [`tools`] has typed views of the tool calls in a message.

mod assembler;
pub mod chunk;
mod decoder;
mod delta;
mod disassemble;
mod encode;
mod end;
pub(crate) mod held;
mod joiner;
mod message;
mod partial_json;
pub mod tools;

pub(crate) use assembler::TextKind;
pub use assembler::{AssembleError, Assembler, Change};
pub use chunk::{error::ChunkError, kinds::Chunk, raw_json::RawJson, text::Text};
pub use decoder::{DecodeError, Decoder};
pub use disassemble::{DisassembleError, disassemble};
pub(crate) use disassemble::{
    chunks_of, rest_of_call, rest_of_metadata, rest_of_text, same, text_from,
};
pub use encode::{encode_done, response_headers};
pub use end::End;
pub use joiner::{Joined, Joiner};
pub(crate) use message::message_with_content;
pub use message::{
    Approval, CustomPart, DataPart, FilePart, Image, Members, Part, ReasoningFilePart,
    ReasoningPart, Role, SourceDocumentPart, SourceUrlPart, SteeringMessagePart, StepStartPart,
    TextPart, TextState, ToolPart, ToolState, UiMessage,
};
pub use partial_json::PartialJson;
