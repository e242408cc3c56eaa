use std::time::Duration;

use serde::Deserialize;
use twentyfirst_protocol::ui::{Chunk, ChunkError};

use super::{Run, RunResult};

/// A fixed answer: chunks with pauses between them, the same in every run.
///
/// The relay adds `start`, and `message-metadata` and `finish` at the end. If a script has the latter two, they replace the relay's.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_local_relay::{Agent, LocalRelay, Script};
/// use twentyfirst_protocol::ui::chunk::{TextDelta, TextEnd, TextStart};
///
/// let script = Script::new()
///     .chunk(TextStart::new("t1"))
///     .chunk(TextDelta::new("t1", "Thinking …"))
///     .pause(Duration::from_millis(300))
///     .chunk(TextDelta::new("t1", " done."))
///     .chunk(TextEnd::new("t1"));
/// let relay = LocalRelay::builder().agent("thinker", script).start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Chunk(Chunk<'static>),
    Pause(Duration),
}

impl Script {
    /// Creates an empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a script: each line is a chunk as JSON, or a pause in milliseconds such as `{"pause": 300}`.
    ///
    /// Empty lines, `[DONE]` and a `data:` before a chunk are skipped, so that a recorded stream is a script.
    ///
    /// # Errors
    /// [`ScriptError`] if a line is neither a chunk nor a pause.
    pub fn from_json_lines(text: &str) -> Result<Self, ScriptError> {
        let mut steps = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            let line = line.strip_prefix("data:").map_or(line, str::trim_start);
            if line.is_empty() || line == "[DONE]" {
                continue;
            }
            // Before the chunks: a pause has no `type`, and would be an invalid chunk.
            if let Ok(Pause { pause }) = serde_json::from_str(line) {
                steps.push(Step::Pause(Duration::from_millis(pause)));
                continue;
            }
            match Chunk::decode(line) {
                Ok(chunk) => steps.push(Step::Chunk(chunk.into_owned())),
                Err(source) => {
                    return Err(ScriptError {
                        line: at + 1,
                        source,
                    });
                }
            }
        }
        Ok(Self { steps })
    }

    /// Adds a chunk.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Chunk<'static>>) -> Self {
        self.steps.push(Step::Chunk(chunk.into()));
        self
    }

    /// Adds a pause.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Pause(pause));
        self
    }

    pub(super) async fn play(self, run: Run) -> RunResult {
        for step in self.steps {
            match step {
                Step::Chunk(chunk) => run.send(chunk).await,
                Step::Pause(pause) => tokio::time::sleep(pause).await,
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    pause: u64,
}

/// A line of a script is neither a chunk nor a pause.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line} is neither a chunk nor a pause")]
pub struct ScriptError {
    line: usize,
    source: ChunkError,
}

impl ScriptError {
    /// Returns the number of the line. The first line is 1.
    pub fn line(&self) -> usize {
        self.line
    }
}
