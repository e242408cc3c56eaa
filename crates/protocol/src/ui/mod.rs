//! The UI message stream of the AI SDK: chunks, and the messages that they build.

mod json;
mod message;

pub use json::{RawJson, Text};
pub use message::{
    Approval, CustomPart, DataPart, FilePart, InputEncoding, Members, Part, ReasoningFilePart,
    ReasoningPart, Role, SourceDocumentPart, SourceUrlPart, SteeringMessagePart, StepStartPart,
    TextPart, TextState, ToolPart, ToolState, UiMessage,
};
