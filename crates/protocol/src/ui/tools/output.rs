use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::view::views;
use crate::ui::message::{FieldWriter, Member, Object, write_object};
use crate::ui::{Members, RawJson, Text, ToolPart};

views! {
    /// The output of a command, from runtimes that do not combine it into one text.
    CommandOutput {
        /// The standard output.
        stdout: Text<'static> = "stdout",
        /// The standard error.
        stderr: Text<'static> = "stderr",
        ;
        /// `exitCode`: 0 for success, if the runtime reports it.
        exit_code: i64 = "exitCode",
        /// Whether the command was stopped before its end.
        interrupted: bool = "interrupted",
    }
}

/// A view of a tool's output. The relay's agents return a text or blocks of text, whatever the tool is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolOutput {
    /// A text.
    Text(Text<'static>),
    /// The output of a command.
    Command(CommandOutput),
    /// Any other output: blocks of text and images, or a form specific to the tool.
    Other(RawJson<'static>),
}

impl ToolOutput {
    /// Creates a view of the output of a call in a message; `None` if there is no output yet.
    pub fn of(part: &ToolPart) -> Option<Self> {
        part.output.as_ref().map(Self::view)
    }

    /// Creates a view of an output, such as that of a chunk.
    pub fn view(output: &RawJson<'static>) -> Self {
        if let Some(text) = Text::read(output) {
            return Self::Text(text);
        }
        match CommandOutput::read(output) {
            Some(output) => Self::Command(output),
            None => Self::Other(output.clone()),
        }
    }

    /// Returns the text of the output; `None` if there is none. For a command, this is the standard output followed by the
    /// standard error. Of several blocks, the text blocks are joined by line breaks.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string_lossy().into_owned()),
            Self::Command(output) => {
                let mut text = output.stdout.to_string_lossy().into_owned();
                let stderr = output.stderr.to_string_lossy();
                if !(text.is_empty() || text.ends_with('\n') || stderr.is_empty()) {
                    text.push('\n');
                }
                text.push_str(&stderr);
                Some(text)
            }
            Self::Other(raw) => {
                let blocks: Vec<RawJson<'static>> = raw.deserialize().ok()?;
                let texts: Vec<String> = blocks.iter().filter_map(text_of_block).collect();
                (!texts.is_empty()).then(|| texts.join("\n"))
            }
        }
    }
}

impl Serialize for ToolOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Command(output) => output.serialize(serializer),
            Self::Other(raw) => raw.serialize(serializer),
        }
    }
}

fn text_of_block(block: &RawJson<'static>) -> Option<String> {
    let text: Text<'static> = Members::from_json(block.get())?.take("text")?;
    Some(text.to_string_lossy().into_owned())
}
