//! The run of a relay, and its thread.

use std::time::Duration;

use serde_json::{Value, json};
use twentyfirst_protocol::flow::Event;
use twentyfirst_protocol::runs::RunRef;
use twentyfirst_protocol::threads::StoredMessage;
use twentyfirst_protocol::ui::{Assembler, Chunk, UiMessage};
use twentyfirst_protocol::{SandboxId, ThreadId};

use super::{End, Relay};
use crate::lines::line;

impl Relay {
    pub(crate) fn run_ref(&self) -> RunRef {
        let ids = (
            SandboxId::new("sb_1").unwrap(),
            ThreadId::new("th_1").unwrap(),
        );
        let run = RunRef::new("my-agent", ids.0, ids.1);
        match self.turn {
            Some(turn) => run.user_message_id(turn),
            None => run,
        }
    }

    /// Cancels the run now, unless it is over.
    pub(crate) fn cancel_now(&mut self) {
        if self.end_at().is_some_and(|end| end <= self.now) {
            return;
        }
        self.status = None;
        self.end = End::WasCancelled;
        let now = self.now;
        self.run.retain(|(at, _)| *at <= now);
        let was_open = !self.stream.is_empty();
        self.stream.retain(|(at, _)| *at <= now);
        if was_open {
            self.stream.push_back((now, line::done()));
            self.stream.push_back((now, Event::End));
        }
    }

    /// Deletes the sandbox.
    pub(crate) fn delete_sandbox(&mut self) {
        self.is_deleted = true;
    }

    /// Completes the run, with this answer stored.
    pub(crate) fn complete_with(&mut self, answer: Value) {
        self.status = Some("completed");
        self.messages = Some(json!([line::question("u1"), answer]));
    }

    /// Returns the time at which the run ends, if it does.
    pub(crate) fn end_at(&self) -> Option<Duration> {
        match self.end {
            End::Dies => None,
            End::WasCancelled => Some(Duration::ZERO),
            _ => self.run.last().map(|(at, _)| *at),
        }
    }

    /// Returns the answer as it is stored once the run has completed.
    pub(crate) fn answer(&self) -> Value {
        if let Some(stored) = &self.stored {
            return stored.clone();
        }
        let start = json!({"type": "start", "messageId": "m1"});
        let mut assembler = Assembler::new();
        for chunk in std::iter::once(&start).chain(self.run.iter().map(|(_, chunk)| chunk)) {
            let json = chunk.to_string();
            let _ = assembler.apply(&Chunk::decode(&json).unwrap()).unwrap();
        }
        serde_json::to_value(assembler.into_message()).unwrap()
    }

    pub(crate) fn stored_answer(&self) -> UiMessage {
        match serde_json::from_value(self.answer()).unwrap() {
            StoredMessage::Ui(message) => message,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn thread(&self) -> Value {
        let is_over = self.end_at().is_some_and(|end| end <= self.now);
        let mut messages = self.history.clone();
        let (status, error) = match &self.end {
            _ if !is_over => ("streaming", None),
            End::Completes => {
                messages.extend([line::question("u1"), self.answer()]);
                ("completed", None)
            }
            End::Fails(text) | End::IsNotStored(text) => ("error", Some(*text)),
            End::WasCancelled => ("cancelled", None),
            End::Dies => ("streaming", None),
        };
        let messages = match messages.is_empty() {
            true => Value::Null,
            false => messages.into(),
        };
        json!({
            "id": "th_1",
            "status": self.status.unwrap_or(status),
            "error": error,
            "usage": self.usage,
            "messages": self.messages.clone().unwrap_or(messages),
        })
    }

    pub(crate) fn thread_status(&self) -> String {
        self.thread()["status"].as_str().unwrap().to_owned()
    }
}
