//! The journal of a worker: a file of lines. Each line is on the disk before the worker goes on.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use twentyfirst_client::SandboxId;

use super::Failure;

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// The first line: the name of the queue, and its prompts. A journal belongs to one queue.
    Queue {
        name: String,
        prompts: Vec<String>,
    },
    Sandbox(SandboxId),
    Done(Done),
}

/// A job that is done.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) job: usize,
    /// The end of its run, as `RunEnd` shows it: `completed`, or the failure.
    pub(super) end: String,
    pub(super) usd: f64,
    pub(super) answer: String,
}

pub(super) struct Journal {
    queue: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` to keep the journal in memory only.
    file: Option<File>,
    sandboxes: Vec<SandboxId>,
    /// The jobs that are done, and the cost of each.
    done: HashMap<usize, f64>,
}

impl Journal {
    /// Opens the journal of these prompts, as an earlier worker left it, and locks it until this process ends.
    pub(super) fn open(path: Option<&Path>, prompts: &[String]) -> Result<Self, Failure> {
        let mut state = State::default();
        let mut queue = None;
        if let Some(path) = path {
            let shown = path.display();
            let mut options = File::options();
            let mut file = options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)?;
            #[allow(clippy::incompatible_msrv, reason = "examples take Rust 1.89")]
            file.try_lock()
                .map_err(|error| format!("another worker has {shown}: {error}"))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            // An incomplete line had no consequences: the worker was killed while it wrote it.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
            for (number, line) in text[..whole].lines().enumerate() {
                let line = serde_json::from_str(line);
                let line =
                    line.map_err(|error| format!("line {} of {shown}: {error}", number + 1))?;
                match line {
                    Line::Queue { name, prompts: of } if of == prompts => queue = Some(name),
                    Line::Queue { .. } => return Err(format!("{shown} has other prompts").into()),
                    Line::Sandbox(id) => state.sandboxes.push(id),
                    Line::Done(done) => {
                        state.done.insert(done.job, done.usd);
                    }
                }
            }
            state.file = Some(file);
        }
        let queue = match queue {
            Some(queue) => queue,
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
                let name = format!("{:x}-{:x}", since.as_nanos(), std::process::id());
                let prompts = prompts.to_vec();
                state.write(&Line::Queue {
                    name: name.clone(),
                    prompts,
                })?;
                name
            }
        };
        Ok(Self {
            queue,
            state: Mutex::new(state),
        })
    }

    /// Returns the name of the queue, which no other queue has.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    pub(super) fn sandboxes(&self) -> Vec<SandboxId> {
        self.state().sandboxes.clone()
    }

    pub(super) fn add_sandbox(&self, id: &SandboxId) -> std::io::Result<()> {
        let mut state = self.state();
        state.write(&Line::Sandbox(id.clone()))?;
        state.sandboxes.push(id.clone());
        Ok(())
    }

    /// Writes that a job is done, once. It blocks for some milliseconds, until the line is on the disk.
    pub(super) fn done(&self, done: Done) -> std::io::Result<()> {
        let mut state = self.state();
        let (job, usd) = (done.job, done.usd);
        if !state.done.contains_key(&job) {
            state.write(&Line::Done(done))?;
            state.done.insert(job, usd);
        }
        Ok(())
    }

    /// Returns the jobs that are done, and their cost in US dollars.
    pub(super) fn so_far(&self) -> (HashSet<usize>, f64) {
        let state = self.state();
        let cost = state.done.values().fold(0.0, |sum, usd| sum + usd);
        (state.done.keys().copied().collect(), cost)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let line = serde_json::to_string(line)? + "\n";
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}
