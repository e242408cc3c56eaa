use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::reply::Reply;
use super::{ProcessError, ProcessRef, ProcessState};
use crate::error::InvalidRequest;
use crate::flow::{Call, Deadline, Event, Flow, Now, Step, UnderWay};
use crate::options::CallOptions;

use super::script::Script;

/// The bytes written at once. Their base64 has to fit into the text of a command: Linux accepts 128 KiB.
const PIECE: usize = 64 * 1024;

/// The [`Flow`] that writes to the standard input of a process, or closes it. [`ProcessRef::write_stdin`] creates it.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct WriteStdin {
    process: ProcessRef,
    rest: Bytes,
    is_closing: bool,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    /// The number of pieces begun.
    number: u32,
    /// `None` if nothing is left.
    call: Option<Call<Script>>,
}

impl WriteStdin {
    pub(super) fn new(
        process: ProcessRef,
        input: Bytes,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let mut write = Self {
            process,
            rest: input,
            is_closing: false,
            options: *options,
            seed,
            deadline: Deadline::new(options),
            number: 0,
            call: None,
        };
        write.call = write.next_piece()?;
        Ok(write)
    }

    pub(super) fn closing(
        process: ProcessRef,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let mut write = Self::new(process, Bytes::new(), options, seed)?;
        write.is_closing = true;
        write.call = Some(write.call("close", "")?);
        Ok(write)
    }

    fn next_piece(&mut self) -> Result<Option<Call<Script>>, InvalidRequest> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.number += 1;
        self.call("data", &BASE64_STANDARD.encode(piece)).map(Some)
    }

    /// Creates the call for a piece. The nonce identifies the piece, so a retry does not write it twice.
    fn call(&self, kind: &str, data: &str) -> Result<Call<Script>, InvalidRequest> {
        let nonce = format!("{:016x}-{}", self.seed, self.number);
        let script = self
            .process
            .script("write", &[&nonce, kind, data], Duration::ZERO);
        Call::new(script, &self.options, self.seed)
    }

    fn check(&self, reply: &Reply<'_>) -> Result<(), ProcessError> {
        let id = &self.process.id;
        match (reply.state(id)?, reply.get("input")) {
            (_, Some("closed")) if self.is_closing => Ok(()),
            (_, Some("closed")) => Err(ProcessError::StdinClosed(id.clone())),
            (ProcessState::Starting, _) => Err(ProcessError::NotStarted(id.clone())),
            (_, Some(_)) => Err(ProcessError::NoStdin(id.clone())),
            (ProcessState::Running, None) => Ok(()),
            (ProcessState::Exited(_), None) if self.is_closing => Ok(()),
            (ProcessState::Exited(_), None) => Err(ProcessError::Ended(id.clone())),
            (ProcessState::Gone, None) => Err(ProcessError::Gone(id.clone())),
        }
    }
}

impl Flow for WriteStdin {
    type Item = Infallible;
    type Output = Result<(), ProcessError>;

    fn poll(&mut self, now: Now) -> Step<Infallible, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            let Some(call) = &mut self.call else {
                return Step::Done(Ok(()));
            };
            let output = match call.poll(now, deadline) {
                Err(step) => return step,
                Ok(Err(error)) => return Step::Done(Err(error.into())),
                Ok(Ok(output)) => output,
            };
            let reply = Reply::read(&output, &crate::Secrets::default());
            if let Err(error) = reply.and_then(|reply| self.check(&reply)) {
                return Step::Done(Err(error));
            }
            match self.next_piece() {
                Ok(call) => self.call = call,
                Err(error) => {
                    let error = crate::flow::ExchangeError::from(error);
                    return Step::Done(Err(error.into()));
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(call) = &mut self.call {
            call.handle(event);
        }
    }
}
