use std::sync::Arc;

use super::Following;
use super::identity::Reader;
use crate::flow::{Event, Failure};
use crate::runs::RunEvent;
use crate::runs::transcript::{Replay, Sight, Transcript};
use crate::ui::{Chunk, Decoder, Joiner, Text};

/// How much of a stream is kept in bytes until it is clear that it is one of our run.
const LONGEST_UNVERIFIED: usize = 16 * 1024 * 1024;

/// A stream of the run that is open, from its bytes to what is delivered.
#[derive(Debug)]
pub(super) struct Stream {
    decoder: Decoder,
    joiner: Joiner,
    /// As who we read it. The first has everything from the beginning.
    pub(super) reader: Reader,
    /// Of any other: what it has to do with what was delivered, until it is known to have joined in the middle.
    replay: Option<Box<Replay>>,
    /// The id that it gave the answer.
    id: Option<Text<'static>>,
    /// Whether something was missing already when it was opened.
    is_behind_gap: bool,
    /// How many bytes have come before it was known to be ours.
    unverified: usize,
    /// Whether it was opened, or bytes have come, since this was last taken.
    heard: bool,
    /// The body has ended, or broke off.
    pub(super) end: Option<Option<Failure>>,
}

/// What decoding has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    /// Something is to be handed out, or there is nothing more to decode yet.
    All,
    /// The stream repeats what cannot be told apart from what is new.
    Useless,
}

impl Stream {
    /// The stream with which the run was started.
    pub(super) fn first() -> Self {
        Self {
            decoder: Decoder::new(),
            joiner: Joiner::new(),
            reader: Reader::First,
            replay: None,
            id: None,
            is_behind_gap: false,
            unverified: 0,
            heard: true,
            end: None,
        }
    }

    /// A stream that was opened later: it may replay the run from its beginning, or join it in the middle.
    pub(super) fn another(delivered: &Transcript) -> Self {
        Self {
            reader: Reader::Later,
            replay: Some(Box::new(Replay::new(delivered.tracks()))),
            is_behind_gap: delivered.has_gap(),
            ..Self::first()
        }
    }

    /// Gives it to another phase.
    pub(super) fn hand_over(&mut self) -> Self {
        std::mem::replace(self, Self::first())
    }

    /// Takes what has come of it. While it is not verified only so many bytes are kept.
    pub(super) fn handle(&mut self, event: Event, is_verified: bool) {
        match event {
            Event::Data(data) => {
                self.heard = true;
                if !is_verified {
                    self.unverified = self.unverified.saturating_add(data.len());
                }
                if !self.is_too_long() {
                    self.decoder.push(data);
                }
            }
            Event::End => self.end = Some(None),
            Event::Failure(_, failure) => self.end = Some(Some(failure)),
            Event::Response { .. } => {}
        }
    }

    /// Whether more has come before it was verified than is kept.
    pub(super) fn is_too_long(&self) -> bool {
        self.unverified > LONGEST_UNVERIFIED
    }

    /// Whether bytes have come since this was last asked.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether `[DONE]` has come.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Decodes what has come, until there is something to hand out.
    pub(super) fn decode(&mut self, cx: &mut Following) -> Decoded {
        while !cx.transcript.has_news() {
            match self.decoder.next_chunk() {
                None => break,
                Some(Ok(chunk)) => {
                    for chunk in self.joiner.push(chunk.into_owned()) {
                        if self.take(chunk, cx) == Decoded::Useless {
                            return Decoded::Useless;
                        }
                    }
                }
                Some(Err(error)) if error.is_fatal() => {
                    cx.cause = Some(Arc::new(error));
                    self.end = Some(None);
                    break;
                }
                // What it was is not known, only that it is missing.
                Some(Err(error)) => {
                    cx.transcript.say(RunEvent::NotAChunk(error));
                    if self.is_unclear() {
                        return Decoded::Useless;
                    }
                    cx.transcript.gap();
                }
            }
        }
        Decoded::All
    }

    /// Delivers the halves of characters whose other halves will not come. Nothing is delivered of a stream of which it is not
    /// clear whether it repeats what was delivered: what is held back of it may all have been there before.
    pub(super) fn finish(&mut self, cx: &mut Following) {
        if self.is_unclear() {
            return;
        }
        for chunk in self.joiner.finish() {
            self.take(chunk, cx);
        }
    }

    /// Whether it is not clear yet whether it replays what was delivered.
    fn is_unclear(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| !replay.is_one())
    }

    fn take(&mut self, chunk: Chunk<'static>, cx: &mut Following) -> Decoded {
        if let Chunk::Start(start) = &chunk {
            self.id.clone_from(&start.message_id);
            cx.identity.named(start.message_id.as_ref(), self.reader);
            // Delivered a second time, `start` would begin the message anew.
            if self.reader == Reader::First || !cx.transcript.said.has_started {
                cx.transcript.deliver(chunk);
            }
            return Decoded::All;
        }
        let Some(replay) = &mut self.replay else {
            cx.transcript.deliver(chunk);
            return Decoded::All;
        };
        match replay.push(chunk, cx.transcript.tracks(), cx.transcript.room()) {
            Sight::Unclear => {}
            // What stood in the gap cannot be told from what comes behind what was delivered.
            Sight::New(_) | Sight::NewPerhaps(_) if self.is_behind_gap => return Decoded::Useless,
            Sight::Useless => return Decoded::Useless,
            Sight::New(chunks) => cx.transcript.deliver_all(chunks),
            Sight::NewPerhaps(chunks) => {
                self.replay = None;
                cx.transcript.gap();
                cx.transcript.deliver_all(chunks);
            }
            Sight::Joined(chunks) => {
                self.replay = None;
                cx.transcript.joins(self.id.as_ref());
                cx.transcript.deliver_all(chunks);
            }
        }
        Decoded::All
    }
}
