use std::fmt;

use crate::error::shown;
use crate::ui::{Assembler, Text};

/// A chunk could not be applied. The message is unchanged.
///
/// The first three errors have the texts of the AI SDK's `UIMessageStreamError`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because tests construct it with all its fields, to compare it with an error.
pub enum AssembleError {
    /// A delta or an end for a part that was not started, or has ended.
    NotStarted {
        /// The type of the chunk.
        chunk: &'static str,
        /// The id of the part.
        id: Text<'static>,
    },
    /// A result or an approval request for a tool call that is not in the message.
    NoToolCall {
        /// The id of the call.
        tool_call_id: Text<'static>,
    },
    /// A response to an approval that was not requested.
    NoApproval {
        /// The id of the approval.
        approval_id: Text<'static>,
    },
    /// The message's metadata is a string, a number or a boolean, so members cannot be merged into it.
    MetadataNotAnObject,
    /// The metadata is nested deeper than [`Assembler::MAX_METADATA_DEPTH`](crate::ui::Assembler::MAX_METADATA_DEPTH).
    MetadataTooDeep,
    /// The message would exceed the assembler's limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { chunk, id } => {
                let (kind, part) = match *chunk {
                    "text-delta" | "text-end" => ("text", "text part"),
                    "tool-input-delta" => ("tool-input", "tool call"),
                    _ => ("reasoning", "reasoning part"),
                };
                write!(
                    f,
                    "Received {chunk} for missing {part} with ID \"{}\". Ensure a \"{kind}-start\" chunk is sent before any \"{chunk}\" chunks.",
                    Shortened(id)
                )
            }
            Self::NoToolCall { tool_call_id } => write!(
                f,
                "No tool invocation found for tool call ID \"{}\".",
                Shortened(tool_call_id)
            ),
            Self::NoApproval { approval_id } => write!(
                f,
                "No tool invocation found for approval ID \"{}\".",
                Shortened(approval_id)
            ),
            Self::MetadataNotAnObject => {
                f.write_str("metadata cannot be merged into a value that is not an object")
            }
            Self::MetadataTooDeep => write!(
                f,
                "metadata is nested deeper than {} levels",
                Assembler::MAX_METADATA_DEPTH
            ),
            Self::TooLarge { limit } => {
                write!(
                    f,
                    "the message would exceed the memory limit of {limit} bytes"
                )
            }
        }
    }
}

impl std::error::Error for AssembleError {}

/// Prints the beginning of an id, safe to show.
struct Shortened<'a>(&'a Text<'static>);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.to_string_lossy()))
    }
}
