//! The events of a run that is followed.

use std::time::Duration;

use serde_json::Value;
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::drive::next;
use twentyfirst_protocol::runs::{
    FollowFlow, FollowPolicy, FollowRun, LostReason, MessageState, Outcome, RunEnd, RunEvent,
};
use twentyfirst_protocol::threads::ThreadStatus;
use twentyfirst_protocol::ui::{Chunk, UiMessage};

use crate::relay::Relay;

/// A flow that follows a run at its relay.
pub(crate) struct Reader {
    pub(crate) relay: Relay,
    flow: FollowFlow,
    events: Vec<(Duration, RunEvent)>,
    /// The failure among the chunks that were delivered elsewhere.
    failure: Option<String>,
    /// The message at the time it was called whole.
    whole: Option<UiMessage>,
}

/// A run that was followed to its end: its events and its outcome.
pub(crate) struct Followed {
    pub(crate) relay: Relay,
    pub(crate) events: Vec<(Duration, RunEvent)>,
    pub(crate) outcome: Outcome,
    pub(crate) message: UiMessage,
    pub(crate) transition: &'static str,
    /// Whether the message exceeded its limit.
    pub(crate) too_large: bool,
}

impl Relay {
    fn following(&self, follow: FollowPolicy) -> CallOptions {
        self.options.follow(follow)
    }

    /// Creates a reader that reads the run from its beginning.
    pub(crate) fn reader(mut self, follow: FollowPolicy) -> Reader {
        self.open_first();
        let run = self.run_ref().follow();
        let flow = run.read(&self.following(follow), 7).unwrap();
        Reader::new(self, flow)
    }

    /// Reads the run from its beginning to its end.
    pub(crate) fn read(self, follow: FollowPolicy) -> Followed {
        self.reader(follow).read()
    }

    /// Follows a run that was started elsewhere, after these chunks of it.
    pub(crate) fn join_after(self, chunks: Vec<Chunk<'static>>, follow: FollowPolicy) -> Followed {
        let failure = chunks.iter().find_map(failure_of);
        let run = FollowRun::new(self.run_ref()).after(chunks);
        let flow = run.join(&self.following(follow), 7).unwrap();
        let reader = Reader::new(self, flow);
        Reader { failure, ..reader }.read()
    }

    /// Follows a run that was started elsewhere and is read there.
    pub(crate) fn join(mut self, follow: FollowPolicy) -> Followed {
        // The first stream belongs to the other reader.
        self.open_first();
        self.give_stream_away();
        self.join_after(Vec::new(), follow)
    }
}

fn failure_of(chunk: &Chunk<'_>) -> Option<String> {
    match chunk {
        Chunk::Error(error) => Some(error.error_text.to_string_lossy().into_owned()),
        _ => None,
    }
}

impl Reader {
    fn new(relay: Relay, flow: FollowFlow) -> Self {
        Self {
            relay,
            flow,
            events: Vec::new(),
            failure: None,
            whole: None,
        }
    }

    /// Takes the next event, or the outcome at the end.
    fn next(&mut self) -> Option<Outcome> {
        let ended = match next(&mut self.flow, &mut self.relay) {
            Ok(event) => {
                self.events.push((self.relay.now, event));
                None
            }
            Err(outcome) => Some(outcome),
        };
        // A whole message must not change.
        if self.flow.has_message() {
            let message = self.flow.message();
            match &self.whole {
                Some(whole) => assert_eq!(message, whole, "a whole message has changed"),
                None => self.whole = Some(message.clone()),
            }
        }
        ended
    }

    /// Reads until this time.
    pub(crate) fn read_until(&mut self, at: Duration) {
        while self.relay.now < at {
            assert!(self.next().is_none(), "the run ended too early");
        }
    }

    pub(crate) fn has_message(&self) -> bool {
        self.flow.has_message()
    }

    /// Reads to the end.
    pub(crate) fn read(mut self) -> Followed {
        let outcome = loop {
            assert!(self.events.len() < 10_000, "the run does not end");
            if let Some(outcome) = self.next() {
                break outcome;
            }
        };
        assert!(!self.relay.has_open_stream, "a stream was left open");
        let failure = self.events.iter().find_map(|(_, event)| match event {
            RunEvent::Chunk(chunk) => failure_of(chunk),
            _ => None,
        });
        let failure = self.failure.or(failure);
        assert_eq!(self.flow.failure(), failure.as_deref());
        Followed {
            message: self.flow.message().clone(),
            transition: self.flow.transition(),
            too_large: self.flow.too_large().is_some(),
            relay: self.relay,
            events: self.events,
            outcome,
        }
    }
}

impl Followed {
    /// Returns the deltas of all texts, concatenated.
    pub(crate) fn text(&self) -> String {
        self.pieces().concat()
    }

    /// Returns the text between the gaps.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for (_, event) in &self.events {
            match event {
                RunEvent::Chunk(Chunk::TextDelta(delta)) => {
                    let piece = pieces.last_mut().unwrap();
                    piece.push_str(&delta.delta.to_string_lossy());
                }
                RunEvent::Gap => pieces.push(String::new()),
                _ => {}
            }
        }
        pieces
    }

    /// Returns the ids of its texts: a text that was continued has one.
    pub(crate) fn text_ids(&self) -> Vec<String> {
        let deltas = self.events.iter().filter_map(|(_, event)| match event {
            RunEvent::Chunk(Chunk::TextDelta(delta)) => {
                Some(delta.id.to_string_lossy().into_owned())
            }
            _ => None,
        });
        let mut ids: Vec<_> = deltas.collect();
        ids.dedup();
        ids
    }

    /// Returns the types of the chunks.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kinds = self.events.iter().filter_map(|(_, event)| match event {
            RunEvent::Chunk(chunk) => Some(chunk.kind().into_string_lossy()),
            _ => None,
        });
        kinds.collect()
    }

    /// Returns the chunks, as JSON.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Value> {
        self.events.iter().filter_map(|(_, event)| match event {
            RunEvent::Chunk(chunk) => Some(serde_json::from_str(&chunk.encode()).unwrap()),
            _ => None,
        })
    }

    /// Returns the kinds of events without the queries; equal kinds in a row are listed once.
    pub(crate) fn outline(&self) -> String {
        let events = self.events.iter().map(|(_, event)| name(event));
        let mut events: Vec<&str> = events.filter(|name| *name != "asked").collect();
        events.dedup();
        events.join(", ")
    }

    pub(crate) fn asked(&self, status: &ThreadStatus) -> usize {
        let asked = |event: &&(Duration, RunEvent)| matches!(&event.1, RunEvent::Asked(asked) if asked == status);
        self.events.iter().filter(asked).count()
    }

    /// Checks that everything delivered belongs to the story, in order and without repetition, and that gaps mark what is
    /// missing.
    pub(crate) fn assert_of(&self, story: &str) {
        let pieces = self.pieces();
        let mut rest = story;
        for (number, piece) in pieces.iter().enumerate() {
            let at = rest.find(piece.as_str());
            let is_there = match number {
                0 => at == Some(0),
                _ => at.is_some(),
            };
            assert!(is_there, "{piece:?} is not where it should be: {pieces:#?}");
            rest = &rest[at.unwrap() + piece.len()..];
        }
        let kinds = self.kinds();
        let starts = kinds.iter().filter(|kind| *kind == "start").count();
        assert!(starts <= 1, "the message began anew: {kinds:#?}");
    }

    /// Checks that the run has completed and that its message is the whole stored one.
    pub(crate) fn assert_whole(&self) {
        self.assert_completed(MessageState::Whole);
        assert!(self.outcome.is_success());
        assert_eq!(self.outcome.result_subtype.as_deref(), Some("success"));
        assert_eq!(self.message, self.relay.stored_answer());
    }

    pub(crate) fn assert_completed(&self, state: MessageState) {
        let outcome = &self.outcome;
        assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
        assert_eq!(outcome.message_state, state, "{}", self.transition);
    }

    /// Checks that the run is lost for this reason, and that the delivered part is kept.
    pub(crate) fn assert_lost(&self, reason: LostReason) {
        match &self.outcome.end {
            RunEnd::Lost(lost) => assert_eq!(lost.reason, reason),
            other => panic!("it is not lost: {other:?}"),
        }
        assert_eq!(self.message.text(), self.text());
    }

    pub(crate) fn assert_cancelled(&self) {
        let outcome = &self.outcome;
        assert!(matches!(outcome.end, RunEnd::Cancelled), "{outcome:?}");
        assert_eq!(outcome.message_state, MessageState::Partial);
        assert!(!outcome.is_success());
        assert_eq!(self.message.text(), self.text(), "what came stays");
    }

    /// Returns the reason for the failure.
    pub(crate) fn failure(&self) -> &str {
        assert_eq!(self.outcome.message_state, MessageState::Partial);
        assert!(!self.outcome.is_success());
        match &self.outcome.end {
            RunEnd::Failed(text) => text,
            other => panic!("it has not failed: {other:?}"),
        }
    }
}

fn name(event: &RunEvent) -> &'static str {
    match event {
        RunEvent::Chunk(Chunk::Start(_)) => "start",
        RunEvent::Chunk(Chunk::Finish(_)) => "finish",
        RunEvent::Chunk(Chunk::Error(_)) => "error",
        RunEvent::Chunk(_) => "chunks",
        RunEvent::NotAChunk(_) => "not a chunk",
        RunEvent::Cut(Some(_)) => "cut",
        RunEvent::Cut(None) => "ended",
        RunEvent::Asked(_) => "asked",
        RunEvent::Resumed => "resumed",
        RunEvent::Gap => "gap",
        other => panic!("{other:?}"),
    }
}
