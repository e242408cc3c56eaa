use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::identity::Identity;
use super::policy::Mode;
use super::queries::Queries;
use super::{Phase, Transition};
use crate::error::InvalidRequest;
use crate::flow::{Now, Slot};
use crate::operation::Endpoint;
use crate::options::CallOptions;
use crate::runs::backoff::Backoff;
use crate::runs::transcript::Transcript;
use crate::runs::{Lost, LostReason, MessageState, Outcome, ResumeStream, RunEnd, RunRef};
use crate::threads::GetThread;

/// The state that all phases share.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) run: RunRef,
    pub(super) options: CallOptions,
    seed: u64,
    pub(super) clock: Clock,
    pub(super) queries: Queries,
    pub(super) backoff: Backoff,
    pub(super) looks: Looks,
    pub(super) resumes: Resumes,
    pub(super) identity: Identity,
    pub(super) transcript: Transcript,
    /// The slots to close.
    pub(super) to_close: Vec<Slot>,
    /// The last failure. It becomes the source of the error if the run is lost.
    pub(super) cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The name of the last transition.
    pub(super) transition: &'static str,
}

/// The schedule for checking if our answer is stored although its thread is streaming: the stream then belongs to a later turn.
/// Each check reads the whole thread, so the interval between two of them grows.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pub(super) at: Option<Instant>,
    pub(super) pause: Duration,
    /// Whether the stored thread exceeds the response size limit.
    pub(super) is_too_large: bool,
}

/// The budget for opening streams again, and its use so far.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    pub(super) mode: Mode,
    /// The number of times in a row that opening a stream has brought nothing.
    pub(super) failed: u32,
    /// Whether another stream would not help: there is none, or it repeats chunks that cannot be told from new ones.
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

    /// Notes that a thread was read.
    pub(super) fn looked(&mut self, now: Now) {
        self.pause = match self.at {
            Some(_) => self.pause.saturating_mul(2).min(Self::LONGEST),
            None => Self::FIRST,
        };
        // Also after a look for another reason, which has shown the same.
        self.at = now.mono.checked_add(self.pause);
    }
}

impl Resumes {
    /// The number of times in a row that opening a stream may bring nothing.
    const MOST_FAILED: u32 = 5;

    /// Returns whether a stream may be opened. With following off, a joined run may still open its one stream; when that is cut,
    /// the run is lost.
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
        let policy = options.follow_policy();
        // Reports an invalid request now rather than on the first poll.
        ResumeStream::new(run.agent.clone(), &run.sandbox_id).to_request()?;
        GetThread::new(&run.sandbox_id, &run.thread_id).to_request()?;
        let mut backoff = Backoff::new(seed, options);
        if let Some(longest) = policy.lost_after {
            // While no stream was read, the relay's responses are the only signs of life. With longer intervals between the
            // queries, such a run would seem silent.
            backoff = backoff.up_to(longest / 2);
        }
        Ok(Self {
            clock: Clock::new(&policy),
            queries: Queries::default(),
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

    /// Returns whether anything of a stream was read, or could have been.
    pub(super) fn has_read(&self) -> bool {
        !self.identity.is_joined() || self.resumes.has_opened
    }

    /// Returns whether a stream may be opened again and its repetitions be recognized.
    pub(super) fn may_resume(&self) -> bool {
        self.resumes.are_allowed() && self.transcript.is_comparable()
    }

    /// Returns whether our answer can be found among the stored messages.
    pub(super) fn can_look(&self) -> bool {
        self.identity.is_known() && !self.looks.is_too_large
    }

    /// Closes everything that is under way.
    pub(super) fn drop_all(&mut self) {
        self.to_close.extend([Slot::Stream, Slot::Exchange]);
    }

    /// Returns a seed for the next request.
    pub(super) fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(1);
        self.seed
    }

    // ---- Going on

    /// Changes to another phase. `why` names the transition.
    pub(super) fn go(&mut self, why: &'static str, phase: Phase) -> Transition {
        self.transition = why;
        // The phase that asked is over: its query and its delay end with it.
        self.queries = Queries::default();
        Transition::Go(phase)
    }

    /// Continues without a stream and queries the relay at once.
    pub(super) fn reconnect(&mut self, why: &'static str) -> Transition {
        self.go(why, Phase::Reconnecting)
    }

    /// Continues without a stream and queries the relay after a delay.
    pub(super) fn reconnect_later(&mut self, why: &'static str, now: Now) -> Transition {
        let transition = self.reconnect(why);
        // After the change, which resets the delay.
        self.pause(now);
        transition
    }

    /// Continues a run that goes on: opens a stream at once if that is allowed, and otherwise waits.
    pub(super) fn goes_on(&mut self, now: Now) -> Transition {
        // What is streamed before the stream is open is missed, so opening it does not wait.
        match self.may_resume() {
            true => self.reconnect("it goes on"),
            false => self.reconnect_later("it goes on", now),
        }
    }

    /// Ends following with this result.
    pub(super) fn end(
        &mut self,
        why: &'static str,
        end: RunEnd,
        message_state: MessageState,
    ) -> Transition {
        // Nothing may be left open: nobody would read it.
        self.drop_all();
        let outcome = Outcome {
            end,
            result_subtype: self.transcript.reported.result_subtype.clone(),
            usage: self.transcript.reported.usage,
            message_state,
        };
        self.go(why, Phase::Done(outcome))
    }

    /// Ends following without knowing the end of the run. A message that was whole stays whole.
    pub(super) fn lose(&mut self, reason: LostReason) -> Transition {
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

    /// Returns whether the whole answer came on one stream. Users were told that such a message is final, so it is never replaced.
    pub(super) fn is_whole(&self) -> bool {
        self.transcript.is_whole() && !self.resumes.has_read
    }
}
