use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asking::Asking;
use super::clock::Clock;
use super::identity::Identity;
use super::policy::Mode;
use super::{Phase, Turn};
use crate::error::InvalidRequest;
use crate::flow::{Now, Slot};
use crate::operation::Endpoint;
use crate::options::CallOptions;
use crate::runs::backoff::Backoff;
use crate::runs::transcript::Transcript;
use crate::runs::{Lost, LostReason, MessageState, Outcome, ResumeStream, RunEnd, RunRef};
use crate::threads::GetThread;

/// What lives through all phases.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) run: RunRef,
    pub(super) options: CallOptions,
    seed: u64,
    pub(super) clock: Clock,
    pub(super) asking: Asking,
    pub(super) backoff: Backoff,
    pub(super) looks: Looks,
    pub(super) resumes: Resumes,
    pub(super) identity: Identity,
    pub(super) transcript: Transcript,
    /// What to drop.
    pub(super) to_close: Vec<Slot>,
    /// The last failure, which is the cause should the run be lost.
    pub(super) cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The transition that was made last, by name.
    pub(super) transition: &'static str,
}

/// When it is looked whether our answer is stored, though its thread streams: what streams then is a later turn. Each look reads
/// the whole thread, so the time between two of them grows.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pub(super) at: Option<Instant>,
    pub(super) pause: Duration,
    /// Whether what is stored is longer than is read.
    pub(super) is_too_large: bool,
}

/// What may be opened again, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    pub(super) mode: Mode,
    /// How often opening the stream has brought nothing in a row.
    pub(super) failed: u32,
    /// Whether another stream would not help: there is none, or it repeats what cannot be told apart.
    pub(super) is_useless: bool,
    /// Whether any stream but the first was opened.
    pub(super) has_opened: bool,
    /// Whether any stream but the first was read.
    pub(super) has_read: bool,
}

impl Looks {
    const FIRST: Duration = Duration::from_secs(15);
    const LONGEST: Duration = Duration::from_secs(5 * 60);

    pub(super) fn is_due(&self, now: Now) -> bool {
        self.at.is_none_or(|at| at <= now.mono)
    }

    /// A thread was read.
    pub(super) fn looked(&mut self, now: Now) {
        self.pause = match self.at {
            Some(_) => self.pause.saturating_mul(2).min(Self::LONGEST),
            None => Self::FIRST,
        };
        self.at = now.mono.checked_add(self.pause);
    }
}

impl Resumes {
    /// How often opening the stream may bring nothing in a row.
    const MOST_FAILED: u32 = 5;

    /// Without following, a run that was joined has no stream yet. Once it had one, it is lost with it.
    pub(super) fn are_allowed(&self) -> bool {
        self.mode != Mode::Wait && !self.is_useless && self.failed < Self::MOST_FAILED
    }
}

impl Following {
    pub(super) fn new(
        run: RunRef,
        is_joined: bool,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let policy = options.following();
        // What cannot be asked is found out now.
        ResumeStream::new(run.agent.clone(), &run.sandbox_id).to_request()?;
        GetThread::new(&run.sandbox_id, &run.thread_id).to_request()?;
        let mut backoff = Backoff::new(seed, options);
        if let Some(longest) = policy.lost_after {
            // Asked less often than this, a run that is only waited for would count as silent.
            backoff = backoff.up_to(longest / 2);
        }
        Ok(Self {
            clock: Clock::new(&policy),
            asking: Asking::default(),
            backoff,
            looks: Looks::default(),
            resumes: Resumes {
                mode: policy.mode,
                ..Resumes::default()
            },
            identity: Identity::new(&run, is_joined),
            transcript: Transcript::new(policy.mode == Mode::Live, policy.memory_limit),
            to_close: Vec::new(),
            cause: None,
            transition: "began",
            run,
            options: *options,
            seed,
        })
    }

    // ---- What is known

    /// Whether anything of a stream was read, or could have been.
    pub(super) fn has_read(&self) -> bool {
        !self.identity.is_joined() || self.resumes.has_opened
    }

    /// Whether a stream may be opened again, of which it could be told what it repeats.
    pub(super) fn may_resume(&self) -> bool {
        self.resumes.are_allowed() && self.transcript.is_comparable()
    }

    /// Whether our answer can be found among what is stored.
    pub(super) fn can_look(&self) -> bool {
        self.identity.is_known() && !self.looks.is_too_large
    }

    /// Drops everything that is under way.
    pub(super) fn drop_all(&mut self) {
        self.to_close.extend([Slot::Stream, Slot::Exchange]);
    }

    /// A seed for the next request.
    pub(super) fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(1);
        self.seed
    }

    // ---- Going on

    /// Goes to another phase, for this reason.
    pub(super) fn go(&mut self, why: &'static str, phase: Phase) -> Turn {
        self.transition = why;
        self.asking = Asking::default();
        Turn::Go(phase)
    }

    /// Goes on without a stream, for this reason: the run is asked for at once.
    pub(super) fn reconnect(&mut self, why: &'static str) -> Turn {
        self.go(why, Phase::Reconnecting)
    }

    /// The same, after a pause.
    pub(super) fn reconnect_later(&mut self, why: &'static str, now: Now) -> Turn {
        let turn = self.reconnect(why);
        self.pause(now);
        turn
    }

    /// The run goes on: waits, or opens a stream at once where that is allowed.
    pub(super) fn goes_on(&mut self, now: Now) -> Turn {
        match self.may_resume() {
            true => self.reconnect("it goes on"),
            false => self.reconnect_later("it goes on", now),
        }
    }

    /// The run has ended.
    pub(super) fn end(
        &mut self,
        why: &'static str,
        end: RunEnd,
        message_state: MessageState,
    ) -> Turn {
        self.drop_all();
        let outcome = Outcome {
            end,
            result_subtype: self.transcript.said.result_subtype.clone(),
            usage: self.transcript.said.usage,
            message_state,
        };
        self.go(why, Phase::Done(outcome))
    }

    /// Nobody knows what becomes of the run. A message that was whole stays so.
    pub(super) fn lose(&mut self, reason: LostReason) -> Turn {
        let message = match self.is_whole() {
            true => MessageState::Whole,
            false => MessageState::Partial,
        };
        let lost = Lost {
            sandbox_id: self.run.sandbox_id.clone(),
            thread_id: self.run.thread_id.clone(),
            reason,
            source: self.cause.take(),
        };
        self.end(reason.clause(), RunEnd::Lost(lost), message)
    }

    /// Whether all of the answer came on one stream. Nothing replaces it then.
    pub(super) fn is_whole(&self) -> bool {
        self.transcript.is_whole() && !self.resumes.has_read
    }
}
