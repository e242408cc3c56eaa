use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;

use super::FollowRun;
use super::delivered::Delivered;
use super::options::{Follow, Mode};
use super::question::{Answer, Question};
use super::replay::{Replay, Sight};
use super::stored::{self, Known, Place};
use crate::error::{InvalidRequest, ResponseError};
use crate::flow::{
    Deadline, Exchange, ExchangeError, ExchangeErrorKind, Failure, Flow, Next, Now, Sent, Slot,
    Step,
};
use crate::operation::{Head, StreamingOperation};
use crate::options::CallOptions;
use crate::runs::backoff::Backoff;
use crate::runs::{Lost, LostReason, MessageState, Outcome, ResumeStream, Resumed, RunEnd};
use crate::threads::{Streams, Thread, ThreadStatus};
use crate::ui::chunk::{Finish, Start};
use crate::ui::{AssembleError, Chunk, DecodeError, Decoder, Joiner, Text, UiMessage};

/// `[DONE]` follows `finish` after at most 1.5 s, and an error after 0.5 s. Whoever has waited for so long asks.
const LONGEST_CLOSING: Duration = Duration::from_secs(10);

/// How long a body may stay open behind its `[DONE]`. Read to its end, its connection can be used again.
const LONGEST_GOODBYE: Duration = Duration::from_secs(1);

/// The relay is not asked more often than after so long a silence.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

/// The most that is read of another stream until it is clear that it is one of our run.
const LONGEST_UNCLEAR: usize = 16 * 1024 * 1024;

/// How long after the first look it is looked again whether our answer is stored, though the thread streams, and the longest time
/// between two looks, which doubles: each look reads the whole thread.
const FIRST_PEEK: Duration = Duration::from_secs(15);
const LONGEST_PEEK: Duration = Duration::from_secs(5 * 60);

/// How often opening the stream again may bring nothing in a row.
const RESUMES: u32 = 5;

/// What happens while a run is followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Moment {
    /// A chunk of the answer. Each comes once. Halves of surrogate pairs are joined.
    Chunk(Chunk<'static>),
    /// An event that is not a chunk was passed over. [`Gap`](Self::Gap) follows, except while it is not clear yet whether a stream
    /// that was opened again repeats what was delivered: such a stream is given up.
    NotAChunk(DecodeError),
    /// The stream broke off, with this failure, or its body has ended before the run did.
    Cut(Option<Arc<Failure>>),
    /// The relay was asked, and says this of the thread. It can come twice in a row, as at the end: the list of the threads was
    /// read, and then the thread.
    Asked(ThreadStatus),
    /// The stream of the run is open again.
    Resumed,
    /// What comes next need not follow what came before: something may be missing here. The message is settled with the
    /// stored answer at the end.
    Gap,
}

/// The [`Flow`] of [`FollowRun`]: hands out what happens, and comes to an [`Outcome`].
#[derive(Debug)]
pub struct FollowFlow {
    run: FollowRun,
    options: CallOptions,
    follow: Follow,
    seed: u64,
    phase: Phase,
    /// The stream that is open.
    stream: Option<Stream>,
    question: Option<Question>,
    backoff: Backoff,
    delivered: Delivered,
    times: Times,
    /// Whether the run was started elsewhere.
    joined: bool,
    /// The ids of what was stored when we joined a run that was streaming.
    before: Option<HashSet<Text<'static>>>,
    /// Whether any stream but the first was opened.
    has_opened: bool,
    /// Whether any stream but the first was read.
    resumed: bool,
    /// The ids that streams gave the answer which may have joined in the middle.
    joined_ids: HashSet<Text<'static>>,
    /// The id that the first stream gave it.
    first_id: Option<Text<'static>>,
    failed_resumes: u32,
    /// When it is looked again whether our answer is stored though the thread streams, and how long to wait then.
    peek: (Option<Instant>, Duration),
    /// Whether what is stored is longer than is read.
    is_too_large: bool,
    /// Whether nothing vouches for the stored answer: it has no name, or no question.
    is_unnamed: bool,
    /// The streams of the sandbox before one was opened again.
    before_opening: Option<Streams>,
    /// Whether another stream would not help: there is none, or it repeats what cannot be told apart.
    no_stream: bool,
    /// What to drop.
    to_close: Vec<Slot>,
    /// The last failure, which is the cause should the run be lost.
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    settled: Option<UiMessage>,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it changes a few times"
)]
enum Phase {
    /// To look at what is stored, before a run is joined.
    Looking(Option<Instant>),
    /// To ask again, after a while.
    Again,
    /// To read the stream.
    Listening,
    /// To ask for the threads at this moment, and then to resume, to wait on, or to settle.
    Asking(Option<Instant>),
    Resuming(ResumeStream, Exchange),
    /// To make sure that the stream which was opened is of our thread, before anything of it is taken.
    Checking,
    /// To look whether our answer is stored already: then what streams in our thread is a later run. Now and then while it is waited for,
    /// and each time before anything of a stream is taken that was opened.
    Peeking,
    /// To settle with what is stored.
    Settling(Option<Instant>),
    Ended,
}

/// A stream that is open.
#[derive(Debug)]
struct Stream {
    decoder: Decoder,
    joiner: Joiner,
    /// Of a stream that is not the first: what it has to do with what was delivered, until it is known to have joined in the middle.
    replay: Option<Replay>,
    is_first: bool,
    /// Whether something was missing already when it was opened: what it repeats can then not be told from what was missed.
    is_behind_gap: bool,
    /// How many bytes have come.
    length: usize,
    /// The body has ended, or broke off.
    end: Option<Option<Failure>>,
}

#[derive(Debug, Default)]
struct Times {
    begin: Option<Instant>,
    /// Whether something has come since the last poll.
    heard: bool,
    /// When something last came of a stream; while none was read, when the relay last answered.
    news: Option<Instant>,
    /// When the relay is asked because of silence, and how long to wait then.
    ask: Option<(Option<Instant>, Duration)>,
    /// When to stop listening to a stream whose run is over.
    grace: Option<Instant>,
    /// When `[DONE]` came.
    done: Option<Instant>,
    /// When it was last waited for what is under way.
    read: Option<Instant>,
}

impl Stream {
    fn first() -> Self {
        Self {
            decoder: Decoder::new(),
            joiner: Joiner::new(),
            replay: None,
            is_first: true,
            is_behind_gap: false,
            length: 0,
            end: None,
        }
    }

    fn another(delivered: &Delivered) -> Self {
        Self {
            replay: Some(delivered.replay()),
            is_first: false,
            is_behind_gap: delivered.has_gap(),
            ..Self::first()
        }
    }
}

impl FollowFlow {
    pub(super) fn new(
        run: FollowRun,
        is_open: bool,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let follow = options.following();
        // What cannot be asked is found out now.
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id);
        Exchange::new(&resume, Slot::Stream, options, seed)?;
        Question::thread(&run, options, seed)?;
        let phase = match is_open {
            true => Phase::Listening,
            false => Phase::Looking(None),
        };
        let backoff = match follow.longest_silence() {
            // Asked less often than this, a run that is only waited for would count as silent.
            Some(longest) => Backoff::new(seed).up_to(longest / 2),
            None => Backoff::new(seed),
        };
        Ok(Self {
            phase,
            stream: is_open.then(Stream::first),
            question: None,
            backoff,
            delivered: Delivered::new(follow.mode == Mode::Live),
            times: Times::default(),
            joined: !is_open,
            before: None,
            has_opened: false,
            resumed: false,
            joined_ids: HashSet::new(),
            first_id: None,
            failed_resumes: 0,
            peek: (None, FIRST_PEEK),
            is_too_large: false,
            is_unnamed: false,
            before_opening: None,
            no_stream: false,
            to_close: Vec::new(),
            cause: None,
            settled: None,
            outcome: None,
            run,
            options: *options,
            follow,
            seed,
        })
    }

    /// The message as far as it was delivered, moments included that are about to be handed out; from the end on the one that counts.
    pub fn message(&mut self) -> &UiMessage {
        match &self.settled {
            Some(message) => message,
            None => self.delivered.message(),
        }
    }

    /// Whether the message is the one that counts: at `finish`, if nothing is missing, or else at the end.
    pub fn has_message(&self) -> bool {
        self.is_whole() || matches!(self.phase, Phase::Ended)
    }

    /// Whether all of the answer came on one stream.
    fn is_whole(&self) -> bool {
        let is_finished = self.delivered.finished && !self.delivered.aborted;
        is_finished && !self.resumed && !self.delivered.has_gap()
    }

    /// Why the message does not hold everything that was delivered, if it was too much.
    pub fn too_large(&self) -> Option<&AssembleError> {
        self.delivered.too_large()
    }

    /// What the relay says of a run that has failed, as soon as it does.
    pub fn failure(&self) -> Option<&str> {
        self.delivered.failure.as_deref()
    }

    /// What it came to, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Takes out what the decoder has, until there is something to hand out.
    fn decode(&mut self) {
        if self.is_checking() {
            return;
        }
        while let Some(stream) = &mut self.stream {
            if self.delivered.has_news() {
                return;
            }
            match stream.decoder.next_chunk() {
                None => return,
                Some(Ok(chunk)) => {
                    for chunk in stream.joiner.push(chunk.into_owned()) {
                        self.take(chunk);
                    }
                }
                Some(Err(error)) if error.is_fatal() => {
                    self.cause = Some(Arc::new(error));
                    stream.end = Some(None);
                    return;
                }
                // What it was is not known, only that it is missing.
                Some(Err(error)) => {
                    self.delivered.say(Moment::NotAChunk(error));
                    let is_unclear = |replay: &Replay| !replay.is_replay();
                    if stream.replay.as_ref().is_some_and(is_unclear) {
                        self.no_stream = true;
                        self.drop_stream();
                    } else {
                        self.delivered.gap();
                    }
                }
            }
        }
    }

    /// Takes a chunk of the stream that is open.
    fn take(&mut self, chunk: Chunk<'static>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        if let (Chunk::Start(start), false, true) =
            (&chunk, stream.is_first, self.delivered.started)
        {
            // Delivered, it would begin the message anew.
            self.delivered.note_id(start);
            self.joined_ids.extend(start.message_id.clone());
            return;
        }
        let Some(replay) = &mut stream.replay else {
            if let (Chunk::Start(start), true) = (&chunk, stream.is_first) {
                self.first_id.clone_from(&start.message_id);
            }
            self.delivered.deliver(chunk);
            return;
        };
        if let Chunk::Start(start) = &chunk {
            self.joined_ids.extend(start.message_id.clone());
            self.delivered.deliver(chunk);
            return;
        }
        let (is_gap, chunks) = match replay.push(chunk) {
            Sight::Unclear => return,
            Sight::New(_) | Sight::NewPerhaps(_) if stream.is_behind_gap => {
                self.no_stream = true;
                self.drop_stream();
                return;
            }
            Sight::New(chunks) => (false, chunks),
            Sight::NewPerhaps(chunks) => (true, chunks),
            Sight::Joined(chunks) => {
                stream.replay = None;
                (true, chunks)
            }
        };
        if is_gap {
            self.delivered.gap();
        }
        for chunk in chunks {
            self.delivered.deliver(chunk);
        }
    }

    /// What to do next; `None` if something has changed.
    fn advance(&mut self, now: Now) -> Option<Step<Moment, Outcome>> {
        if let Some(reason) = self.is_over(now) {
            self.lose(reason);
            return None;
        }
        let is_due = self.peek.0.is_none_or(|at| at <= now.mono);
        let peeks = is_due && self.question.is_none() && self.can_peek();
        match &mut self.phase {
            Phase::Listening => self.listen(now),
            Phase::Again => {
                self.phase = Phase::Asking(now.mono.checked_add(self.backoff.next()));
                None
            }
            Phase::Looking(at) | Phase::Asking(at) | Phase::Settling(at)
                if at.is_some_and(|at| now.mono < at) =>
            {
                let at = *at;
                Some(self.read([at], now))
            }
            Phase::Asking(_) if peeks => {
                self.phase = Phase::Peeking;
                None
            }
            Phase::Asking(_) | Phase::Checking => self.ask(now, Question::threads),
            Phase::Looking(_) | Phase::Peeking | Phase::Settling(_) => {
                self.ask(now, Question::thread)
            }
            Phase::Resuming(_, exchange) => match exchange.poll(now, Deadline::none()) {
                Next::Send(send) => Some(Step::Send(send)),
                Next::Read { until } => Some(self.read([until], now)),
                Next::Failed(error) => {
                    self.failed_resumes += 1;
                    self.no_stream |= refusal(&error).is_some();
                    let again = now.mono.checked_add(self.backoff.after(&error, now));
                    self.cause = Some(Arc::new(error));
                    self.phase = Phase::Asking(again);
                    None
                }
                // Nothing is deleted here.
                Next::Gone => None,
            },
            Phase::Ended => {
                let outcome = self.outcome.clone()?;
                Some(Step::Done(outcome))
            }
        }
    }

    /// Waits for what is under way, until the first of these moments.
    fn read<const N: usize>(
        &mut self,
        moments: [Option<Instant>; N],
        now: Now,
    ) -> Step<Moment, Outcome> {
        self.times.read = Some(now.mono);
        let limits = [self.deadline(), self.lost_at()];
        Step::Read {
            until: moments.into_iter().chain(limits).flatten().min(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.times.begin?.checked_add(self.follow.deadline?)
    }

    fn lost_at(&self) -> Option<Instant> {
        let since = self.times.news.or(self.times.begin)?;
        since.checked_add(self.follow.lost_after?)
    }

    /// Whether a moment has come, and what was under way then has been looked at: who was not polled for long may find bytes
    /// that have waited for as long.
    fn has_come(&self, at: Option<Instant>, now: Now) -> bool {
        let is_read = |at| self.times.read.is_some_and(|read| at <= read);
        at.is_some_and(|at| at <= now.mono && is_read(at))
    }

    fn is_over(&self, now: Now) -> Option<LostReason> {
        if matches!(self.phase, Phase::Ended) {
            None
        } else if self.has_come(self.deadline(), now) {
            Some(LostReason::Deadline)
        } else if self.has_come(self.lost_at(), now) {
            Some(LostReason::Silence)
        } else {
            None
        }
    }

    fn listen(&mut self, now: Now) -> Option<Step<Moment, Outcome>> {
        let is_closing = self.delivered.finished || self.delivered.failure.is_some();
        let Some(stream) = &mut self.stream else {
            self.phase = Phase::Asking(None);
            return None;
        };
        if stream.decoder.is_done() {
            let done = *self.times.done.get_or_insert(now.mono);
            let goodbye = done + LONGEST_GOODBYE;
            let has_ended = stream.end.is_some();
            if has_ended || self.has_come(Some(goodbye), now) {
                self.said_done();
                return None;
            }
            return Some(self.read([Some(goodbye)], now));
        }
        if let Some(failure) = stream.end.take() {
            self.broke_off(failure);
            return None;
        }
        let closing = self.times.news.filter(|_| is_closing);
        let closing = closing.map(|news| news + LONGEST_CLOSING);
        let grace = [closing, self.times.grace].into_iter().flatten().min();
        if self.has_come(grace, now) {
            self.broke_off(None);
            return None;
        }
        let ask = self.times.ask.and_then(|(at, _)| at);
        if self.question.is_none() && !self.has_come(ask, now) {
            return Some(self.read([ask, grace], now));
        }
        match self.ask(now, Question::threads)? {
            Step::Read { until } => Some(self.read([until, grace], now)),
            step => Some(step),
        }
    }

    /// Asks the relay, and does what follows of its answer.
    fn ask(
        &mut self,
        now: Now,
        question: fn(&FollowRun, &CallOptions, u64) -> Result<Question, InvalidRequest>,
    ) -> Option<Step<Moment, Outcome>> {
        let mut asked = match self.question.take() {
            Some(asked) => asked,
            None => {
                self.seed = self.seed.wrapping_add(1);
                match question(&self.run, &self.options, self.seed) {
                    Ok(asked) => asked,
                    Err(error) => {
                        self.refused(LostReason::Refused, error);
                        return None;
                    }
                }
            }
        };
        if let Some(answer) = asked.take_answer() {
            self.cause = None;
            if !self.has_read() {
                self.times.news = Some(now.mono);
            }
            match answer {
                Answer::Threads(threads) => {
                    self.listed(Streams::of(&threads, &self.run.thread_id), now);
                }
                Answer::Thread(thread) => self.looked(&thread, now),
            }
            return None;
        }
        match asked.exchange.poll(now, Deadline::none()) {
            Next::Send(send) => {
                self.question = Some(asked);
                Some(Step::Send(send))
            }
            Next::Read { until } => {
                self.question = Some(asked);
                Some(self.read([until], now))
            }
            Next::Failed(error) => {
                self.not_answered(error, now);
                None
            }
            // Nothing is deleted here.
            Next::Gone => None,
        }
    }

    fn not_answered(&mut self, error: ExchangeError, now: Now) {
        let again = now.mono.checked_add(self.backoff.after(&error, now));
        match (&mut self.phase, refusal(&error)) {
            // Whatever the relay says of the thread, the stream is open.
            (Phase::Listening, _) => self.ask_later(now),
            (Phase::Checking | Phase::Peeking, None) => {
                self.drop_stream();
                self.phase = Phase::Asking(again);
            }
            // What is stored cannot be read, and is not needed yet.
            (Phase::Peeking, Some(LostReason::TooLarge)) => {
                self.is_too_large = true;
                match self.stream.is_some() {
                    true => self.listen_again(true, now),
                    false => self.resume_or_wait(now),
                }
            }
            (_, Some(reason)) => self.refused(reason, error),
            (phase, None) => {
                self.cause = Some(Arc::new(error));
                if let Phase::Looking(at) | Phase::Asking(at) | Phase::Settling(at) = phase {
                    *at = again;
                }
            }
        }
    }

    fn refused(
        &mut self,
        reason: LostReason,
        error: impl std::error::Error + Send + Sync + 'static,
    ) {
        self.cause = Some(Arc::new(error));
        self.lose(reason);
    }

    /// The threads of the sandbox are known.
    fn listed(&mut self, streams: Streams, now: Now) {
        if let Some(status) = streams.status() {
            self.delivered.say(Moment::Asked(status.clone()));
        }
        if matches!(self.phase, Phase::Listening) {
            match streams.status().is_some_and(ThreadStatus::is_end) {
                // What is on its way may come yet.
                true => self.expect_end(now),
                false => self.ask_later(now),
            }
            return;
        }
        if matches!(self.phase, Phase::Checking) {
            // A newer run that has begun since may be the one that was joined.
            let is_ours = self
                .before_opening
                .as_ref()
                .is_some_and(|before| streams.are_still_ours(before));
            let is_over = streams.status().is_none_or(ThreadStatus::is_end);
            if !is_ours {
                self.drop_stream();
                self.phase = Phase::Again;
            } else if self.can_peek() {
                self.phase = Phase::Peeking;
            } else {
                self.listen_again(!is_over, now);
            }
            return;
        }
        let Some(status) = streams.status() else {
            self.lose(LostReason::Deleted);
            return;
        };
        if !self.is_going_on(status) {
            self.phase = Phase::Settling(None);
        } else if self.may_resume() && streams.are_ours() {
            self.before_opening = Some(streams);
            self.resume();
        } else {
            self.phase = Phase::Asking(now.mono.checked_add(self.backoff.next()));
        }
    }

    /// Nothing is stored of our run, and no stream of it is open.
    fn resume_or_wait(&mut self, now: Now) {
        self.phase = match self.may_resume() {
            true => Phase::Asking(None),
            false => Phase::Asking(now.mono.checked_add(self.backoff.next())),
        };
    }

    /// Whether this is the state of a thread whose run goes on. States are an open set: of a run that was read only those end it that say
    /// so.
    fn is_going_on(&self, status: &ThreadStatus) -> bool {
        match status {
            ThreadStatus::Streaming => true,
            ThreadStatus::Idle => false,
            status => self.has_read() && !status.is_end(),
        }
    }

    /// Whether our answer can be found among what is stored.
    fn can_peek(&self) -> bool {
        let is_known = self.first_id.is_some() || self.question_id().is_some();
        (is_known || self.before.is_some()) && !self.is_too_large
    }

    fn question_id(&self) -> Option<&Text<'static>> {
        self.run.user_message_id.as_ref().filter(|id| **id != "")
    }

    /// Whether a stream was opened of which nothing is taken yet.
    fn is_checking(&self) -> bool {
        matches!(self.phase, Phase::Checking | Phase::Peeking)
    }

    /// The stream that was opened is of our run.
    fn listen_again(&mut self, is_streaming: bool, now: Now) {
        let is_short = |stream: &Stream| stream.length <= LONGEST_UNCLEAR;
        if !self.stream.as_ref().is_some_and(is_short) {
            self.failed_resumes += 1;
            self.drop_stream();
            self.phase = Phase::Again;
            return;
        }
        self.resumed = true;
        self.phase = Phase::Listening;
        self.delivered.say(Moment::Resumed);
        if !is_streaming {
            self.expect_end(now);
        }
    }

    /// The run is over, so its stream ends soon.
    fn expect_end(&mut self, now: Now) {
        self.times.ask = None;
        self.times.grace = now.mono.checked_add(LONGEST_CLOSING);
    }

    fn may_resume(&self) -> bool {
        let wanted = match self.follow.mode {
            Mode::Live => true,
            Mode::Off => !self.resumed,
            Mode::Wait => false,
        };
        wanted && !self.no_stream && self.failed_resumes < RESUMES
    }

    fn resume(&mut self) {
        let resume = ResumeStream::new(self.run.agent.clone(), &self.run.sandbox_id);
        self.seed = self.seed.wrapping_add(1);
        match Exchange::new(&resume, Slot::Stream, &self.options.listening(), self.seed) {
            Ok(exchange) => self.phase = Phase::Resuming(resume, exchange),
            Err(error) => self.refused(LostReason::Refused, error),
        }
    }

    fn ask_later(&mut self, now: Now) {
        if let Some((at, silence)) = &mut self.times.ask {
            *silence = silence.saturating_mul(2);
            *at = now.mono.checked_add(*silence);
        }
    }

    /// Whether anything of a stream was read.
    fn has_read(&self) -> bool {
        !self.joined || self.has_opened
    }

    /// `[DONE]` has come.
    fn said_done(&mut self) {
        self.flush();
        let is_first = self.stream.as_ref().is_some_and(|stream| stream.is_first);
        let is_clean = is_first && !self.delivered.has_gap();
        if self.said_end() {
        } else if !is_clean {
            self.drop_stream();
            self.phase = Phase::Settling(None);
        } else if self.delivered.finished {
            self.end(RunEnd::Completed, MessageState::Whole);
        } else {
            self.end(RunEnd::Cancelled, MessageState::Partial);
        }
    }

    /// The stream has ended or broken off, or nothing more is expected of it.
    fn broke_off(&mut self, failure: Option<Failure>) {
        if self.said_end() {
            return;
        }
        self.drop_stream();
        let failure = failure.map(Arc::new);
        if let Some(failure) = &failure {
            self.cause = Some(Arc::clone(failure) as _);
        }
        // Of a run that is over, nothing was cut.
        if self.delivered.finished || self.times.grace.take().is_some() {
            self.phase = Phase::Settling(None);
            return;
        }
        self.delivered.say(Moment::Cut(failure));
        if self.delivered.take_progress() {
            self.failed_resumes = 0;
            self.backoff.reset();
        } else {
            self.failed_resumes += 1;
        }
        self.phase = match self.failed_resumes {
            0 => Phase::Asking(None),
            _ => Phase::Again,
        };
        if self.follow.mode == Mode::Off {
            self.lose(LostReason::Cut);
        }
    }

    /// Whether the stream itself has said that the run has failed or was cancelled.
    fn said_end(&mut self) -> bool {
        let end = match &self.delivered.failure {
            // So a run ends that was cancelled through another instance of the relay.
            Some(text) if text == "cancelled" => RunEnd::Cancelled,
            Some(text) => RunEnd::Failed(text.clone()),
            None if self.delivered.aborted => RunEnd::Cancelled,
            None => return false,
        };
        self.flush();
        self.end(end, MessageState::Partial);
        true
    }

    /// The halves of characters whose other halves will not come.
    fn flush(&mut self) {
        if let Some(stream) = &mut self.stream {
            for chunk in stream.joiner.finish() {
                self.take(chunk);
            }
        }
    }

    fn drop_stream(&mut self) {
        self.stream = None;
        self.question = None;
        self.times.ask = None;
        self.times.done = None;
        self.to_close.extend([Slot::Stream, Slot::Exchange]);
    }

    /// The thread is known with what is stored.
    fn looked(&mut self, thread: &Thread, now: Now) {
        self.delivered.say(Moment::Asked(thread.status.clone()));
        let is_going_on = self.is_going_on(&thread.status);
        let is_settling = matches!(self.phase, Phase::Settling(_));
        let (at, pause) = self.peek;
        let pause = if at.is_some() {
            pause.saturating_mul(2).min(LONGEST_PEEK)
        } else {
            pause
        };
        self.peek = (now.mono.checked_add(pause), pause);
        if matches!(self.phase, Phase::Looking(_)) && is_going_on && self.question_id().is_none() {
            let ids = thread
                .ui_messages()
                .filter_map(|message| message.id.clone());
            self.before = Some(ids.collect());
            self.phase = Phase::Asking(None);
            return;
        }
        let place = match &self.before {
            Some(ids) => Some(Place::After(ids)),
            None => self.joined.then_some(Place::Last),
        };
        let known = Known {
            first_id: self.first_id.as_ref(),
            message_ids: &self.delivered.message_ids,
            user_message_id: self.question_id(),
            place,
        };
        let found = known.find(thread);
        let is_named = found.is_some_and(|answer| known.names(answer));
        let unnamed = known.unnamed(thread);
        let is_orphan = found.is_some_and(|answer| !stored::has_question(thread, answer));
        let answer = found.cloned();
        // Only who has joined stores an answer without its question.
        self.is_unnamed = is_orphan;
        // What the thread has used is of its last run.
        let is_last = thread.ui_messages().last().map(|last| &last.id)
            == answer.as_ref().map(|answer| &answer.id);
        if thread.status == ThreadStatus::Completed && is_last {
            self.delivered.note_usage(thread.usage);
        }
        match &thread.status {
            // A turn that failed or was cancelled is not stored: the status is that of another, which came behind ours.
            _ if is_named => self.complete(answer),
            ThreadStatus::Error | ThreadStatus::Failed => {
                let text = thread.error.clone().unwrap_or_default();
                self.end(RunEnd::Failed(text), MessageState::Partial);
            }
            ThreadStatus::Cancelled => self.end(RunEnd::Cancelled, MessageState::Partial),
            // Of another run, which was started since.
            _ if is_going_on && answer.is_some() && (is_settling || self.first_id.is_none()) => {
                self.complete(answer);
            }
            _ if is_going_on => match self.phase {
                Phase::Peeking if self.stream.is_some() => self.listen_again(true, now),
                Phase::Looking(_) | Phase::Peeking => self.resume_or_wait(now),
                _ => self.phase = Phase::Settling(now.mono.checked_add(self.backoff.next())),
            },
            ThreadStatus::Completed if answer.is_none() && unnamed.is_some() => {
                self.delivered.note_usage(thread.usage);
                // Nothing says that it is ours but that nobody else's is there, and that it holds what was delivered.
                let unnamed = unnamed.cloned();
                let holds_all = unnamed.as_ref().is_some_and(|unnamed| {
                    let delivered = self.delivered.gapped();
                    delivered.missing(unnamed).is_some() || delivered.is_within(unnamed)
                });
                self.is_unnamed = true;
                self.complete(unnamed.filter(|_| holds_all));
            }
            _ if answer.is_some() || self.delivered.finished => self.complete(answer),
            _ => self.lose(LostReason::NotStored),
        }
    }

    /// The run has completed, and this is its stored answer.
    fn complete(&mut self, stored: Option<UiMessage>) {
        let is_done = self.delivered.finished;
        let state = match stored {
            None => {
                if !is_done {
                    self.delivered.gap();
                }
                MessageState::StoredIncompletely
            }
            Some(stored) => {
                self.delivered.note_metadata(stored.metadata.as_ref());
                let delivered = self.delivered.gapped();
                let (chunks, is_gap, is_whole) = match delivered.missing(&stored) {
                    Some(chunks) => (chunks, false, true),
                    None => {
                        let is_within = delivered.is_within(&stored);
                        (delivered.tail(&stored, is_within), true, is_within)
                    }
                };
                if !is_done {
                    if !self.delivered.started {
                        let mut start = Start::new();
                        start.message_id = stored.id.clone();
                        self.delivered.deliver(start.into());
                    }
                    if is_gap {
                        self.delivered.gap();
                    }
                    for chunk in chunks {
                        self.delivered.deliver(chunk);
                    }
                    let metadata = self.delivered.message().metadata.as_ref();
                    if let Some(metadata) = stored::metadata(&stored, metadata) {
                        self.delivered.deliver(metadata);
                    }
                }
                // Who has joined in the middle stores what it saw. Where nothing was delivered before, or something is missing, only
                // the first reader vouches for what came before.
                let is_unsure = self.joined || self.delivered.has_gap();
                let is_joined = match (&stored.id, &self.first_id) {
                    (Some(id), _) if self.joined_ids.contains(id) => true,
                    (id, Some(first)) => id.as_ref() != Some(first),
                    (_, None) => false,
                };
                let is_tail = self.is_unnamed || (is_joined && is_unsure);
                if is_whole {
                    let delivered = self.delivered.message().metadata.as_ref();
                    let metadata = stored::with_metadata(stored.metadata.as_ref(), delivered);
                    let mut stored = stored;
                    if let Some(metadata) = metadata {
                        stored.metadata = Some(metadata);
                    }
                    self.settled = Some(stored);
                }
                match is_whole && !is_tail {
                    true => MessageState::Whole,
                    false => MessageState::StoredIncompletely,
                }
            }
        };
        if !is_done {
            self.delivered.deliver(Finish::new().into());
        }
        self.end(RunEnd::Completed, state);
    }

    fn lose(&mut self, reason: LostReason) {
        self.flush();
        let message = match self.is_whole() {
            true => MessageState::Whole,
            false => MessageState::Partial,
        };
        let lost = Lost::new(
            self.run.sandbox_id.clone(),
            self.run.thread_id.clone(),
            reason,
            self.cause.take(),
        );
        self.end(RunEnd::Lost(lost), message);
    }

    fn end(&mut self, end: RunEnd, message_state: MessageState) {
        self.drop_stream();
        self.phase = Phase::Ended;
        self.outcome = Some(Outcome {
            end,
            result_subtype: self.delivered.result_subtype.clone(),
            usage: self.delivered.usage,
            message_state,
        });
    }
}

impl Flow for FollowFlow {
    type Item = Moment;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<Moment, Outcome> {
        self.times.begin.get_or_insert(now.mono);
        let is_new =
            self.stream.is_some() && self.times.ask.is_none() && self.times.grace.is_none();
        if std::mem::take(&mut self.times.heard) || is_new {
            self.times.news = Some(now.mono);
            self.times.grace = None;
            let silence = self.follow.ask_after.max(SHORTEST_SILENCE);
            self.times.ask = Some((now.mono.checked_add(silence), silence));
        }
        loop {
            self.decode();
            if let Some(moment) = self.delivered.next() {
                return Step::Item(moment);
            }
            if let Some(slot) = self.to_close.pop() {
                return Step::Close(slot);
            }
            if let Some(step) = self.advance(now) {
                return step;
            }
        }
    }

    fn handle_answer(&mut self, slot: Slot, head: Parts, body: Bytes) {
        if slot == Slot::Exchange {
            if let Some(question) = &mut self.question {
                question.handle_answer(&head, &body);
            }
            return;
        }
        let Phase::Resuming(resume, exchange) = &mut self.phase else {
            return;
        };
        let error = match resume.decode_head(&head) {
            Head::Open(Resumed::Streaming) => {
                self.stream = Some(Stream::another(&self.delivered));
                self.has_opened = true;
                self.phase = Phase::Checking;
                return;
            }
            Head::Open(Resumed::Nothing) => {
                // A run that is still starting has no stream yet.
                self.no_stream = self.delivered.started;
                self.to_close.push(Slot::Stream);
                self.phase = Phase::Again;
                return;
            }
            // The status says enough; a body may stall.
            Head::Read => resume.decode(&head, b""),
        };
        self.to_close.push(Slot::Stream);
        if let Err(error) = error {
            exchange.handle(error);
        }
    }

    fn handle_data(&mut self, data: Bytes) {
        let is_checking = self.is_checking();
        if let Some(stream) = &mut self.stream {
            self.times.heard = true;
            stream.length = stream.length.saturating_add(data.len());
            // More than this is not kept of what may be of another run; then the stream is not read.
            if stream.length <= LONGEST_UNCLEAR || !is_checking {
                stream.decoder.push(data);
            }
        }
    }

    fn handle_end(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.end = Some(None);
        }
    }

    fn handle_failure(&mut self, slot: Slot, failure: Failure) {
        match (slot, &mut self.phase, &mut self.question, &mut self.stream) {
            (Slot::Exchange, _, Some(question), _) => question.handle_failure(failure),
            (Slot::Stream, Phase::Resuming(_, exchange), ..) => exchange.handle(failure),
            (Slot::Stream, _, _, Some(stream)) => stream.end = Some(Some(failure)),
            _ => {}
        }
    }
}

/// Why it would be answered the same again, if so.
fn refusal(error: &ExchangeError) -> Option<LostReason> {
    let error = match error.kind() {
        ExchangeErrorKind::Response(ResponseError::Api(error)) => error,
        // What was not sent, for want of a token, may be sent yet.
        ExchangeErrorKind::Failure(failure)
            if failure.is_permanent() && failure.sent() == Sent::Maybe =>
        {
            return Some(LostReason::TooLarge);
        }
        _ => return None,
    };
    match error.status() {
        // Else something before the relay knows the route no more, as while it is deployed anew.
        StatusCode::NOT_FOUND | StatusCode::GONE if error.is_of_relay() => {
            Some(LostReason::Deleted)
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some(LostReason::Refused)
        }
        _ => None,
    }
}
