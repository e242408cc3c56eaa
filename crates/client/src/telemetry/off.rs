//! Stands in for the module `telemetry` without the features `tracing` and `metrics`: it reports and keeps nothing.

use std::time::Instant;

use twentyfirst_protocol::Route;
use twentyfirst_protocol::runs::{Outcome, RunEvent, RunRef, StartRun, Started};
use twentyfirst_transport::Body;

use crate::client::AgentClient;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Watch;

impl Watch {
    pub(crate) fn start(_: &AgentClient, _: &StartRun) -> Self {
        Self
    }

    pub(crate) fn follow(_: &AgentClient, _: &RunRef) -> Self {
        Self
    }

    pub(crate) fn none(_: &AgentClient, _: &RunRef) -> Self {
        Self
    }

    pub(crate) fn around<T>(&self, call: impl Future<Output = T>) -> impl Future<Output = T> {
        call
    }

    pub(crate) fn in_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        call()
    }

    pub(crate) fn started(&mut self, _: &Started) {}

    pub(crate) fn not_started(self, _: &Error) {}

    pub(crate) fn event(&mut self, _: &RunEvent) {}

    pub(crate) fn bytes(&mut self, _: u64) {}

    pub(crate) fn ended(&mut self, _: &Outcome) {}

    pub(crate) fn hand_over(&mut self) {}

    pub(crate) fn asked_by(&self, _: &Asker) {}

    pub(crate) fn over(self, body: Body) -> Body {
        body
    }
}

pub(crate) struct Asker;

impl Asker {
    pub(crate) fn current() -> Self {
        Self
    }
}

pub(crate) struct Lag;

impl Lag {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn read(&mut self, _: impl FnOnce() -> Instant) {}

    pub(crate) fn append(&mut self) {}

    pub(crate) fn appended(&mut self, _: bool, _: Instant) {}
}

pub(crate) fn handed_over() {}

pub(crate) fn attempt(_: Option<&Route>, _: u32) {}
