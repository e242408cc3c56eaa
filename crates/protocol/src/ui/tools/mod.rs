//! Typed views of the usual tools of agents, and of their outputs.
//!
//! [`Tool`] is a view of a call's input, [`ToolOutput`] of its output. A view is created on demand; the part or the chunk keeps
//! the original JSON. The inputs are those of Claude Code, which runs the relay's agents.
//!
//! Tools differ between runtimes and change without notice, so a mismatch is not an error. Unknown members, and members of another
//! type than here, are in [`other`](Bash::other). An input without the required members of its tool is [`Tool::Other`]. Every view
//! serializes to the JSON that it was created from.
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
