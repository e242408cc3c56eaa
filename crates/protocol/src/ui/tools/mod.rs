//! Typed views of the tools that agents usually have, and of what these put out.
//!
//! [`Tool`] is a view of a call's input, [`ToolOutput`] of its output. A view is made when it is asked for; the part or the chunk keeps the JSON as it came.
//! Tools differ from runtime to runtime and change without notice, so nothing that does not fit is an error: a member of another type than
//! here is in [`other`](Bash::other) with all members that are not known, and an input without what its tool requires is
//! [`Tool::Other`]. Written again, every view is the JSON that it was made of.
//!
//! The inputs are those of Claude Code, by which the relay's agents run.
//!
//! ```
//! use twentyfirst_protocol::ui::tools::{Tool, ToolOutput};
//! use twentyfirst_protocol::ui::UiMessage;
//!
//! let message: UiMessage = serde_json::from_str(
//!     r#"{"id":"m2","role":"assistant","parts":[{"type":"tool-Bash","toolCallId":"c1","state":"output-available",
//!         "input":{"command":"ls /src","timeout":5000},"output":[{"type":"text","text":"main.rs"}]}]}"#,
//! )?;
//! for part in message.tool_calls() {
//!     match Tool::of(part) {
//!         Tool::Bash(bash) => println!("$ {}", bash.command),
//!         Tool::Edit(edit) => println!("edits {}", edit.file_path),
//!         tool => println!("calls {}", tool.name()),
//!     }
//!     assert_eq!(ToolOutput::of(part).and_then(|output| output.text()).as_deref(), Some("main.rs"));
//! }
//! # Ok::<(), serde_json::Error>(())
//! ```

mod inputs;
mod output;
mod tool;
mod view;

pub use inputs::{
    Bash, Edit, Glob, Grep, Read, Task, Todo, TodoStatus, TodoWrite, WebFetch, Write,
};
pub use output::{CommandOutput, ToolOutput};
pub use tool::Tool;
