//! Messages as `useChat` of the AI SDK shows them, and their parts.

mod content;
mod image;
mod members;
mod part;
mod tool;
mod ui_message;

pub(crate) use content::message_with_content;
pub use image::Image;
pub use members::Members;
pub(super) use members::{FieldWriter, Member, Object, write_object};
pub use part::{
    CustomPart, DataPart, FilePart, Part, ReasoningFilePart, ReasoningPart, SourceDocumentPart,
    SourceUrlPart, SteeringMessagePart, StepStartPart, TextPart, TextState,
};
pub use tool::{Approval, ToolPart, ToolState};
pub use ui_message::{Role, UiMessage};
