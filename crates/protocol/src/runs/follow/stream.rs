use std::sync::Arc;

use super::Following;
use super::identity::Reader;
use crate::flow::{Event, Failure};
use crate::runs::RunEvent;
use crate::runs::transcript::{Replay, Sight, Transcript};
use crate::ui::{Chunk, Decoder, Joiner, Text};

/// The most bytes of a stream that are kept until it is known to belong to our run.
const LONGEST_UNVERIFIED: usize = 16 * 1024 * 1024;

/// An open stream of the run, from its bytes to what is delivered.
#[derive(Debug)]
pub(super) struct Stream {
    decoder: Decoder,
    joiner: Joiner,
    /// Our role as its reader. The first reader gets everything from the beginning.
    pub(super) reader: Reader,
    /// The comparison with what was delivered, until the stream is known to have joined in the middle. Only for later streams.
    replay: Option<Box<Replay>>,
    /// The id that the stream gave the answer.
    id: Option<Text<'static>>,
    /// Whether there already was a gap when it was opened.
    is_behind_gap: bool,
    /// The number of bytes that arrived before it was known to belong to our run.
    unverified: usize,
    /// Whether it was opened, or bytes have arrived, since this was last taken.
    heard: bool,
    /// The end of the body, with its failure if it broke off.
    pub(super) end: Option<Option<Failure>>,
}

/// The result of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    /// There is an event to yield, or nothing more to decode yet.
    All,
    /// The stream repeats chunks that cannot be told from new ones.
    Useless,
}

impl Stream {
    /// Creates the stream with which the run was started.
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

    /// Creates a stream that was opened later: it may replay the run from its beginning, or join it in the middle.
    pub(super) fn another(delivered: &Transcript) -> Self {
        Self {
            reader: Reader::Later,
            replay: Some(Box::new(Replay::new(delivered.tracks()))),
            is_behind_gap: delivered.has_gap(),
            ..Self::first()
        }
    }

    /// Moves the stream to another phase.
    pub(super) fn hand_over(&mut self) -> Self {
        // The phase that owned it is replaced next, so what is left behind is never read.
        std::mem::replace(self, Self::first())
    }

    /// Handles an event of the stream. Before it is verified, only a limited number of bytes is kept.
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

    /// Returns whether more bytes arrived before verification than are kept.
    pub(super) fn is_too_long(&self) -> bool {
        self.unverified > LONGEST_UNVERIFIED
    }

    /// Returns whether bytes have arrived since the last call.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Returns whether `[DONE]` has come.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Decodes what has arrived until there is an event to yield.
    pub(super) fn decode(&mut self, cx: &mut Following) -> Decoded {
        // One event at a time, so that decoded chunks do not pile up in memory.
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
                // Nothing after this can be decoded, so the stream counts as cut here.
                Some(Err(error)) if error.is_fatal() => {
                    cx.cause = Some(Arc::new(error));
                    self.end = Some(None);
                    break;
                }
                // The content of the event is unknown; it counts as missing.
                Some(Err(error)) => {
                    cx.transcript.emit(RunEvent::NotAChunk(error));
                    if self.is_unclear() {
                        return Decoded::Useless;
                    }
                    cx.transcript.gap();
                }
            }
        }
        Decoded::All
    }

    /// Delivers the halves of characters whose other halves will not come. If it is unclear whether the stream repeats what was
    /// delivered, nothing is delivered, since all of it may be a repetition.
    pub(super) fn finish(&mut self, cx: &mut Following) {
        if self.is_unclear() {
            return;
        }
        for chunk in self.joiner.finish() {
            self.take(chunk, cx);
        }
    }

    /// Returns whether it is still unclear if the stream replays what was delivered.
    fn is_unclear(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| !replay.is_one())
    }

    fn take(&mut self, chunk: Chunk<'static>, cx: &mut Following) -> Decoded {
        if let Chunk::Start(start) = &chunk {
            // Each reader gets an id of its own, and the stored answer has the id of the reader that stored it.
            self.id.clone_from(&start.message_id);
            cx.identity.named(start.message_id.as_ref(), self.reader);
            // A second `start` would begin the message anew.
            if self.reader == Reader::First || !cx.transcript.reported.has_started {
                cx.transcript.deliver(chunk);
            }
            return Decoded::All;
        }
        let Some(replay) = &mut self.replay else {
            cx.transcript.deliver(chunk);
            return Decoded::All;
        };
        match replay.push(chunk, cx.transcript.tracks(), cx.transcript.room()) {
            // The comparison has kept the chunk.
            Sight::Unclear => {}
            // The comparison covers what was delivered before the first gap. What the stream has beyond that may have been
            // delivered after the gap already.
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
