use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::view::views;
use crate::ui::message::{FieldWriter, Member, Object, write_object};
use crate::ui::{Members, RawJson, Text};

views! {
    /// `Bash`: runs a command in the sandbox.
    Bash {
        /// The command line.
        command: Text<'static> = "command",
        ;
        /// The purpose, in the agent's words.
        description: Text<'static> = "description",
        /// The time limit in milliseconds.
        timeout: u64 = "timeout",
        /// `run_in_background`: whether the agent continues while it runs.
        run_in_background: bool = "run_in_background",
    }

    /// `Read`: reads a file.
    Read {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        ;
        /// The first line to read.
        offset: u64 = "offset",
        /// The number of lines to read.
        limit: u64 = "limit",
    }

    /// `Write`: writes a file.
    Write {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        /// The new content.
        content: Text<'static> = "content",
        ;
    }

    /// `Edit`: replaces a text in a file.
    Edit {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        /// `old_string`: the text to replace.
        old_string: Text<'static> = "old_string",
        /// `new_string`: the replacement.
        new_string: Text<'static> = "new_string",
        ;
        /// `replace_all`: whether every occurrence is replaced.
        replace_all: bool = "replace_all",
    }

    /// `Glob`: finds files by their names.
    Glob {
        /// The pattern, such as `**/*.rs`.
        pattern: Text<'static> = "pattern",
        ;
        /// The directory to search.
        path: Text<'static> = "path",
    }

    /// `Grep`: finds texts in files.
    Grep {
        /// The regular expression.
        pattern: Text<'static> = "pattern",
        ;
        /// The file or the directory to search.
        path: Text<'static> = "path",
        /// The pattern for the names of files to search.
        glob: Text<'static> = "glob",
        /// `type`: the kind of files to search, such as `rust`.
        file_type: Text<'static> = "type",
        /// `output_mode`: `content`, `files_with_matches` or `count`.
        output_mode: Text<'static> = "output_mode",
        /// `head_limit`: the maximum number of lines or entries in the output.
        head_limit: u64 = "head_limit",
        /// Whether a match may span several lines.
        multiline: bool = "multiline",
        /// `-i`: whether to ignore case.
        ignore_case: bool = "-i",
        /// `-n`: whether to number lines.
        line_numbers: bool = "-n",
        /// `-A`: the number of lines to show after a match.
        after: u64 = "-A",
        /// `-B`: the number of lines to show before a match.
        before: u64 = "-B",
        /// `-C`: the number of lines to show around a match.
        context: u64 = "-C",
    }

    /// `WebFetch`: reads a page and asks a model about it.
    WebFetch {
        /// The URL of the page.
        url: Text<'static> = "url",
        ;
        /// The question.
        prompt: Text<'static> = "prompt",
    }

    /// `Task`: runs a sub-agent. The ids of the sub-agent's own calls are `parent:child`.
    Task {
        /// The instructions.
        prompt: Text<'static> = "prompt",
        ;
        /// The purpose, in a few words.
        description: Text<'static> = "description",
        /// `subagent_type`: the kind of sub-agent.
        subagent_type: Text<'static> = "subagent_type",
    }

    /// `TodoWrite`: replaces the agent's to-do list.
    TodoWrite {
        /// The whole list.
        todos: Vec<Todo> = "todos",
        ;
    }

    /// An entry of a [`TodoWrite`].
    Todo {
        /// The task.
        content: Text<'static> = "content",
        /// The status.
        status: TodoStatus = "status",
        ;
        /// `activeForm`: the text to show while the task is in progress.
        active_form: Text<'static> = "activeForm",
    }
}

/// The status of an entry of a [`TodoWrite`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TodoStatus {
    /// `pending`: not begun.
    Pending,
    /// `in_progress`: begun.
    InProgress,
    /// `completed`: done.
    Completed,
    /// An unknown status.
    Unknown(Text<'static>),
}

impl Member for TodoStatus {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        let status = Text::read(raw)?;
        Some(match status.as_str() {
            Some("pending") => Self::Pending,
            Some("in_progress") => Self::InProgress,
            Some("completed") => Self::Completed,
            _ => Self::Unknown(status),
        })
    }
}

impl Serialize for TodoStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let word = match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Unknown(status) => return status.serialize(serializer),
        };
        serializer.serialize_str(word)
    }
}
