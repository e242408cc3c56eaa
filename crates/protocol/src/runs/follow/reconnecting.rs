//! No stream is open, and the run may go on: it is asked for, and its stream opened again where that is allowed.

use std::sync::Arc;
use std::time::Instant;

use http::response::Parts;

use super::settling::Settling;
use super::stream::Stream;
use super::verdict::ThreadIs;
use super::verifying::Verifying;
use super::{Following, Opened, Turn, refusal};
use crate::flow::{
    Call, Deadline, Exchange, ExchangeError, Failure, Next, Now, Slot, Step, UnderWay,
};
use crate::operation::{Head, StreamingOperation};
use crate::runs::{LostReason, Moment, Outcome, ResumeStream, Resumed};
use crate::threads::{GetThread, ListThreads, StreamTarget};

#[derive(Debug)]
pub(super) struct Reconnecting {
    at: Option<Instant>,
    asking: Asking,
}

#[derive(Debug)]
enum Asking {
    Nothing,
    /// Which threads stream.
    List(Call<ListThreads>),
    /// Whether our answer is stored: then what streams in our thread is a later turn.
    Look(Call<GetThread>),
    Resume(Resuming),
}

#[derive(Debug)]
struct Resuming {
    resume: ResumeStream,
    exchange: Exchange,
    /// Whose stream it was to be when it was opened.
    before: StreamTarget,
    opened: Option<Result<Stream, Nothing>>,
}

/// There is no stream.
#[derive(Debug)]
struct Nothing;

impl Reconnecting {
    pub(super) fn at_once() -> Self {
        Self::at(None)
    }

    pub(super) fn at(at: Option<Instant>) -> Self {
        Self {
            at,
            asking: Asking::Nothing,
        }
    }

    /// Goes on waiting, or opens a stream at once where that is allowed.
    pub(super) fn again(cx: &mut Following, now: Now) -> Turn {
        let at = match cx.may_resume() {
            true => None,
            false => cx.later(now),
        };
        cx.go("it goes on", Self::at(at))
    }

    pub(super) fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match &mut self.asking {
            Asking::List(list) => Some(list),
            Asking::Look(look) => Some(look),
            Asking::Nothing | Asking::Resume(_) => None,
        }
    }

    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.asking {
            Asking::Resume(Resuming {
                opened: Some(Ok(stream)),
                ..
            }) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn poll(mut self: Box<Self>, cx: &mut Following, now: Now) -> Turn {
        if let Some(at) = self.at.filter(|at| now.mono < *at) {
            let wait = cx.clock.wait([Some(at)], now);
            return Turn::Stay(self.into(), wait);
        }
        match self.ask(cx, now) {
            Ok(step) => Turn::Stay(self.into(), step),
            Err(turn) => turn,
        }
    }

    fn ask(&mut self, cx: &mut Following, now: Now) -> Result<Step<Moment, Outcome>, Turn> {
        let refused = |cx: &mut Following, error| cx.refused(LostReason::Refused, error);
        if matches!(self.asking, Asking::Nothing) {
            let asking = match cx.looks.is_due(now) && cx.can_look() {
                true => cx.look().map(Asking::Look),
                false => cx.list().map(Asking::List),
            };
            self.asking = asking.map_err(|error| refused(cx, error))?;
        }
        match &mut self.asking {
            Asking::Nothing => Err(Self::again(cx, now)),
            Asking::List(list) => match cx.go_on(list, [], now) {
                Err(step) => Ok(step),
                Ok(Ok(threads)) => {
                    let target = StreamTarget::of(&threads, &cx.run.thread_id);
                    Err(Self::listed(target, cx, now))
                }
                Ok(Err(error)) => Err(Self::failed(error, cx, now)),
            },
            Asking::Look(look) => match cx.go_on(look, [], now) {
                Err(step) => Ok(step),
                Ok(Ok(thread)) => Err(cx
                    .settle(&thread, now)
                    .unwrap_or_else(|| Self::again(cx, now))),
                Ok(Err(error)) if refusal(&error) == Some(LostReason::TooLarge) => {
                    // What is stored cannot be read, and is not needed yet.
                    cx.looks.is_too_large = true;
                    Err(Self::again(cx, now))
                }
                Ok(Err(error)) => Err(Self::failed(error, cx, now)),
            },
            Asking::Resume(resuming) => resuming.poll(cx, now),
        }
    }

    /// The threads of the sandbox are known.
    fn listed(target: StreamTarget, cx: &mut Following, now: Now) -> Turn {
        cx.listed(&target);
        let Some(status) = target.status() else {
            return cx.lose(LostReason::Deleted);
        };
        if ThreadIs::of(status, cx.has_read()) != ThreadIs::GoingOn {
            return cx.go("reconnecting: over", Settling::now());
        }
        if !cx.may_resume() || !target.is_ours() {
            let at = cx.later(now);
            return cx.go("reconnecting: it goes on", Self::at(at));
        }
        match Resuming::new(target, cx) {
            Ok(resuming) => {
                let asking = Asking::Resume(resuming);
                cx.go("reconnecting: resumes", Self { at: None, asking })
            }
            Err(error) => cx.refused(LostReason::Refused, error),
        }
    }

    /// A question was not answered.
    pub(super) fn failed(error: ExchangeError, cx: &mut Following, now: Now) -> Turn {
        if let Some(reason) = refusal(&error) {
            return cx.refused(reason, error);
        }
        let at = cx.after(&error, now);
        cx.cause = Some(Arc::new(error));
        cx.go("reconnecting: no answer", Self::at(at))
    }

    /// The head of the stream that was to be opened.
    pub(super) fn opened(&mut self, head: &Parts, cx: &mut Following) -> Opened {
        let Asking::Resume(resuming) = &mut self.asking else {
            return Opened::No;
        };
        match resuming.resume.decode_head(head) {
            Head::Open(Resumed::Streaming) => {
                cx.resumes.has_opened = true;
                let is_behind_gap = cx.transcript.has_gap();
                resuming.opened = Some(Ok(Stream::another(is_behind_gap)));
                return Opened::Yes;
            }
            Head::Open(Resumed::Nothing) => resuming.opened = Some(Err(Nothing)),
            // The status says enough; a body may stall.
            Head::Read => match resuming.resume.decode(head, b"") {
                Ok(_) => resuming.opened = Some(Err(Nothing)),
                Err(error) => resuming.exchange.handle(error),
            },
        }
        Opened::No
    }

    /// There was no response.
    pub(super) fn not_opened(&mut self, failure: Failure) {
        if let Asking::Resume(resuming) = &mut self.asking {
            resuming.exchange.handle(failure);
        }
    }
}

impl Resuming {
    fn new(before: StreamTarget, cx: &mut Following) -> Result<Self, crate::error::InvalidRequest> {
        let resume = ResumeStream::new(cx.run.agent.clone(), &cx.run.sandbox_id);
        cx.seed = cx.seed.wrapping_add(1);
        let options = cx.options.listening();
        Ok(Self {
            exchange: Exchange::new(&resume, Slot::Stream, &options, cx.seed)?,
            resume,
            before,
            opened: None,
        })
    }

    fn poll(&mut self, cx: &mut Following, now: Now) -> Result<Step<Moment, Outcome>, Turn> {
        match self.opened.take() {
            Some(Ok(stream)) => {
                let verifying = Verifying::new(stream, self.before.clone());
                return Err(cx.go("reconnecting: opened", verifying));
            }
            Some(Err(Nothing)) => {
                // A run that is still starting has no stream yet.
                cx.resumes.is_useless |= cx.transcript.has_started();
                let at = cx.later(now);
                return Err(cx.go("reconnecting: nothing to resume", Reconnecting::at(at)));
            }
            None => {}
        }
        match self.exchange.poll(now, Deadline::none()) {
            Next::Send(send) => Ok(Step::Send(send)),
            Next::Read { until } => Ok(cx.clock.wait([until], now)),
            Next::Failed(error) => {
                cx.resumes.failed += 1;
                cx.resumes.is_useless |= refusal(&error).is_some();
                let at = cx.after(&error, now);
                cx.cause = Some(Arc::new(error));
                Err(cx.go("reconnecting: not resumed", Reconnecting::at(at)))
            }
            // Nothing is deleted here.
            Next::Gone => Err(Reconnecting::again(cx, now)),
        }
    }
}
