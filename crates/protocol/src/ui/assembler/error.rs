use std::fmt;

use crate::error::shown;
use crate::ui::Text;

/// Why a chunk could not be applied to a message. The message is as it was before.
///
/// The words of the first three are those of the AI SDK's `UIMessageStreamError`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since tests compare an error with one that they make.
pub enum AssembleError {
    /// A delta or an end for a part that has not been started, or has ended.
    NotStarted {
        /// The type of the chunk.
        chunk: &'static str,
        /// The id of the part.
        id: Text<'static>,
    },
    /// A result of a tool call that is not in the message, or a question about one.
    NoToolCall {
        /// The id of the call.
        tool_call_id: Text<'static>,
    },
    /// An answer to an approval that nobody has asked for.
    NoApproval {
        /// The id of the approval.
        approval_id: Text<'static>,
    },
    /// The message's metadata is a string, a number or a boolean, and members cannot be merged into it.
    MetadataNotAnObject,
    /// The metadata is nested deeper than [`Assembler::MAX_METADATA_DEPTH`](crate::ui::Assembler::MAX_METADATA_DEPTH).
    MetadataTooDeep,
    /// The message would become larger than the assembler's limit.
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
            Self::MetadataTooDeep => f.write_str("metadata is nested too deeply"),
            Self::TooLarge { limit } => {
                write!(f, "the message would be larger than {limit} bytes")
            }
        }
    }
}

impl std::error::Error for AssembleError {}

/// The beginning of an id.
struct Shortened<'a>(&'a Text<'static>);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.to_string_lossy()))
    }
}
