//! Faults planted around the real flows, which the judge must find.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use twentyfirst_protocol::flow::{Event, Flow, Now, SendRequest, Sent, Slot, Step};
use twentyfirst_protocol::runs::{Outcome, RunEnd, RunEvent, StartFlow};
use twentyfirst_protocol::ui::chunk::TextDelta;
use twentyfirst_protocol::ui::{Assembler, Chunk, Decoder, UiMessage};

use crate::driver::Follows;

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// After a replay one character is lost, or comes twice.
    OffByOne { twice: bool },
    /// A run is resumed as if no other were streaming.
    ResumeWrongThread,
    /// A run is cancelled as if no other were streaming.
    CancelWrongThread,
    /// Messages whose response is lost are sent again.
    SecondPost,
    /// Chunks that are held because they may be repetitions are delivered when the run is lost.
    Flush,
    /// The stored answer to another turn is taken for ours.
    AnotherTurn,
    /// The flow reports something that is not true.
    Lie(Lie),
}

/// An untrue report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A status that the relay has not reported.
    Status,
    /// A cancelled run is called completed.
    End,
    /// The end is never reported.
    NoEnd,
    /// The message lacks the last chunk.
    Message,
    /// `finish` is delivered twice.
    Finish,
}

/// A fault that skips one character too many, or too few, after a stream was resumed.
pub(crate) struct OffByOne<F> {
    inner: F,
    twice: bool,
    /// Whether the run's stream was resumed, and nothing has come from it yet.
    resumed: bool,
    last: Option<char>,
    assembler: Assembler,
}

impl<F> OffByOne<F> {
    pub(crate) fn new(inner: F, twice: bool) -> Self {
        Self {
            inner,
            twice,
            resumed: false,
            last: None,
            assembler: Assembler::new().lenient(true),
        }
    }

    fn shift(&mut self, chunk: &mut TextDelta<'static>) {
        let text = chunk.delta.to_string_lossy().into_owned();
        if std::mem::take(&mut self.resumed) {
            chunk.delta = match self.last {
                Some(last) if self.twice => format!("{last}{text}").into(),
                _ => text.chars().skip(1).collect::<String>().into(),
            };
        }
        self.last = text.chars().last().or(self.last);
    }
}

impl<F: Flow<Item = RunEvent, Output = Outcome>> Flow for OffByOne<F> {
    type Item = RunEvent;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<RunEvent, Outcome> {
        let mut step = self.inner.poll(now);
        match &mut step {
            Step::Item(RunEvent::Resumed) => self.resumed = true,
            Step::Item(RunEvent::Gap) => self.resumed = false,
            Step::Item(RunEvent::Chunk(chunk)) => {
                if let Chunk::TextDelta(delta) = chunk {
                    self.shift(delta);
                }
                let _ = self.assembler.apply(chunk);
            }
            _ => {}
        }
        step
    }

    fn handle(&mut self, event: Event) {
        self.inner.handle(event);
    }
}

/// Its message is what it delivers, so that only the content reveals it.
impl<F: Follows> Follows for OffByOne<F> {
    fn message(&mut self) -> &UiMessage {
        if self.inner.has_message() {
            self.inner.message()
        } else {
            self.assembler.message()
        }
    }

    fn has_message(&self) -> bool {
        self.inner.has_message()
    }

    fn transition(&self) -> &'static str {
        self.inner.transition()
    }
}

/// A fault that delivers the chunks of the last stream at the end, if none of them was delivered.
pub(crate) struct Flush<F> {
    inner: F,
    decoder: Decoder,
    is_unclear: bool,
    /// The chunks to deliver before the end.
    held: VecDeque<Chunk<'static>>,
    outcome: Option<Outcome>,
    assembler: Assembler,
}

impl<F> Flush<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self {
            inner,
            decoder: Decoder::new(),
            is_unclear: false,
            held: VecDeque::new(),
            outcome: None,
            assembler: Assembler::new().lenient(true),
        }
    }
}

impl<F: Flow<Item = RunEvent, Output = Outcome>> Flow for Flush<F> {
    type Item = RunEvent;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<RunEvent, Outcome> {
        if self.outcome.is_none() {
            match self.inner.poll(now) {
                Step::Item(event) => {
                    match &event {
                        RunEvent::Resumed => self.is_unclear = true,
                        RunEvent::Chunk(chunk) => {
                            self.is_unclear = false;
                            let _ = self.assembler.apply(chunk);
                        }
                        _ => {}
                    }
                    return Step::Item(event);
                }
                Step::Done(outcome) => {
                    let is_lost = matches!(outcome.end, RunEnd::Lost(_));
                    if !(is_lost && self.is_unclear) {
                        self.held.clear();
                    }
                    self.outcome = Some(outcome);
                }
                step => return step,
            }
        }
        match (self.held.pop_front(), &self.outcome) {
            (Some(chunk), _) => {
                let _ = self.assembler.apply(&chunk);
                Step::Item(RunEvent::Chunk(chunk))
            }
            (None, Some(outcome)) => Step::Done(outcome.clone()),
            (None, None) => Step::Wait { until: None },
        }
    }

    fn handle(&mut self, event: Event) {
        match &event {
            Event::Response {
                slot: Slot::Stream, ..
            } => {
                self.decoder = Decoder::new();
                self.held.clear();
            }
            Event::Data(data) => {
                self.decoder.push(data.clone());
                while let Some(chunk) = self.decoder.next_chunk() {
                    let chunk = chunk.ok().map(Chunk::into_owned);
                    self.held
                        .extend(chunk.filter(|chunk| !matches!(chunk, Chunk::Start(_))));
                }
            }
            _ => {}
        }
        self.inner.handle(event);
    }
}

/// Its message is what it delivers, so that only the content reveals it.
impl<F: Follows> Follows for Flush<F> {
    fn message(&mut self) -> &UiMessage {
        match self.outcome {
            Some(_) if self.is_unclear => self.assembler.message(),
            _ => self.inner.message(),
        }
    }

    fn has_message(&self) -> bool {
        self.inner.has_message() && self.held.is_empty()
    }

    fn transition(&self) -> &'static str {
        self.inner.transition()
    }
}

/// A fault that reads every thread as if our turn had the answer of another.
pub(crate) struct AnotherTurn<F> {
    inner: F,
}

impl<F> AnotherTurn<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F: Flow> Flow for AnotherTurn<F> {
    type Item = F::Item;
    type Output = F::Output;

    fn poll(&mut self, now: Now) -> Step<F::Item, F::Output> {
        self.inner.poll(now)
    }

    fn handle(&mut self, mut event: Event) {
        if let Event::Response { body, .. } = &mut event
            && let Ok(mut thread) = serde_json::from_slice::<Value>(body)
            && let Some(messages) = thread.get_mut("messages").and_then(Value::as_array_mut)
        {
            let mut answers: Vec<&mut Value> = messages
                .iter_mut()
                .filter(|message| message["role"] == "assistant" && message["parts"].is_array())
                .collect();
            if let [other, .., ours] = &mut answers[..] {
                ours["parts"] = other["parts"].clone();
                *body = Bytes::from(thread.to_string());
            }
        }
        self.inner.handle(event);
    }
}

impl<F: Follows> Follows for AnotherTurn<F> {
    fn message(&mut self) -> &UiMessage {
        self.inner.message()
    }

    fn has_message(&self) -> bool {
        self.inner.has_message()
    }

    fn transition(&self) -> &'static str {
        self.inner.transition()
    }
}

/// A fault that changes what the flow reports.
pub(crate) struct Liar<F> {
    inner: F,
    lie: Lie,
    /// The last chunk, which the message lacks.
    last: Option<Chunk<'static>>,
    /// The chunk to deliver a second time.
    again: Option<Chunk<'static>>,
    assembler: Assembler,
}

impl<F> Liar<F> {
    pub(crate) fn new(inner: F, lie: Lie) -> Self {
        Self {
            inner,
            lie,
            last: None,
            again: None,
            assembler: Assembler::new().lenient(true),
        }
    }
}

impl<F: Flow<Item = RunEvent, Output = Outcome>> Flow for Liar<F> {
    type Item = RunEvent;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<RunEvent, Outcome> {
        if let Some(chunk) = self.again.take() {
            return Step::Item(RunEvent::Chunk(chunk));
        }
        let mut step = self.inner.poll(now);
        match (&mut step, self.lie) {
            (Step::Item(RunEvent::Asked(status)), Lie::Status) => *status = "paused".into(),
            (Step::Item(RunEvent::Chunk(chunk @ Chunk::Finish(_))), Lie::Finish) => {
                self.again = Some(chunk.clone());
            }
            (Step::Item(RunEvent::Chunk(chunk)), Lie::Message) => {
                if let Some(last) = self.last.replace(chunk.clone()) {
                    let _ = self.assembler.apply(&last);
                }
            }
            (Step::Done(outcome), Lie::End) if matches!(outcome.end, RunEnd::Cancelled) => {
                outcome.end = RunEnd::Completed;
            }
            (Step::Done(_), Lie::NoEnd) => return Step::Wait { until: None },
            _ => {}
        }
        step
    }

    fn handle(&mut self, event: Event) {
        self.inner.handle(event);
    }
}

impl<F: Follows> Follows for Liar<F> {
    fn message(&mut self) -> &UiMessage {
        match self.lie {
            Lie::Message if !self.inner.has_message() => self.assembler.message(),
            _ => self.inner.message(),
        }
    }

    fn has_message(&self) -> bool {
        self.inner.has_message()
    }

    fn transition(&self) -> &'static str {
        self.inner.transition()
    }
}

/// A fault that reads every list of threads as if only ours were streaming.
pub(crate) struct WrongThread<F> {
    inner: F,
    thread_id: String,
}

impl<F> WrongThread<F> {
    pub(crate) fn new(inner: F, thread_id: String) -> Self {
        Self { inner, thread_id }
    }
}

impl<F: Flow> Flow for WrongThread<F> {
    type Item = F::Item;
    type Output = F::Output;

    fn poll(&mut self, now: Now) -> Step<F::Item, F::Output> {
        self.inner.poll(now)
    }

    fn handle(&mut self, mut event: Event) {
        if let Event::Response { body, .. } = &mut event
            && let Ok(Value::Array(mut threads)) = serde_json::from_slice(body)
        {
            for thread in &mut threads {
                if thread["id"] != *self.thread_id {
                    thread["status"] = json!("completed");
                }
            }
            *body = Bytes::from(Value::from(threads).to_string());
        }
        self.inner.handle(event);
    }
}

impl<F: Follows> Follows for WrongThread<F> {
    fn message(&mut self) -> &UiMessage {
        self.inner.message()
    }

    fn has_message(&self) -> bool {
        self.inner.has_message()
    }

    fn transition(&self) -> &'static str {
        self.inner.transition()
    }
}

/// A fault that sends the messages a second time if there is no response.
pub(crate) struct SecondPost {
    inner: StartFlow,
    sent: Option<SendRequest>,
    again: bool,
}

impl SecondPost {
    pub(crate) fn new(inner: StartFlow) -> Self {
        Self {
            inner,
            sent: None,
            again: false,
        }
    }
}

impl Flow for SecondPost {
    type Item = <StartFlow as Flow>::Item;
    type Output = <StartFlow as Flow>::Output;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        if std::mem::take(&mut self.again)
            && let Some(send) = self.sent.take()
        {
            return Step::Send(send);
        }
        let step = self.inner.poll(now);
        if let Step::Send(send) = &step
            && send.slot == Slot::Stream
        {
            self.sent = Some(send.clone());
        }
        step
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Failure(Slot::Stream, failure)
                if failure.sent() == Sent::Maybe && self.sent.is_some() =>
            {
                self.again = true;
            }
            event => self.inner.handle(event),
        }
    }
}
