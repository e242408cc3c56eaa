use serde::{Serialize, Serializer};

use super::inputs::{Bash, Edit, Glob, Grep, Read, Task, TodoWrite, WebFetch, Write};
use crate::ui::chunk::ToolInputAvailable;
use crate::ui::{Members, RawJson, Text, ToolPart};

/// A view of a tool call's input. See the [module](super).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tool {
    /// Runs a command.
    Bash(Bash),
    /// Reads a file.
    Read(Read),
    /// Writes a file.
    Write(Write),
    /// Edits a file.
    Edit(Edit),
    /// Finds files.
    Glob(Glob),
    /// Finds text in files.
    Grep(Grep),
    /// Reads a web page.
    WebFetch(WebFetch),
    /// Runs a sub-agent.
    Task(Task),
    /// Replaces the to-do list.
    TodoWrite(TodoWrite),
    /// Another tool, or an input without the required members, for example because it is still streaming.
    #[non_exhaustive]
    Other {
        /// The tool's name.
        name: Text<'static>,
        /// The original input, if there is one.
        input: Option<RawJson<'static>>,
    },
}

impl Tool {
    /// Creates a view of the input of a call in a message. While the input streams, the view shows what can be read so far.
    pub fn of(part: &ToolPart) -> Self {
        Self::view(&part.tool_name, part.input.as_ref())
    }

    /// Creates a view of the input in a chunk of the stream.
    pub fn of_chunk(chunk: &ToolInputAvailable<'_>) -> Self {
        let input = chunk.input.clone().map(RawJson::into_owned);
        Self::view(&chunk.tool_name.clone().into_owned(), input.as_ref())
    }

    fn view(name: &Text<'static>, input: Option<&RawJson<'static>>) -> Self {
        let view = input.and_then(|input| {
            let members = Members::from_json(input.get())?;
            Some(match name.as_str()? {
                "Bash" => Self::Bash(Bash::from_members(members)?),
                "Read" => Self::Read(Read::from_members(members)?),
                "Write" => Self::Write(Write::from_members(members)?),
                "Edit" => Self::Edit(Edit::from_members(members)?),
                "Glob" => Self::Glob(Glob::from_members(members)?),
                "Grep" => Self::Grep(Grep::from_members(members)?),
                "WebFetch" => Self::WebFetch(WebFetch::from_members(members)?),
                "Task" => Self::Task(Task::from_members(members)?),
                "TodoWrite" => Self::TodoWrite(TodoWrite::from_members(members)?),
                _ => return None,
            })
        });
        view.unwrap_or_else(|| Self::Other {
            name: name.clone(),
            input: input.cloned(),
        })
    }

    /// Returns the tool's name.
    pub fn name(&self) -> Text<'_> {
        Text::from(match self {
            Self::Bash(_) => "Bash",
            Self::Read(_) => "Read",
            Self::Write(_) => "Write",
            Self::Edit(_) => "Edit",
            Self::Glob(_) => "Glob",
            Self::Grep(_) => "Grep",
            Self::WebFetch(_) => "WebFetch",
            Self::Task(_) => "Task",
            Self::TodoWrite(_) => "TodoWrite",
            Self::Other { name, .. } => return name.clone(),
        })
    }
}

/// Writes the original input.
impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bash(input) => input.serialize(serializer),
            Self::Read(input) => input.serialize(serializer),
            Self::Write(input) => input.serialize(serializer),
            Self::Edit(input) => input.serialize(serializer),
            Self::Glob(input) => input.serialize(serializer),
            Self::Grep(input) => input.serialize(serializer),
            Self::WebFetch(input) => input.serialize(serializer),
            Self::Task(input) => input.serialize(serializer),
            Self::TodoWrite(input) => input.serialize(serializer),
            Self::Other { input, .. } => input.serialize(serializer),
        }
    }
}
