use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::RunEnd;
use super::transcript::Reported;
use crate::scan::char_boundary;
use crate::threads::Usage;
use crate::ui::{Chunk, RawJson, Text};

/// A collector of facts about a run from its chunks: tool calls, usage and end. It is the base of spans and metrics.
///
/// It stores no contents. It keeps the ids and names of open tool calls, at most 1024 of them. Calls beyond that, and calls with
/// an id longer than 1 KiB, are ignored.
///
/// ```
/// use std::time::Instant;
/// use twentyfirst_protocol::runs::{RunFacts, ToolFact};
/// use twentyfirst_protocol::ui::chunk::ToolInputAvailable;
///
/// let mut facts = RunFacts::new(Instant::now());
/// let call = ToolInputAvailable::new("toolu_1", "Bash").into();
/// let Some(ToolFact::Called { call, .. }) = facts.observe(&call, Instant::now()) else { unreachable!() };
/// assert_eq!((call.id.as_str(), call.name.as_str()), ("toolu_1", "Bash"));
/// assert!(facts.end().is_none());
/// ```
pub struct RunFacts {
    begun: Instant,
    first_chunk: Option<Instant>,
    chunks: u64,
    message_id: Option<String>,
    reported: Reported,
    open: HashMap<String, ToolCall>,
}

/// A call of a tool that the agent executes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The id of the call, `toolCallId`.
    pub id: String,
    /// The name of the tool, cut to 256 bytes.
    pub name: String,
    /// The id of the open call in which this one was made. Ids of a sub-agent's tool calls have the form `parent:child`.
    pub parent: Option<String>,
    /// The time at which its input was complete.
    pub begun: Instant,
}

/// A fact about a tool call.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToolFact<'c> {
    /// The input of a call is complete, so its execution begins.
    #[non_exhaustive]
    Called {
        /// The call.
        call: ToolCall,
        /// Its input.
        input: Option<&'c RawJson<'c>>,
    },
    /// The execution of an open call has ended.
    #[non_exhaustive]
    Ended {
        /// The call.
        call: ToolCall,
        /// The way it ended.
        end: ToolEnd,
        /// Its output.
        output: Option<&'c RawJson<'c>>,
    },
}

/// The way in which the execution of a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolEnd {
    /// It produced an output. Some runtimes put the text of an error there.
    Output,
    /// It failed, or was never executed because its input was invalid.
    Failed,
    /// It was denied.
    Denied,
    /// The run was over, or reading stopped, before any output came. A failed tool can end this way.
    NoOutput,
}

impl ToolEnd {
    /// Returns the end in one word: `output`, `failed`, `denied` or `no_output`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::NoOutput => "no_output",
        }
    }
}

// The stream decides how many calls are open and how long their ids and names are, so all of these are limited.
const MOST_CALLS: usize = 1024;
const LONGEST_ID: usize = 1024;
const LONGEST_NAME: usize = 256;

impl RunFacts {
    /// Creates an empty collector for a run that was requested at `begun`.
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            first_chunk: None,
            chunks: 0,
            message_id: None,
            reported: Reported::default(),
            open: HashMap::new(),
        }
    }

    /// Processes the next chunk, received at `now`. Returns the fact about a tool call that it contains. A call that is open does
    /// not begin again, and it ends at most once.
    pub fn observe<'c>(&mut self, chunk: &'c Chunk<'c>, now: Instant) -> Option<ToolFact<'c>> {
        self.first_chunk.get_or_insert(now);
        self.chunks += 1;
        self.reported.observe(chunk);
        match chunk {
            Chunk::Start(start) => {
                if let Some(id) = &start.message_id {
                    self.message_id = Some(short(id, LONGEST_ID));
                }
                None
            }
            Chunk::ToolInputAvailable(call) => {
                let input = call.input.as_ref();
                let call = self.called(&call.tool_call_id, &call.tool_name, now)?;
                Some(ToolFact::Called { call, input })
            }
            // Another output will replace it, so the tool is still running.
            Chunk::ToolOutputAvailable(output) if output.preliminary == Some(true) => None,
            Chunk::ToolOutputAvailable(chunk) => {
                self.ended(&chunk.tool_call_id, ToolEnd::Output, chunk.output.as_ref())
            }
            Chunk::ToolOutputError(chunk) => self.ended(&chunk.tool_call_id, ToolEnd::Failed, None),
            Chunk::ToolInputError(chunk) => self.ended(&chunk.tool_call_id, ToolEnd::Failed, None),
            Chunk::ToolOutputDenied(chunk) => {
                self.ended(&chunk.tool_call_id, ToolEnd::Denied, None)
            }
            _ => None,
        }
    }

    fn called(&mut self, id: &Text<'_>, name: &Text<'_>, now: Instant) -> Option<ToolCall> {
        let id = id.to_string_lossy();
        let is_known = self.open.contains_key(&*id);
        if is_known || self.open.len() == MOST_CALLS || id.len() > LONGEST_ID {
            return None;
        }
        let parent = id.rsplit_once(':').map(|(parent, _)| parent);
        let call = ToolCall {
            name: short(name, LONGEST_NAME),
            parent: parent
                .filter(|parent| self.open.contains_key(*parent))
                .map(str::to_owned),
            begun: now,
            id: id.into_owned(),
        };
        self.open.insert(call.id.clone(), call.clone());
        Some(call)
    }

    fn ended<'c>(
        &mut self,
        id: &Text<'_>,
        end: ToolEnd,
        output: Option<&'c RawJson<'c>>,
    ) -> Option<ToolFact<'c>> {
        let call = self.open.remove(&*id.to_string_lossy())?;
        Some(ToolFact::Ended { call, end, output })
    }

    /// Takes the calls that are still open, newest first. Use it when the run is over or reading stops.
    pub fn take_open_calls(&mut self) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = self.open.drain().map(|(_, call)| call).collect();
        calls.sort_by(|a, b| b.begun.cmp(&a.begun).then_with(|| b.id.cmp(&a.id)));
        calls
    }

    /// Returns the time at which the run was requested.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns the delay of the first chunk, once it has come.
    pub fn time_to_first_chunk(&self) -> Option<Duration> {
        Some(self.first_chunk?.saturating_duration_since(self.begun))
    }

    /// Returns the number of chunks so far.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Returns the id that the stream gave the message, cut to 1 KiB.
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// Returns the usage and cost that the run has reported so far.
    pub fn usage(&self) -> Usage {
        self.reported.usage
    }

    /// Returns `resultSubtype`, the runtime's word for the result, once it was reported.
    pub fn result_subtype(&self) -> Option<&str> {
        self.reported.result_subtype.as_deref()
    }

    /// Returns the end of the run, once its chunks have reported it. It is never [`RunEnd::Lost`].
    pub fn end(&self) -> Option<RunEnd> {
        // A `finish` also follows an error, so the error counts first.
        let has_finished = self.reported.has_finished;
        let finished = || has_finished.then_some(RunEnd::Completed);
        self.reported.end().or_else(finished)
    }
}

/// Shows the progress of the run, without any contents.
impl fmt::Debug for RunFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFacts")
            .field("chunks", &self.chunks)
            .field("open_calls", &self.open.len())
            .field("usage", &self.usage())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// Returns the beginning of a text, at most `most` bytes.
fn short(text: &Text<'_>, most: usize) -> String {
    let mut text = text.to_string_lossy().into_owned();
    text.truncate(char_boundary(&text, most));
    text
}
