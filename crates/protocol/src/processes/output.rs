use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::process_ref::tenths;
use super::reply::Reply;
use super::script::Script;
use super::{ExitStatus, ProcessError, ProcessRef, ProcessState};
use crate::error::InvalidRequest;
use crate::flow::{Call, Deadline, Event, ExchangeError, Flow, Now, Step, UnderWay};
use crate::operation::Endpoint;
use crate::options::{CallOptions, Timeouts};

/// The longest wait of a poll in the sandbox for new output.
const HOLD: Duration = Duration::from_secs(20);

/// The pause before the next poll, unless more output is ready.
const PACE: Duration = Duration::from_millis(250);

/// The block size of `dd`.
const BLOCK: u64 = 64 * 1024;

/// The blocks of each output that a poll reads: 1 MiB.
const BLOCKS: u64 = 16;

/// An output of a process.
///
/// Deliberately exhaustive: a process has two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of a process's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputChunk {
    /// The output that it was written to.
    pub stream: OutputStream,
    /// The offset of its first byte in that output.
    pub offset: u64,
    /// The bytes, at least one. A character may be split at their end.
    pub bytes: Bytes,
}

/// The positions up to which the outputs of a process were read, in bytes. Store them to continue later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Offsets {
    /// The offset in standard output; `None` if it is not read.
    pub stdout: Option<u64>,
    /// The offset in standard error; `None` if it is not read.
    pub stderr: Option<u64>,
}

impl Offsets {
    /// The start of both outputs.
    pub const START: Self = Self {
        stdout: Some(0),
        stderr: Some(0),
    };

    /// Returns this offset in standard output, without standard error.
    pub const fn stdout(offset: u64) -> Self {
        Self {
            stdout: Some(offset),
            stderr: None,
        }
    }

    /// Returns this offset in standard error, without standard output.
    pub const fn stderr(offset: u64) -> Self {
        Self {
            stdout: None,
            stderr: Some(offset),
        }
    }

    fn of(&mut self, stream: OutputStream) -> &mut Option<u64> {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }
}

/// The [`Flow`] that reads the output of a process until its end, or only waits for the end. [`ProcessRef::output`] and
/// [`ProcessRef::wait`] create it.
///
/// ```text
///            ┌──── after 250 ms, or at once after a full page ────┐
///            ▼                                                     │
///         Looking ── news, or nothing for 20 s ────────────────────┤
///            └────── ended, and both outputs read to their end ──► done
/// ```
///
/// Holds at most 1 MiB of each output in memory. The order between the two outputs is unknown.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct FollowOutput {
    process: ProcessRef,
    offsets: Offsets,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    hold: Duration,
    chunks: VecDeque<OutputChunk>,
    state: State,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a flow has one state, which changes with each poll in the sandbox"
)]
enum State {
    /// Pauses until this time.
    Pausing(Option<Instant>),
    Looking(Call<Script>),
    /// `None` after the result was returned.
    Done(Option<Result<ExitStatus, ProcessError>>),
}

impl FollowOutput {
    pub(super) fn new(
        process: ProcessRef,
        offsets: Offsets,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let mut flow = Self {
            process,
            offsets,
            options: *options,
            seed,
            // The deadline is for a call, and a process may run for longer than any call.
            deadline: Deadline::none(),
            hold: HOLD,
            chunks: VecDeque::new(),
            state: State::Pausing(None),
        };
        flow.hold = hold(options.timeouts(flow.script().timeouts()));
        // Finds an invalid request before the flow starts.
        flow.look()?;
        Ok(flow)
    }

    pub(super) fn waiting(
        process: ProcessRef,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let nothing = Offsets {
            stdout: None,
            stderr: None,
        };
        let mut flow = Self::new(process, nothing, options, seed)?;
        flow.deadline = Deadline::new(options);
        Ok(flow)
    }

    /// Returns the positions up to which output was read and returned.
    pub fn offsets(&self) -> Offsets {
        let mut offsets = self.offsets;
        // Chunks that were read and not returned yet do not count; the first of each output decides.
        for chunk in self.chunks.iter().rev() {
            *offsets.of(chunk.stream) = Some(chunk.offset);
        }
        offsets
    }

    fn script(&self) -> Script {
        let offset =
            |offset: Option<u64>| offset.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let (stdout, stderr) = (offset(self.offsets.stdout), offset(self.offsets.stderr));
        let (hold, blocks) = (tenths(self.hold), BLOCKS.to_string());
        self.process
            .script("look", &[&hold, &stdout, &stderr, &blocks], self.hold)
    }

    fn look(&self) -> Result<Call<Script>, InvalidRequest> {
        Call::new(self.script(), &self.options, self.seed)
    }

    /// Applies the reply to a poll, and returns the next state.
    fn take(&mut self, reply: &Reply<'_>, now: Now) -> Result<State, ProcessError> {
        let id = &self.process.id;
        let state = reply.state(id)?;
        let mut is_more = false;
        for (stream, word) in [
            (OutputStream::Stdout, "stdout"),
            (OutputStream::Stderr, "stderr"),
        ] {
            let Some(offset) = *self.offsets.of(stream) else {
                continue;
            };
            let bytes = reply.bytes(word)?;
            let length = bytes.len() as u64;
            // The page begins at a block, and the offset lies within that block.
            let full = BLOCKS * BLOCK - offset % BLOCK;
            if length > full {
                return Err(ProcessError::InvalidResponse(
                    "a page is too long".to_owned(),
                ));
            }
            is_more |= length == full;
            if length > 0 {
                *self.offsets.of(stream) = Some(offset.saturating_add(length));
                self.chunks.push_back(OutputChunk {
                    stream,
                    offset,
                    bytes,
                });
            }
        }
        // The end is reported only after all output, so a full page is followed by another look at once.
        if is_more {
            return Ok(State::Pausing(None));
        }
        let id = id.clone();
        Ok(match state {
            ProcessState::Running => State::Pausing(now.mono.checked_add(PACE)),
            ProcessState::Exited(status) => State::Done(Some(Ok(status))),
            // A poll waits while the process is being started, so its start has not finished.
            ProcessState::Starting => State::Done(Some(Err(ProcessError::NotStarted(id)))),
            ProcessState::Gone => State::Done(Some(Err(ProcessError::Gone(id)))),
        })
    }
}

/// Returns the longest wait of a poll. It is half of each of these timeouts at most, so that a poll that only waits does not time
/// out.
fn hold(timeouts: Timeouts) -> Duration {
    let limits = [timeouts.head, timeouts.silence, timeouts.total];
    let limits = limits.into_iter().flatten().map(|limit| limit / 2);
    limits.fold(HOLD, Duration::min)
}

impl Flow for FollowOutput {
    type Item = OutputChunk;
    type Output = Result<ExitStatus, ProcessError>;

    fn poll(&mut self, now: Now) -> Step<OutputChunk, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                return Step::Item(chunk);
            }
            self.state = match &mut self.state {
                State::Pausing(Some(at)) if now.mono < *at => {
                    return Step::Wait {
                        until: deadline.soonest(Some(*at)),
                    };
                }
                State::Pausing(_) => match self.look() {
                    Ok(look) => State::Looking(look),
                    Err(error) => State::Done(Some(Err(ExchangeError::from(error).into()))),
                },
                State::Looking(look) => match look.poll(now, deadline) {
                    Err(step) => return step,
                    Ok(Err(error)) => State::Done(Some(Err(error.into()))),
                    Ok(Ok(output)) => {
                        let reply = Reply::read(&output, &crate::Secrets::default());
                        let state = reply.and_then(|reply| self.take(&reply, now));
                        state.unwrap_or_else(|error| State::Done(Some(Err(error))))
                    }
                },
                State::Done(result) => {
                    return result.take().map_or(Step::Wait { until: None }, Step::Done);
                }
            };
        }
    }

    fn handle(&mut self, event: Event) {
        if let State::Looking(look) = &mut self.state {
            look.handle(event);
        }
    }
}
