//! A relay in one function: it runs commands, with a clock of its own.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use twentyfirst_protocol::flow::drive::{BlockingIo, Io};
use twentyfirst_protocol::flow::{Event, Failure, Now, SendRequest, Sent, Slot};
use twentyfirst_protocol::processes::{ProcessId, ProcessRef};
use twentyfirst_protocol::sandboxes::{Exec, ExecOutput};
use twentyfirst_protocol::{Endpoint, SandboxId, http};

/// The result of a command.
pub(crate) enum CommandResult {
    Output(ExecOutput),
    Cut,
}

pub(crate) struct Relay<F> {
    now: Now,
    run: F,
    came: Option<Event>,
}

impl<F: FnMut(Exec, Instant) -> CommandResult> Relay<F> {
    pub(crate) fn new(run: F) -> Self {
        Self {
            now: Now {
                mono: Instant::now(),
                wall: SystemTime::now(),
            },
            run,
            came: None,
        }
    }
}

impl<F: FnMut(Exec, Instant) -> CommandResult> Io for Relay<F> {
    fn send(&mut self, send: SendRequest) {
        let exec = Exec::from_request(&send.request).unwrap();
        self.came = Some(match (self.run)(exec, self.now.mono) {
            CommandResult::Output(output) => {
                let (mut head, ()) = http::Response::new(()).into_parts();
                head.status = StatusCode::OK;
                let body = Bytes::from(serde_json::to_vec(&output).unwrap());
                Event::Response {
                    slot: send.slot,
                    head,
                    body,
                }
            }
            CommandResult::Cut => {
                let cut = Failure::new(Sent::Maybe, std::io::Error::other("cut"));
                Event::Failure(send.slot, cut)
            }
        });
        self.now.mono += Duration::from_millis(10);
    }

    fn close(&mut self, _: Slot) {
        self.came = None;
    }
}

impl<F: FnMut(Exec, Instant) -> CommandResult> BlockingIo for Relay<F> {
    fn now(&mut self) -> Now {
        self.now
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        if self.came.is_none() {
            self.now.mono = until.expect("it waits for nothing");
        }
        self.came.take()
    }
}

pub(crate) fn sandbox() -> SandboxId {
    SandboxId::new("sbx_1").unwrap()
}

pub(crate) fn process(id: &str) -> ProcessRef {
    ProcessRef::new(sandbox(), ProcessId::new(id).unwrap())
}

/// Returns the words after the script in a command: the function and its arguments, which contain no quote.
pub(crate) fn words(exec: &Exec) -> Vec<&str> {
    let (_, words) = exec.command.rsplit_once("\n' ").unwrap();
    words
        .split(' ')
        .map(|word| word.trim_matches('\''))
        .collect()
}
