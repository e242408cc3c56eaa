use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use twentyfirst_protocol::run_log::{
    FinalChunks, Found, LogId, Position, Reader, ReaderEnd, ReaderStep,
};
use twentyfirst_protocol::runs::FollowRun;
use twentyfirst_protocol::ui::chunk::{Error as ErrorChunk, Finish};
use twentyfirst_protocol::ui::{Chunk, encode_done};
use twentyfirst_transport::{Error as TransportError, Wait};

use super::Recorded;
use super::event_id::EventIds;
use super::logs::{PAGE, Pages, page_after};
use crate::backend::chat::observing::{Observing, gap};
use crate::backend::chat::passing::error_events;
use crate::client::seed;
use crate::error::Error;
use crate::run::Run;
use crate::telemetry::Watch;

/// The size in bytes up to which chunks are sent together.
const PIECE: usize = 64 * 1024;

/// The time for which the store may be unavailable before the browser is told that its stream was cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The delay before the store is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Replays the log of a run to a browser, and follows it while the run goes on.
///
/// ```text
///   Polling ─ read ─► Reading ─ page ─► Polling
///      │                └ unavailable ─► Pausing, for up to 30 s ─► Reading
///      ├ the log ended ─► Over
///      └ the log overflowed ─► Collecting ─► Rest ─► Over
/// ```
pub(super) struct Replay {
    context: Recorded,
    run: String,
    log: LogId,
    ids: EventIds,
    reader: Reader,
    state: State,
    /// The bytes to be sent.
    piece: BytesMut,
    /// The index of the next chunk.
    next: u64,
    /// Whether a chunk of the run was sent.
    has_sent: bool,
    /// The number of entries to read at once.
    page: usize,
    pause: Wait,
    /// The time since which the store is unavailable.
    unavailable: Option<Instant>,
}

enum State {
    Polling,
    Reading(Reading),
    /// Waits before the store is asked again for entries after this position.
    Pausing(Instant, Position, Duration),
    /// Reads the whole log again, to find the rest of the answer after it.
    Collecting(Collecting),
    /// The rest comes from the answer that the relay has stored.
    Rest(Box<Rest>),
    Over,
}

/// The part of an answer that did not fit into the log.
struct Rest {
    observing: Observing,
    final_chunks: FinalChunks,
    /// The index of its next chunk.
    next: u64,
}

type Reading = Pin<Box<dyn Future<Output = Found<Pages>> + Send>>;
type Collecting = Pin<Box<dyn Future<Output = Option<Rest>> + Send>>;

impl Replay {
    pub(super) fn new(context: Recorded, run: String, first: u64) -> Self {
        let runtime = &context.client.relay().runtime;
        let pause = Wait::new(runtime);
        Self {
            log: LogId::run(&run),
            ids: EventIds::of_run(&run),
            run,
            reader: Reader::from(first),
            state: State::Polling,
            piece: BytesMut::new(),
            next: first,
            has_sent: false,
            page: PAGE,
            pause,
            unavailable: None,
            context,
        }
    }

    fn event(&mut self, index: u64, json: &[u8]) {
        self.piece.extend_from_slice(b"id: ");
        self.ids.write(index, &mut self.piece);
        self.piece.extend_from_slice(b"\ndata: ");
        self.piece.extend_from_slice(json);
        self.piece.extend_from_slice(b"\n\n");
        self.next = index.saturating_add(1);
        self.has_sent = true;
    }

    fn read(&mut self, after: Position, wait: Duration) {
        let reading = self
            .context
            .logs
            .clone()
            .read(self.log.clone(), after, self.page, wait);
        self.state = State::Reading(Box::pin(reading));
    }

    fn over(&mut self, last_events: &[u8]) {
        self.piece.extend_from_slice(last_events);
        self.state = State::Over;
    }

    /// Ends a stream that was sent completely. Its last chunk is a `finish`, unless the cursor was beyond the end. Then a
    /// `finish` is added: a client that reconnects until it has one would otherwise ask again, at once and for ever.
    fn done(&mut self) {
        if !self.has_sent {
            let finish = Chunk::from(Finish::new()).encode_event();
            self.piece.extend_from_slice(&finish);
        }
        self.over(&encode_done());
    }

    /// Ends a stream that cannot be sent. The `finish` keeps clients from asking again, which would fail in the same way.
    fn failed(&mut self, text: &str) {
        for chunk in [
            ErrorChunk::new(text.to_owned()).into(),
            Finish::new().into(),
        ] {
            self.piece.extend_from_slice(&Chunk::encode_event(&chunk));
        }
        self.over(&encode_done());
    }

    /// Fills the piece from the log. Completes when the piece is large enough or the stream is over.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(()),
                State::Polling => {
                    // Limits what is held for a browser that reads slowly, however long the log is.
                    if self.piece.len() >= PIECE {
                        return Poll::Ready(());
                    }
                    self.step();
                }
                State::Reading(reading) => {
                    let Poll::Ready(found) = reading.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    let now = self.pause.now();
                    let after = self.reader.at();
                    match found {
                        Found::Some(entries) => {
                            // The patience is for one outage, and begins again with the next.
                            self.unavailable = None;
                            self.page = page_after(&entries);
                            self.reader.handle_page(entries, now);
                            self.state = State::Polling;
                        }
                        Found::Nothing => {
                            // A log that vanished is never created again, so the reader ends.
                            self.reader.handle_missing();
                            self.state = State::Polling;
                        }
                        Found::Unavailable => {
                            // Short outages are bridged: the run itself goes on, so its browser need not notice.
                            let since = *self.unavailable.get_or_insert(now);
                            if now.saturating_duration_since(since) > PATIENCE {
                                // Without a `finish`, because the run may go on: a client that reconnects should do so.
                                self.over(&error_events(FinalChunks::BROKE_OFF));
                            } else {
                                self.pause.reset();
                                self.state = State::Pausing(now, after, Reader::WAIT);
                            }
                        }
                    }
                }
                State::Pausing(since, after, wait) => {
                    let (since, after, wait) = (*since, *after, *wait);
                    if self.pause.poll(since, PAUSE, cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.read(after, wait);
                }
                State::Collecting(collecting) => {
                    let Poll::Ready(rest) = collecting.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    match rest {
                        Some(rest) => self.state = State::Rest(Box::new(rest)),
                        None => {
                            let lost = ErrorChunk::new(FinalChunks::BROKE_OFF.to_owned());
                            // The page has the beginning. It learns that the rest is missing, and that there is no use in
                            // reconnecting.
                            for chunk in [gap(), lost.into(), Finish::new().into()] {
                                self.event(self.next, chunk.encode().as_bytes());
                            }
                            self.over(&encode_done());
                        }
                    }
                }
                State::Rest(rest) => {
                    if self.piece.len() >= PIECE {
                        return Poll::Ready(());
                    }
                    let Poll::Ready(chunk) = rest.observing.poll_chunk(cx) else {
                        return Poll::Pending;
                    };
                    let is_over = chunk.is_none();
                    let first = rest.next;
                    let chunks = rest.handle_chunk(chunk);
                    for (index, chunk) in (first..).zip(chunks) {
                        // A cursor beyond the overflow must not get the chunks before it.
                        if index >= self.next {
                            self.event(index, chunk.encode().as_bytes());
                        }
                    }
                    if is_over {
                        self.done();
                    }
                }
            }
        }
    }

    /// Carries out a step of the reader.
    fn step(&mut self) {
        match self.reader.poll(self.pause.now()) {
            ReaderStep::Chunk { index, json } => self.event(index, &json),
            ReaderStep::Read { after, wait } => self.read(after, wait),
            ReaderStep::TakeOver { after } => {
                // Any reader that notices the silence takes over. The claim in the log decides if several do.
                self.context.take_over(&self.run, &self.reader, after);
            }
            ReaderStep::Over(end) => match end {
                ReaderEnd::Ended(_) => self.done(),
                ReaderEnd::Overflowed(_) => {
                    let (context, log) = (self.context.clone(), self.log.clone());
                    self.state = State::Collecting(Box::pin(collect(context, log)));
                }
                ReaderEnd::Unreadable(error) => {
                    let error = Error::not_replayable(Some(error.into()));
                    self.context.on_error.report(&error);
                    self.failed("this answer cannot be replayed here");
                }
                _ => self.failed(FinalChunks::BROKE_OFF),
            },
            // There are no other steps.
            _ => self.failed(FinalChunks::BROKE_OFF),
        }
    }
}

impl Rest {
    /// Returns the chunks to send: the next one or, after the last, those that report the end of the run.
    fn handle_chunk(&mut self, chunk: Option<Chunk<'static>>) -> Vec<Chunk<'static>> {
        let chunks = match chunk {
            Some(chunk) => {
                self.final_chunks.observe(&chunk);
                vec![chunk]
            }
            None => {
                let end = self.observing.outcome().map(|outcome| outcome.end);
                self.final_chunks.missing(end.as_ref())
            }
        };
        self.next += chunks.len() as u64;
        chunks
    }
}

/// Reads all chunks of the log, and returns the run after them.
async fn collect(context: Recorded, log: LogId) -> Option<Rest> {
    let mut reader = Reader::from(0);
    let (mut chunks, mut final_chunks) = (Vec::new(), FinalChunks::default());
    loop {
        // Any time will do: the run is over, so nothing is waited for and nobody takes over.
        match reader.poll(Instant::now()) {
            ReaderStep::Chunk { json, .. } => {
                let json = std::str::from_utf8(&json).ok()?;
                let chunk = Chunk::decode(json).ok()?.into_owned();
                final_chunks.observe(&chunk);
                chunks.push(chunk);
            }
            ReaderStep::Read { after, .. } => {
                let Found::Some(entries) = context.logs.page_here(&log, after).await else {
                    return None;
                };
                // The log was read to its end before, so entries are missing now.
                if entries.is_empty() {
                    return None;
                }
                reader.handle_page(entries, Instant::now());
            }
            ReaderStep::Over(ReaderEnd::Overflowed(_)) => break,
            _ => return None,
        }
    }
    let next = chunks.len() as u64;
    // The follow flow skips these chunks in the stored answer, so the indexes continue where the log ends.
    let run = FollowRun::new(reader.run()?.clone()).after(chunks);
    // Not watched: each browser that reads the rest would count as another run.
    let run = Run::joining(context.client.clone(), run, seed(), Watch::none).ok()?;
    Some(Rest {
        observing: Observing::new(run, None, context.on_error.clone()),
        final_chunks,
        next,
    })
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let this = &mut *self;
        // What is there is sent even if more is to come, so that the first chunk of a page is not delayed by the next read.
        let is_ready = this.poll_piece(cx).is_ready();
        if !this.piece.is_empty() {
            let piece = this.piece.split().freeze();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match is_ready {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}
