//! The request to open the run's stream again is under way.

use http::response::Parts;

use super::queries::{NoResult, refusal};
use super::stream::Stream;
use super::verifying::Verifying;
use super::{Following, Phase, Transition};
use crate::error::InvalidRequest;
use crate::flow::{Deadline, Exchange, Next, Now, Slot, Step};
use crate::operation::{Head, StreamingOperation};
use crate::runs::{ResumeStream, Resumed};
use crate::threads::StreamTarget;

#[derive(Debug)]
pub(super) struct Resuming {
    resume: ResumeStream,
    pub(super) exchange: Exchange,
    /// The thread whose stream is expected.
    target: StreamTarget,
    /// Whether the relay has reported that nothing streams.
    is_nothing: bool,
}

impl Resuming {
    pub(super) fn new(target: StreamTarget, cx: &mut Following) -> Result<Self, InvalidRequest> {
        let resume = ResumeStream::new(cx.run.agent.clone(), &cx.run.sandbox_id);
        let options = cx.options.for_followed_stream();
        Ok(Self {
            exchange: Exchange::new(&resume, Slot::Stream, &options, cx.next_seed())?,
            resume,
            target,
            is_nothing: false,
        })
    }

    /// Handles the head of the response. Returns the transition if the stream is open.
    pub(super) fn opened(&mut self, head: &Parts, cx: &mut Following) -> Option<Transition> {
        match self.resume.decode_head(head) {
            Head::Open(Resumed::Streaming) => {
                // From now on silence is judged by the stream, and no longer by the relay's responses.
                cx.resumes.has_opened = true;
                let stream = Stream::another(&cx.transcript);
                let verifying = Verifying::new(stream, self.target.clone());
                return Some(cx.go("resuming: opened", Phase::Verifying(Box::new(verifying))));
            }
            Head::Open(Resumed::Nothing) => self.is_nothing = true,
            // The status is enough, and waiting for the body could stall.
            Head::Read => match self.resume.decode(head, b"") {
                Ok(_) => self.is_nothing = true,
                Err(error) => self.exchange.handle(error),
            },
        }
        None
    }

    pub(super) fn poll(&mut self, cx: &mut Following, now: Now) -> Transition {
        if self.is_nothing {
            // A run that is still starting has no stream yet, so trying again may help.
            cx.resumes.is_useless |= cx.transcript.reported.has_started;
            return cx.reconnect_later("resuming: there is nothing", now);
        }
        match self.exchange.poll(now, Deadline::none()) {
            Next::Send(send) => Transition::Stay(Step::Send(send)),
            Next::Wait { until } => Transition::Stay(cx.clock.wait([until], now)),
            Next::Failed(error) => {
                cx.resumes.failed += 1;
                // The relay would refuse again. The run is still followed, without a stream.
                cx.resumes.is_useless |= refusal(&error).is_some();
                // First the change, which resets the delay that the failure sets.
                let transition = cx.reconnect("resuming: not opened");
                cx.failed(error, now);
                transition
            }
            // `Gone` is a result of deletions only.
            Next::Gone => cx.goes_on(now),
        }
    }
}

impl From<InvalidRequest> for NoResult {
    fn from(error: InvalidRequest) -> Self {
        Self::Failed(error.into())
    }
}
