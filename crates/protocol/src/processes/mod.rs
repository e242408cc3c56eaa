//! Processes in a sandbox that outlive the call that started them.
//!
//! [`Exec`](crate::sandboxes::Exec) waits for its command, at most 10 minutes, and loses its output on a time-out. [`Spawn`] starts a
//! command and returns; a [`ProcessRef`] finds it again, from any process. All of it is made of `exec` alone: each call sends one shell
//! script, [`processes.sh`](SCRIPT), with the name of a function in it.
//!
//! ```text
//!            spawn                       the command ends, or is killed
//!   (none) ───────► Starting ──► Running ───────────────────────────────► Exited(status)
//!                                   │
//!                                   └── its machine or its supervisor is gone ──► Gone
//! ```
//!
//! ```text
//!   exec ─► spawn ─► supervisor (session of its own) ─► the command (session and group of its own)
//!                     claims the id, waits               writes stdout and stderr
//! ```
//!
//! # The files
//! Under `~/.twentyfirst/processes/<id>`, readable by their owner only:
//!
//! | file | content | written |
//! |---|---|---|
//! | `claim` | the supervisor (number, start time, boot), input or none, the moment, the command | whole, by `ln`, which fails if it is there: of several spawns with one id, one starts the command |
//! | `pid` | the command: number, start time, boot; whether it leads a group | whole, by `mv`, before the command begins |
//! | `stdout`, `stderr` | what the command writes, byte for byte | appended |
//! | `in/<n>` | a piece of standard input behind a line with its nonce, or its end | whole, by `ln` |
//! | `timeout` | nothing: the time limit has struck | before the signal |
//! | `exit` | the exit code | whole, by `mv`, when the command has ended |
//!
//! A process is alive if its number, its start time and the boot of the machine are those of the file, so a number that was given again
//! is never taken for it, and never killed. Where there is no `/proc`, the number alone counts.
//!
//! Values of environment variables are in none of these files, and in no argument for longer than it takes to start `env`: they travel
//! as the environment of the `exec`.
//!
//! # What is needed in the sandbox
//! A POSIX `sh`, and of coreutils or busybox: `base64`, `cat`, `date`, `dd`, `env`, `head`, `ln`, `ls`, `mkdir`, `mv`, `rm`, `sleep`,
//! `tail`, `tr`. `setsid` gives the command a group of its own. Without it (macOS) `nohup` is used: then killing reaches the command and
//! not its children, and a provider that ends the group of an `exec` ends the command with it.
//!
//! # What is not known
//! The relay documents nothing of children that outlive their `exec`. Whether a provider lets them live, and for how long a machine
//! without calls keeps running, is up to it. The client's `Sandboxes::can_spawn` tries it.
//!
//! # Reading the output
//! A page is read by `dd` from a block and sent as base64, since the output of `exec` is text. The file routes have no ranges: each look
//! at a growing file would read it from its start. A look waits in the sandbox, up to 20 s, until there is something behind the offsets.

mod error;
mod id;
mod kill;
mod list;
mod output;
mod port;
mod process_ref;
mod reply;
mod script;
mod script_flow;
mod spawn;
mod state;
mod stdin;

pub use error::ProcessError;
pub use id::ProcessId;
pub use kill::KillProcess;
pub use list::ListProcesses;
pub use output::{FollowOutput, Offsets, OutputChunk, OutputStream};
pub use port::WaitForPort;
pub use process_ref::ProcessRef;
pub use script::SCRIPT;
pub use script_flow::ScriptFlow;
pub use spawn::Spawn;
pub use state::{ExitStatus, ProcessInfo, ProcessState};
pub use stdin::WriteStdin;
