//! Processes in a sandbox that outlive the call that started them.
//!
//! [`Exec`](crate::sandboxes::Exec) waits for its command, at most 10 minutes, and loses its output on a timeout. [`Spawn`]
//! starts a command and returns; a [`ProcessRef`] finds it again, from any client. Everything is built on `exec` alone: each call
//! sends one shell script, [`processes.sh`](SCRIPT), with the name of a function in it.
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
//! The files of a process are in `~/.twentyfirst/processes/<id>`, readable by their owner only:
//!
//! | file | content | written |
//! |---|---|---|
//! | `claim` | the supervisor (process number, start time, boot id), whether there is input, the time, the command | atomically by `ln`, which fails if the file exists: of several spawns with one id, one starts the command |
//! | `pid` | the command: process number, start time, boot id; whether it leads a group | atomically by `mv`, before the command begins |
//! | `stdout`, `stderr` | the output of the command, byte for byte | appended |
//! | `in/<n>` | a line with a nonce and a piece of standard input, or its end | atomically by `ln` |
//! | `timeout` | empty; exists if the time limit has expired | before the signal |
//! | `exit` | the exit code | atomically by `mv`, when the command has ended |
//!
//! A process is alive if its number, its start time and the boot id of the machine match the file. So another process that reuses
//! the number is never mistaken for it, and never killed. Without `/proc`, the number alone counts.
//!
//! Values of environment variables are in none of these files, and in no argument for longer than it takes to start `env`: they
//! travel as the environment of the `exec`.
//!
//! # Requirements of the sandbox
//! A POSIX `sh`, and from coreutils or busybox: `base64`, `cat`, `date`, `dd`, `env`, `head`, `ln`, `ls`, `mkdir`, `mv`, `rm`,
//! `sleep`, `tail`, `tr`. `setsid` gives the command a group of its own. Without it (macOS), `nohup` is used: then killing
//! reaches the command and not its children, and a provider that ends the group of an `exec` ends the command with it.
//!
//! # Unknowns
//! The relay does not document children that outlive their `exec`. The provider decides whether they live on, and how long a
//! machine without calls keeps running. The client's `Sandboxes::can_spawn` tests it.
//!
//! # Flows
//! The method `flow` of an operation and the methods of a [`ProcessRef`] check the request and return a [flow](crate::flow).
//! Nothing is sent before the flow is driven. `seed` spreads the delays of many clients: pass any random number.
//!
//! # Reading the output
//! `dd` reads a page of whole blocks, and the page is sent as base64, since the output of `exec` is text. The file routes are not
//! used: they have no ranges, so each poll of a growing file would read it from its start. A poll waits in the sandbox until
//! there is output beyond the offsets, for 20 s at most.

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
