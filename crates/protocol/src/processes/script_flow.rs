use std::convert::Infallible;
use std::fmt;

use super::ProcessError;
use super::reply::Reply;
use super::script::Script;
use crate::error::InvalidRequest;
use crate::flow::{Call, Deadline, Event, Flow, Now, Step, UnderWay};
use crate::operation::Endpoint;
use crate::options::CallOptions;

type Read<T> = Box<dyn Fn(&Reply<'_>) -> Result<T, ProcessError> + Send + Sync>;

/// The [`Flow`] that runs one function of the script and reads its output.
#[must_use = "a flow does nothing until it is driven"]
pub struct ScriptFlow<T> {
    call: Call<Script>,
    secrets: crate::Secrets,
    deadline: Deadline,
    read: Read<T>,
}

impl<T> ScriptFlow<T> {
    pub(super) fn new(
        script: Script,
        options: &CallOptions,
        seed: u64,
        read: impl Fn(&Reply<'_>) -> Result<T, ProcessError> + Send + Sync + 'static,
    ) -> Result<Self, InvalidRequest> {
        Ok(Self {
            secrets: script.secrets(),
            call: Call::new(script, options, seed)?,
            deadline: Deadline::new(options),
            read: Box::new(read),
        })
    }
}

impl<T> Flow for ScriptFlow<T> {
    type Item = Infallible;
    type Output = Result<T, ProcessError>;

    fn poll(&mut self, now: Now) -> Step<Infallible, Self::Output> {
        let deadline = self.deadline.begin(now);
        match self.call.poll(now, deadline) {
            Err(step) => step,
            Ok(Err(error)) => Step::Done(Err(error.into())),
            Ok(Ok(output)) => {
                let reply = Reply::read(&output, &self.secrets);
                Step::Done(reply.and_then(|reply| (self.read)(&reply)))
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.call.handle(event);
    }
}

impl<T> fmt::Debug for ScriptFlow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptFlow")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
