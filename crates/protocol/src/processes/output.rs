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

/// How long a look waits in the sandbox for news.
const HOLD: Duration = Duration::from_secs(20);

/// How long it is before the next look, unless there is more to read at once.
const PACE: Duration = Duration::from_millis(250);

/// What `dd` reads at a time.
const BLOCK: u64 = 64 * 1024;

/// How many blocks of each output a look reads: 1 MiB.
const BLOCKS: u64 = 16;

/// Which output of a process.
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

/// A piece of what a process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputChunk {
    /// Where it was written to.
    pub stream: OutputStream,
    /// Where in that stream it begins, in bytes.
    pub offset: u64,
    /// The bytes, at least one. A character may be cut at their end.
    pub bytes: Bytes,
}

/// Up to where the outputs of a process were read, in bytes: what to store to go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Offsets {
    /// In standard output; `None` if it is not read.
    pub stdout: Option<u64>,
    /// In standard error; `None` if it is not read.
    pub stderr: Option<u64>,
}

impl Offsets {
    /// Both outputs from their start.
    pub const START: Self = Self {
        stdout: Some(0),
        stderr: Some(0),
    };

    /// Standard output from this offset, and no standard error.
    pub const fn stdout(offset: u64) -> Self {
        Self {
            stdout: Some(offset),
            stderr: None,
        }
    }

    /// Standard error from this offset, and no standard output.
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

/// The [`Flow`] that reads what a process writes until its end, or just waits for that: [`ProcessRef::output`] and
/// [`ProcessRef::wait`] make it.
///
/// ```text
///            ┌──── after 250 ms, or at once behind a full page ────┐
///            ▼                                                     │
///         Looking ── news, or nothing for 20 s ────────────────────┤
///            └────── ended, and both outputs read to their end ──► done
/// ```
///
/// Each output holds at most 1 MiB in memory. Of the order in which a process wrote to both nothing is known.
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
    reason = "there is one, and it changes once a look"
)]
enum State {
    /// To look at this moment.
    Pausing(Option<Instant>),
    Looking(Call<Script>),
    /// `None` once it was told.
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
            // The deadline is that of a call, and this goes on for as long as the process does.
            deadline: Deadline::none(),
            hold: HOLD,
            chunks: VecDeque::new(),
            state: State::Pausing(None),
        };
        flow.hold = hold(options.timeouts(flow.script().timeouts()));
        // What cannot be asked is found out now.
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

    /// Returns up to where it was read, and handed out.
    pub fn offsets(&self) -> Offsets {
        let mut offsets = self.offsets;
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

    /// Takes what a look has found: the next state.
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
            // The first of the blocks is the one in which the offset lies.
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
        if is_more {
            return Ok(State::Pausing(None));
        }
        let id = id.clone();
        Ok(match state {
            ProcessState::Running => State::Pausing(now.mono.checked_add(PACE)),
            ProcessState::Exited(status) => State::Done(Some(Ok(status))),
            // A look waits for it to be started.
            ProcessState::Starting => State::Done(Some(Err(ProcessError::NotStarted(id)))),
            ProcessState::Gone => State::Done(Some(Err(ProcessError::Gone(id)))),
        })
    }
}

/// How long a look may wait within these timeouts: half of them, since a wait is no failure.
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
