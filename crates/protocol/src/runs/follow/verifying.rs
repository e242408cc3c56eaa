//! A stream was opened, and nothing of it is taken until it is known to be ours.
//!
//! Resuming names a sandbox and means its newest thread that streams. Between the list that said it is ours and the stream, a newer
//! run may have begun: so the threads are listed once more, and it is looked whether our answer is stored already, in which case what
//! streams in our thread is a later turn.

use super::reading::Reading;
use super::reconnecting::Reconnecting;
use super::stream::Stream;
use super::{Following, Turn, refusal};
use crate::flow::{Call, ExchangeError, Now, Step, UnderWay};
use crate::runs::{LostReason, Moment, Outcome};
use crate::threads::{GetThread, ListThreads, StreamTarget};

#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) stream: Stream,
    before: StreamTarget,
    asking: Asking,
}

#[derive(Debug)]
enum Asking {
    Nothing,
    List(Call<ListThreads>),
    /// The stream is ours, unless our answer is stored.
    Look(Call<GetThread>),
}

/// What was found.
enum Found {
    /// It is ours, and whether the run still goes on.
    Ours {
        goes_on: bool,
    },
    Turn(Turn),
}

impl Verifying {
    pub(super) fn new(stream: Stream, before: StreamTarget) -> Self {
        Self {
            stream,
            before,
            asking: Asking::Nothing,
        }
    }

    pub(super) fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match &mut self.asking {
            Asking::List(list) => Some(list),
            Asking::Look(look) => Some(look),
            Asking::Nothing => None,
        }
    }

    pub(super) fn poll(mut self: Box<Self>, cx: &mut Following, now: Now) -> Turn {
        match self.ask(cx, now) {
            Ok(step) => Turn::Stay(self.into(), step),
            Err(Found::Turn(turn)) => turn,
            Err(Found::Ours { goes_on }) => self.ours(goes_on, cx, now),
        }
    }

    fn ask(&mut self, cx: &mut Following, now: Now) -> Result<Step<Moment, Outcome>, Found> {
        let refused =
            |cx: &mut Following, error| Found::Turn(cx.refused(LostReason::Refused, error));
        if matches!(self.asking, Asking::Nothing) {
            let list = cx.list().map_err(|error| refused(cx, error))?;
            self.asking = Asking::List(list);
        }
        if let Asking::List(list) = &mut self.asking {
            let threads = match cx.go_on(list, [], now) {
                Err(step) => return Ok(step),
                Ok(Ok(threads)) => threads,
                Ok(Err(error)) => return Err(Self::failed(error, cx, now)),
            };
            let target = StreamTarget::of(&threads, &cx.run.thread_id);
            cx.listed(&target);
            if !target.is_still_ours(&self.before) {
                cx.drop_all();
                let at = cx.later(now);
                let turn = cx.go("verifying: not ours", Reconnecting::at(at));
                return Err(Found::Turn(turn));
            }
            if !cx.can_look() {
                let goes_on = target.status().is_some_and(|status| !status.is_end());
                return Err(Found::Ours { goes_on });
            }
            let look = cx.look().map_err(|error| refused(cx, error))?;
            self.asking = Asking::Look(look);
        }
        let Asking::Look(look) = &mut self.asking else {
            return Err(Found::Ours { goes_on: true });
        };
        match cx.go_on(look, [], now) {
            Err(step) => Ok(step),
            Ok(Ok(thread)) => Err(match cx.settle(&thread, now) {
                None => Found::Ours { goes_on: true },
                Some(turn) => Found::Turn(turn),
            }),
            Ok(Err(error)) if refusal(&error) == Some(LostReason::TooLarge) => {
                // What is stored cannot be read, and is not needed yet.
                cx.looks.is_too_large = true;
                Err(Found::Ours { goes_on: true })
            }
            Ok(Err(error)) => Err(Self::failed(error, cx, now)),
        }
    }

    /// What cannot be verified is not read.
    fn failed(error: ExchangeError, cx: &mut Following, now: Now) -> Found {
        cx.drop_all();
        Found::Turn(Reconnecting::failed(error, cx, now))
    }

    fn ours(self: Box<Self>, goes_on: bool, cx: &mut Following, now: Now) -> Turn {
        if self.stream.is_too_long() {
            cx.resumes.failed += 1;
            cx.drop_all();
            let at = cx.later(now);
            return cx.go("verifying: too much came meanwhile", Reconnecting::at(at));
        }
        cx.resumes.has_read = true;
        cx.transcript.say(Moment::Resumed);
        let reading = match goes_on {
            true => Reading::of(self.stream),
            false => Reading::ending(self.stream, now),
        };
        cx.go("verifying: ours", reading)
    }
}
