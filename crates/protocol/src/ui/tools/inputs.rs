use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::view::views;
use crate::ui::message::{Fields, Member, Object, write_object};
use crate::ui::{Members, RawJson, Text};

views! {
    /// `Bash`: runs a command in the sandbox.
    Bash {
        /// The command line.
        command: Text<'static> = "command",
        ;
        /// What it is for, in the agent's words.
        description: Text<'static> = "description",
        /// The time limit in milliseconds.
        timeout: u64 = "timeout",
        /// `run_in_background`: whether the agent goes on while it runs.
        run_in_background: bool = "run_in_background",
    }

    /// `Read`: reads a file.
    Read {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        ;
        /// The first line that is read.
        offset: u64 = "offset",
        /// How many lines are read.
        limit: u64 = "limit",
    }

    /// `Write`: writes a file.
    Write {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        /// Its new content.
        content: Text<'static> = "content",
        ;
    }

    /// `Edit`: replaces a text in a file.
    Edit {
        /// `file_path`: the file.
        file_path: Text<'static> = "file_path",
        /// `old_string`: the text that is replaced.
        old_string: Text<'static> = "old_string",
        /// `new_string`: the text in its place.
        new_string: Text<'static> = "new_string",
        ;
        /// `replace_all`: whether every occurrence is replaced.
        replace_all: bool = "replace_all",
    }

    /// `Glob`: finds files by their names.
    Glob {
        /// The pattern, as `**/*.rs`.
        pattern: Text<'static> = "pattern",
        ;
        /// The directory that is searched.
        path: Text<'static> = "path",
    }

    /// `Grep`: finds texts in files.
    Grep {
        /// The regular expression.
        pattern: Text<'static> = "pattern",
        ;
        /// The file or the directory that is searched.
        path: Text<'static> = "path",
        /// The pattern of the names of files that are searched.
        glob: Text<'static> = "glob",
        /// `type`: the kind of files that are searched, as `rust`.
        file_type: Text<'static> = "type",
        /// `output_mode`: `content`, `files_with_matches` or `count`.
        output_mode: Text<'static> = "output_mode",
        /// `head_limit`: the most lines or entries that are put out.
        head_limit: u64 = "head_limit",
        /// Whether a match may go over several lines.
        multiline: bool = "multiline",
        /// `-i`: whether case makes no difference.
        ignore_case: bool = "-i",
        /// `-n`: whether lines are numbered.
        line_numbers: bool = "-n",
        /// `-A`: how many lines are shown after a match.
        after: u64 = "-A",
        /// `-B`: how many lines are shown before a match.
        before: u64 = "-B",
        /// `-C`: how many lines are shown around a match.
        context: u64 = "-C",
    }

    /// `WebFetch`: reads a page and asks a model about it.
    WebFetch {
        /// The page.
        url: Text<'static> = "url",
        ;
        /// What is asked.
        prompt: Text<'static> = "prompt",
    }

    /// `Task`: has a sub-agent do something. The ids of the sub-agent's own calls are `parent:child`.
    Task {
        /// What it is to do.
        prompt: Text<'static> = "prompt",
        ;
        /// What it is for, in a few words.
        description: Text<'static> = "description",
        /// `subagent_type`: the kind of sub-agent.
        subagent_type: Text<'static> = "subagent_type",
    }

    /// `TodoWrite`: replaces the agent's list of what is to be done.
    TodoWrite {
        /// The whole list.
        todos: Vec<Todo> = "todos",
        ;
    }

    /// An entry of a [`TodoWrite`].
    Todo {
        /// What is to be done.
        content: Text<'static> = "content",
        /// How far it is.
        status: TodoStatus = "status",
        ;
        /// `activeForm`: the words to show while it is being done.
        active_form: Text<'static> = "activeForm",
    }
}

/// How far an entry of a [`TodoWrite`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TodoStatus {
    /// `pending`: nobody has begun.
    Pending,
    /// `in_progress`: it is being done.
    InProgress,
    /// `completed`: it is done.
    Completed,
    /// A status that is not known here.
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
