//! The members of each type of [`Chunk`](super::Chunk).
//!
//! There is a struct for each type that the AI SDK 7.0.173 defines; its fields are the AI SDK's members. `new` takes the required
//! members, and a method sets each optional one:
//!
//! ```
//! use twentyfirst_protocol::ui::{Chunk, chunk::ToolInputAvailable};
//!
//! let chunk: Chunk = ToolInputAvailable::new("call-1", "Bash")
//!     .input(serde_json::json!({"command": "ls"}))
//!     .title("Run a command")
//!     .into();
//! assert_eq!(
//!     chunk.encode(),
//!     r#"{"type":"tool-input-available","toolCallId":"call-1","toolName":"Bash","input":{"command":"ls"},"title":"Run a command"}"#
//! );
//! ```

pub(super) mod error;
pub(crate) mod json;
pub(super) mod kinds;
pub(crate) mod member;
pub(super) mod raw_json;
pub(super) mod text;

pub(super) use json::{Stops, elements, plain_prefix};

use error::ChunkError;
use raw_json::RawJson;
use text::Text;

pub use kinds::{
    Abort, Custom, Data, Error, File, Finish, FinishReason, InputEncoding, MessageMetadata,
    ReasoningDelta, ReasoningEnd, ReasoningFile, ReasoningStart, SourceDocument, SourceUrl, Start,
    SteeringMessage, TextDelta, TextEnd, TextStart, ToolApprovalRequest, ToolApprovalResponse,
    ToolInputAvailable, ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable,
    ToolOutputDenied, ToolOutputError, Unknown,
};
