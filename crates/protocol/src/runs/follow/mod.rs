//! Following a run until its end, whatever the network does.
//!
//! ```text
//! Joining ──► Settling ◄──────────┐           verdict(thread, answer) is a pure table:
//!    │                            │           one row, one name, one test
//!    ▼        cut                 │ over
//! Reading ─────► Reconnecting ────┤
//!    ▲               │ ours is the newest: 200
//!    │ still ours    ▼
//!    └────────── Verifying ──► (not ours) Reconnecting
//! any ── deadline or silence ──► Done(Lost)      Reading ── clean [DONE], error, abort ──► Done
//! ```
//!
//! | from | event | to |
//! |---|---|---|
//! | [`Joining`](joining) | over, or our answer is stored | by the verdict |
//! | | streaming | `Reconnecting`: it waits, or opens the stream, as the policy says |
//! | [`Reading`](reading) | `[DONE]` and nothing missing; an `error` or `abort` chunk | `Done` |
//! | | `[DONE]` behind a gap; a cut behind `finish`; nothing comes though the run is over | `Settling` |
//! | | a cut | `Reconnecting`, or `Done` where following is off |
//! | [`Reconnecting`](reconnecting) | the list says that it is over | `Settling` |
//! | | a look finds our answer stored | by the verdict |
//! | | ours is the newest stream, and the budget allows it | resumes: 200 `Verifying`, else again |
//! | [`Verifying`](verifying) | still ours, and not stored | `Reading` |
//! | | not ours | `Reconnecting` |
//! | [`Settling`](settling) | the thread is known | by the verdict, or again after a pause |
//!
//! Each phase owns what only it needs, and consumes itself: what a phase leaves behind cannot be forgotten in the next. What lives
//! through all of them is in [`Following`].

mod clock;
mod identity;
mod joining;
mod policy;
mod reading;
mod reconnecting;
mod run;
mod settling;
mod stream;
mod verdict;
mod verifying;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::response::Parts;

pub(in crate::runs) use identity::position_of_answer;
pub use policy::Follow;
pub use run::FollowRun;

use self::clock::Clock;
use self::identity::Identity;
use self::joining::Joining;
use self::policy::Mode;
use self::reading::Reading;
use self::reconnecting::Reconnecting;
use self::settling::Settling;
use self::stream::Stream;
use self::verifying::Verifying;
use super::backoff::Backoff;
use super::transcript::Transcript;
use super::{Lost, LostReason, MessageState, Outcome, ResumeStream, RunEnd, RunRef};
use crate::error::InvalidRequest;
use crate::flow::{
    Call, Deadline, Exchange, ExchangeError, Failure, Flow, Now, Progress, Slot, Step, UnderWay,
};
use crate::operation::Operation;
use crate::options::CallOptions;
use crate::retry::Prospect;
use crate::threads::{GetThread, ListThreads, ThreadStatus};
use crate::ui::{AssembleError, Chunk, DecodeError, UiMessage};

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
    /// `None` only while a phase is being polled.
    phase: Option<Phase>,
    cx: Following,
}

/// What lives through all phases.
#[derive(Debug)]
struct Following {
    run: RunRef,
    options: CallOptions,
    seed: u64,
    clock: Clock,
    backoff: Backoff,
    looks: Looks,
    resumes: Resumes,
    identity: Identity,
    transcript: Transcript,
    /// What to drop.
    to_close: Vec<Slot>,
    /// The last failure, which is the cause should the run be lost.
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The transition that was made last, by name.
    transition: &'static str,
}

#[derive(Debug)]
enum Phase {
    Joining(Box<Joining>),
    Reading(Box<Reading>),
    Reconnecting(Box<Reconnecting>),
    Verifying(Box<Verifying>),
    Settling(Box<Settling>),
    Done(Outcome),
}

/// What a phase has come to.
enum Turn {
    /// It stays, and asks this of the driver.
    Stay(Phase, Step<Moment, Outcome>),
    /// Something has changed: what is to be handed out comes first, then this phase.
    Go(Phase),
}

/// When it is looked whether our answer is stored, though its thread streams: what streams then is a later turn. Each look reads
/// the whole thread, so the time between two of them grows.
#[derive(Debug)]
struct Looks {
    at: Option<Instant>,
    pause: Duration,
    /// Whether what is stored is longer than is read.
    is_too_large: bool,
}

/// What may be opened again, and what came of it.
#[derive(Debug)]
struct Resumes {
    mode: Mode,
    /// How often opening the stream has brought nothing in a row.
    failed: u32,
    /// Whether another stream would not help: there is none, or it repeats what cannot be told apart.
    is_useless: bool,
    /// Whether any stream but the first was opened.
    has_opened: bool,
    /// Whether any stream but the first was read.
    has_read: bool,
}

impl Looks {
    const FIRST: Duration = Duration::from_secs(15);
    const LONGEST: Duration = Duration::from_secs(5 * 60);

    fn new() -> Self {
        Self {
            at: None,
            pause: Self::FIRST,
            is_too_large: false,
        }
    }

    fn is_due(&self, now: Now) -> bool {
        self.at.is_none_or(|at| at <= now.mono)
    }

    /// A thread was read.
    fn looked(&mut self, now: Now) {
        if self.at.is_some() {
            self.pause = self.pause.saturating_mul(2).min(Self::LONGEST);
        }
        self.at = now.mono.checked_add(self.pause);
    }
}

impl Resumes {
    /// How often opening the stream may bring nothing in a row.
    const MOST_FAILED: u32 = 5;

    fn are_allowed(&self) -> bool {
        let is_wanted = match self.mode {
            Mode::Live => true,
            Mode::Off => !self.has_read,
            Mode::Wait => false,
        };
        is_wanted && !self.is_useless && self.failed < Self::MOST_FAILED
    }
}

impl Following {
    fn new(
        run: RunRef,
        is_joined: bool,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let policy = options.following();
        // What cannot be asked is found out now.
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id);
        Exchange::new(&resume, Slot::Stream, options, seed)?;
        Call::new(
            GetThread::new(&run.sandbox_id, &run.thread_id),
            options,
            seed,
        )?;
        let mut backoff = Backoff::new(seed, options);
        if let Some(longest) = policy.lost_after {
            // Asked less often than this, a run that is only waited for would count as silent.
            backoff = backoff.up_to(longest / 2);
        }
        Ok(Self {
            clock: Clock::new(&policy),
            backoff,
            looks: Looks::new(),
            resumes: Resumes {
                mode: policy.mode,
                failed: 0,
                is_useless: false,
                has_opened: false,
                has_read: false,
            },
            identity: Identity::new(&run, is_joined),
            transcript: Transcript::new(policy.mode == Mode::Live),
            to_close: Vec::new(),
            cause: None,
            transition: "began",
            run,
            options: *options,
            seed,
        })
    }

    // ---- Asking the relay

    /// A call of this operation, with a seed of its own.
    fn call<O: Operation>(&mut self, operation: O) -> Result<Call<O>, InvalidRequest> {
        self.seed = self.seed.wrapping_add(1);
        Call::new(operation, &self.options, self.seed)
    }

    /// Reads the thread, with what is stored in it.
    fn look(&mut self) -> Result<Call<GetThread>, InvalidRequest> {
        let look = GetThread::new(&self.run.sandbox_id, &self.run.thread_id);
        self.call(look)
    }

    /// Lists the threads of the sandbox: short, whatever was said in them.
    fn list(&mut self) -> Result<Call<ListThreads>, InvalidRequest> {
        let list = ListThreads::new(&self.run.sandbox_id);
        self.call(list)
    }

    /// Goes on with a call: its result, or what to ask of the driver, which also waits no longer than until these moments.
    fn go_on<O: Operation, const N: usize>(
        &mut self,
        call: &mut Call<O>,
        moments: [Option<Instant>; N],
        now: Now,
    ) -> Result<Result<O::Output, ExchangeError>, Step<Moment, Outcome>> {
        match call.poll(now, Deadline::none()) {
            Progress::Send(send) => Err(Step::Send(send)),
            Progress::Wait { until } => {
                let earliest = moments.into_iter().flatten().chain(until).min();
                Err(self.clock.wait([earliest], now))
            }
            Progress::Done(Ok(output)) => {
                self.cause = None;
                if !self.has_read() {
                    self.clock.news(now);
                }
                Ok(Ok(output))
            }
            Progress::Done(Err(error)) => Ok(Err(error)),
        }
    }

    /// When to ask again after this failure.
    fn after(&mut self, error: &ExchangeError, now: Now) -> Option<Instant> {
        now.mono.checked_add(self.backoff.after(error, now))
    }

    /// When to ask again.
    fn later(&mut self, now: Now) -> Option<Instant> {
        now.mono.checked_add(self.backoff.next())
    }

    /// Whether anything of a stream was read, or could have been.
    fn has_read(&self) -> bool {
        !self.identity.is_joined() || self.resumes.has_opened
    }

    /// Whether a stream may be opened again, of which it could be told what it repeats.
    fn may_resume(&self) -> bool {
        self.resumes.are_allowed() && self.transcript.is_comparable()
    }

    /// Whether our answer can be found among what is stored.
    fn can_look(&self) -> bool {
        self.identity.is_known() && !self.looks.is_too_large
    }

    /// Drops everything that is under way.
    fn drop_all(&mut self) {
        self.to_close.extend([Slot::Stream, Slot::Exchange]);
    }

    // ---- Going on

    /// Goes to another phase, for this reason.
    fn go(&mut self, why: &'static str, phase: impl Into<Phase>) -> Turn {
        self.transition = why;
        Turn::Go(phase.into())
    }

    /// The run has ended.
    fn end(&mut self, why: &'static str, end: RunEnd, message_state: MessageState) -> Turn {
        self.drop_all();
        let outcome = Outcome {
            end,
            result_subtype: self.transcript.result_subtype().map(str::to_owned),
            usage: self.transcript.usage(),
            message_state,
        };
        self.go(why, Phase::Done(outcome))
    }

    /// Nobody knows what becomes of the run. A message that was whole stays so.
    fn lose(&mut self, reason: LostReason) -> Turn {
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
        self.end(reason.clause(), RunEnd::Lost(lost), message)
    }

    fn refused(
        &mut self,
        reason: LostReason,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Turn {
        self.cause = Some(Arc::new(error));
        self.lose(reason)
    }

    /// Whether all of the answer came on one stream. Nothing replaces it then.
    fn is_whole(&self) -> bool {
        self.transcript.is_whole() && !self.resumes.has_read
    }
}

impl FollowFlow {
    fn new(cx: Following, phase: impl Into<Phase>) -> Self {
        Self {
            phase: Some(phase.into()),
            cx,
        }
    }

    /// Returns the message as far as it was delivered, moments included that are about to be handed out; from the end on the one that
    /// counts.
    pub fn message(&mut self) -> &UiMessage {
        self.cx.transcript.message()
    }

    /// Whether the message is the one that counts: at `finish`, if nothing is missing, or else at the end. It changes no more.
    pub fn has_message(&self) -> bool {
        self.cx.is_whole() || self.outcome().is_some()
    }

    /// Returns why the message does not hold everything that was delivered, if it was too much.
    pub fn too_large(&self) -> Option<&AssembleError> {
        self.cx.transcript.too_large()
    }

    /// Returns what the relay says of a run that has failed, as soon as it does.
    pub fn failure(&self) -> Option<&str> {
        self.cx.transcript.failure()
    }

    /// Returns what the run came to, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Some(Phase::Done(outcome)) => Some(outcome),
            _ => None,
        }
    }

    /// Returns the transition that was made last, by name: for logs, and for whoever asks why a run has ended so. The names may
    /// change.
    pub fn transition(&self) -> &'static str {
        self.cx.transition
    }
}

impl Flow for FollowFlow {
    type Item = Moment;
    type Output = Outcome;

    fn poll(&mut self, now: Now) -> Step<Moment, Outcome> {
        self.cx.clock.begin(now);
        loop {
            if let Some(moment) = self.cx.transcript.next() {
                return Step::Item(moment);
            }
            if let Some(slot) = self.cx.to_close.pop() {
                return Step::Close(slot);
            }
            let turn = match self.phase.take() {
                Some(phase) => phase.poll(&mut self.cx, now),
                None => return Step::Read { until: None },
            };
            match turn {
                Turn::Go(phase) => self.phase = Some(phase),
                Turn::Stay(phase, step) => {
                    self.phase = Some(phase);
                    return step;
                }
            }
        }
    }

    fn handle_answer(&mut self, slot: Slot, head: Parts, body: Bytes) {
        match (slot, &mut self.phase) {
            (Slot::Exchange, Some(phase)) => {
                if let Some(call) = phase.call() {
                    call.handle_answer(&head, &body);
                }
            }
            (Slot::Stream, Some(Phase::Reconnecting(phase))) => {
                if phase.opened(&head, &mut self.cx) == Opened::No {
                    self.cx.to_close.push(Slot::Stream);
                }
            }
            (Slot::Stream, _) | (_, None) => {}
        }
    }

    fn handle_data(&mut self, data: Bytes) {
        let is_verified = matches!(self.phase, Some(Phase::Reading(_)));
        if let Some(stream) = self.phase.as_mut().and_then(Phase::stream) {
            stream.push(data, is_verified);
        }
    }

    fn handle_end(&mut self) {
        if let Some(stream) = self.phase.as_mut().and_then(Phase::stream) {
            stream.end = Some(None);
        }
    }

    fn handle_failure(&mut self, slot: Slot, failure: Failure) {
        let Some(phase) = &mut self.phase else {
            return;
        };
        match (slot, phase.stream()) {
            (Slot::Stream, Some(stream)) => stream.end = Some(Some(failure)),
            (Slot::Stream, None) => {
                if let Phase::Reconnecting(phase) = phase {
                    phase.not_opened(failure);
                }
            }
            (Slot::Exchange, _) => {
                if let Some(call) = phase.call() {
                    call.handle_failure(failure);
                }
            }
        }
    }
}

/// Whether a stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Yes,
    No,
}

impl Phase {
    fn poll(mut self, cx: &mut Following, now: Now) -> Turn {
        let has_heard = self.stream().is_some_and(Stream::take_heard);
        if has_heard {
            cx.clock.news(now);
        }
        match (self, cx.clock.is_over(now)) {
            (Self::Done(outcome), _) => {
                let done = Step::Done(outcome.clone());
                Turn::Stay(Self::Done(outcome), done)
            }
            // What has come is delivered first.
            (Self::Reading(phase), _) => phase.poll(has_heard, cx, now),
            (_, Some(reason)) => cx.lose(reason),
            (Self::Joining(phase), None) => phase.poll(cx, now),
            (Self::Reconnecting(phase), None) => phase.poll(cx, now),
            (Self::Verifying(phase), None) => phase.poll(cx, now),
            (Self::Settling(phase), None) => phase.poll(cx, now),
        }
    }

    /// The call that is under way in [`Slot::Exchange`].
    fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match self {
            Self::Joining(phase) => phase.call(),
            Self::Reading(phase) => phase.call(),
            Self::Reconnecting(phase) => phase.call(),
            Self::Verifying(phase) => phase.call(),
            Self::Settling(phase) => phase.call(),
            Self::Done(_) => None,
        }
    }

    /// The stream that is open.
    fn stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Reading(phase) => Some(&mut phase.stream),
            Self::Verifying(phase) => Some(&mut phase.stream),
            Self::Reconnecting(phase) => phase.stream(),
            Self::Joining(_) | Self::Settling(_) | Self::Done(_) => None,
        }
    }
}

macro_rules! phases {
    ($($name:ident)*) => {
        $(
            impl From<Box<$name>> for Phase {
                fn from(phase: Box<$name>) -> Self {
                    Self::$name(phase)
                }
            }

            impl From<$name> for Phase {
                fn from(phase: $name) -> Self {
                    Self::$name(Box::new(phase))
                }
            }
        )*
    };
}

phases!(Joining Reading Reconnecting Verifying Settling);

/// Why the relay would say the same again, if so.
fn refusal(error: &ExchangeError) -> Option<LostReason> {
    match Prospect::of(error) {
        Prospect::Improves | Prospect::Stays => None,
        Prospect::TooLarge => Some(LostReason::TooLarge),
        Prospect::Gone => Some(LostReason::Deleted),
        Prospect::Refused => Some(LostReason::Refused),
    }
}
