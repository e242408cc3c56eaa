//! The guarantees for a user of the flows, checked at every step and at the end.
//!
//! 1. **Content.** The delivered chunks are the truth from its beginning, in order ([`Alignment`]). [`RunEvent::Gap`] marks a
//!    hole, after which something from further on follows. While the stored answer is being delivered the order is that of the
//!    parts in the message, so then each part must be a beginning of its part in the truth.
//! 2. **Nothing twice.** The alignment never goes back; words that the truth has once are delivered once, with gaps or without.
//! 3. **Nothing disappears.** `message()` always contains what was delivered. Whenever the flow waits, it is exactly the message
//!    of the delivered chunks, until it is final. Then it does not change any more, and contains everything that was delivered.
//! 4. **No other run.** No other run is cancelled. The stream of another run may be opened, if that run begins between the list and
//!    the request. It is never read: nothing of it is delivered, and no event says that the run is resumed.
//! 5. **No second cost.** At most one chat POST takes effect, or may have; at most one sandbox is created. A sandbox is deleted
//!    only if no run can be in it.
//! 6. **One true end.** A run is completed if and only if it has completed; failed with the text of its `error` chunk or of its
//!    thread; cancelled if it was. `finish` is delivered once for a completed run. Usage, subtype and the final message are those
//!    of the truth. An incompletely stored answer is reported as such.
//! 7. **Lost** only if the end could not be known:
//!    - *silence*: no byte of a stream came for `lost_after`, or no response while no stream was ever open;
//!    - *cut*: following is off, and a stream was cut before its `finish`;
//!    - *deadline*: it has passed;
//!    - *refused*: the last response was a refusal (400, 401, 403);
//!    - *deleted*: the relay reported that the thread or sandbox does not exist, and it does not;
//!    - *not stored*: the run had not begun when the thread was read, so nothing was streaming and nothing had ended.
//! 8. **It ends.** Following ends soon after it learned that the thread no longer streams, after `lost_after`, and after the
//!    deadline. It sends no more than three queries a second.
//! 9. **Events are true.** A cut, a resumed stream and a status are reported only if there was one. In the first stream, a gap
//!    follows each event that cannot be decoded.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use twentyfirst_protocol::runs::{LostReason, MessageState, Outcome, RunEnd, RunEvent};
use twentyfirst_protocol::ui::{Assembler, Chunk, Part, ToolState, UiMessage};

use crate::alignment::Alignment;
use crate::faults::{Ending, Tally};
use crate::relay::{At, Mark, Phase, Relay};
use crate::schedule::{Following, OUR_TURN, Way};
use crate::truth::{End, Truth};
use crate::world::{Asks, Handed};

/// A broken rule.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Content,
    Twice,
    Disappeared,
    AnotherRun,
    SecondCost,
    End,
    FinalMessage,
    Events,
    /// It goes on for ever, with or without time advancing, or sends too many queries.
    Endless,
}

pub(crate) type Verdict = Result<(), Violation>;

pub(crate) fn violation<T>(rule: Rule, why: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        rule,
        why: why.into(),
    })
}

/// A judge of one run that is followed.
pub(crate) struct Judge {
    truth: Rc<Truth>,
    following: Following,
    began: At,
    /// Whether the flow knows the id of the user's message.
    knows_user_message: bool,
    alignment: Alignment,
    assembler: Assembler,
    told: Told,
    delivered: Delivered,
    final_message: Option<UiMessage>,
}

/// The information that the flow has received.
#[derive(Debug, Default)]
struct Told {
    thread_id: String,
    is_open: bool,
    opened: usize,
    cuts: usize,
    cut_before_finish: bool,
    message_ids: Vec<String>,
    /// The ids that came with resumed streams.
    resumed_ids: Vec<String>,
    finish: bool,
    error: bool,
    done: bool,
    /// The time of the last byte of a stream or, while there was none, of the last response.
    news: At,
    ever_open: bool,
    status: Option<String>,
    /// The time since when the flow knows that the thread does not stream.
    over: Option<At>,
    /// Whether the thread was read when it no longer streamed.
    settled: bool,
    deleted: bool,
    refused: bool,
}

/// The output of the flow.
#[derive(Debug, Default)]
struct Delivered {
    starts: usize,
    finishes: usize,
    gaps: usize,
    cuts: usize,
    resumed: usize,
    /// Whether the run has reported that it failed.
    failed: bool,
    /// Whether the metadata of the end, with usage and subtype, was delivered.
    metadata: bool,
    /// Whether an invalid event came and its gap has not come yet.
    owes_gap: bool,
}

impl Judge {
    /// Creates a judge. `is_open` says whether the run's stream is already open.
    pub(crate) fn new(
        truth: Rc<Truth>,
        following: Following,
        thread_id: String,
        began: At,
        is_open: bool,
        knows_user_message: bool,
    ) -> Self {
        Self {
            alignment: Alignment::new(&truth),
            truth,
            following,
            began,
            knows_user_message,
            assembler: Assembler::new().lenient(true),
            told: Told {
                thread_id,
                is_open,
                ever_open: is_open,
                news: began,
                ..Told::default()
            },
            delivered: Delivered::default(),
            final_message: None,
        }
    }

    // ---- What the flow receives

    pub(crate) fn told(&mut self, now: At, asks: Asks, handed: &Handed) {
        let told = &mut self.told;
        match handed {
            Handed::Opened(head) => {
                told.is_open = head.status == 200;
                told.opened += usize::from(told.is_open);
                told.ever_open |= told.is_open;
                told.responded(head.status.as_u16());
                if told.is_open || !told.ever_open {
                    told.news = now;
                }
            }
            Handed::Data(_, marks) if told.is_open => {
                told.news = now;
                for mark in marks {
                    match mark {
                        Mark::Start(id) => {
                            told.message_ids.push(id.clone());
                            if asks == Asks::Resume {
                                told.resumed_ids.push(id.clone());
                            }
                        }
                        Mark::Finish => told.finish = true,
                        Mark::Error => told.error = true,
                        Mark::Done => told.done = true,
                        Mark::Other => {}
                    }
                }
            }
            Handed::End | Handed::Failure(_) if told.is_open && asks_for_stream(asks) => {
                told.is_open = false;
                told.cuts += 1;
                told.cut_before_finish |= !told.finish && !told.done;
            }
            Handed::Data(..) | Handed::End => {}
            Handed::Failure(_) => told.refused = false,
            Handed::Response { head, value, .. } => {
                told.responded(head.status.as_u16());
                if !told.ever_open {
                    told.news = now;
                }
                if head.status != 200 {
                    return;
                }
                let status = match asks {
                    Asks::Look | Asks::List => {
                        let list = if asks == Asks::Look {
                            &value["threads"]
                        } else {
                            value
                        };
                        let threads = list.as_array().into_iter().flatten();
                        let mut ours = threads.filter(|thread| thread["id"] == *told.thread_id);
                        let ours = ours.next();
                        if ours.is_none() {
                            told.deleted = true;
                        }
                        ours.map(|thread| &thread["status"])
                    }
                    Asks::Get => Some(&value["status"]),
                    _ => None,
                };
                if let Some(status) = status.and_then(Value::as_str) {
                    told.status = Some(status.to_owned());
                    if status == "streaming" {
                        // A follower that joined too early has learned that nothing streamed yet.
                        told.over = None;
                    } else {
                        told.over.get_or_insert(now);
                    }
                    // A stored run is over, even if the next turn streams in its thread.
                    let mut messages = value["messages"].as_array().into_iter().flatten();
                    let is_stored = messages.any(|message| message["id"] == OUR_TURN);
                    told.settled |= asks == Asks::Get && (status != "streaming" || is_stored);
                }
            }
        }
    }

    // ---- What the flow yields

    pub(crate) fn event(
        &mut self,
        event: &RunEvent,
        message: &UiMessage,
        has_message: bool,
        relay: &Relay,
    ) -> Verdict {
        let (told, delivered) = (&self.told, &mut self.delivered);
        match event {
            RunEvent::Chunk(chunk) => {
                if delivered.owes_gap {
                    return violation(Rule::Events, "no gap follows an invalid event");
                }
                self.chunk(chunk, relay)?;
            }
            // In a resumed stream the event may belong to the repeated part. After `finish` nothing can be missing, and after an
            // `error` nothing that matters.
            RunEvent::NotAChunk(_) => {
                let is_over = delivered.finishes > 0 || delivered.failed;
                delivered.owes_gap = delivered.resumed == 0 && !is_over;
                if delivered.failed {
                    self.alignment.gap();
                }
            }
            RunEvent::Gap => {
                delivered.owes_gap = false;
                delivered.gaps += 1;
                self.alignment.gap();
            }
            RunEvent::Cut(_) => {
                delivered.cuts += 1;
                if delivered.cuts > told.cuts + 1 || (told.done && told.finish) {
                    return violation(Rule::Events, "a cut is reported where there was none");
                }
            }
            RunEvent::Resumed => {
                delivered.resumed += 1;
                if delivered.resumed > told.opened {
                    return violation(Rule::Events, "a stream is reported as open that is not");
                }
            }
            RunEvent::Asked(status) => {
                if told.status.as_deref() != Some(status.as_str()) {
                    let why = format!("the relay reported {:?} and not {status:?}", told.status);
                    return violation(Rule::Events, why);
                }
            }
            _ => return violation(Rule::Events, "an unknown event"),
        }
        self.look(message, has_message)
    }

    fn chunk(&mut self, chunk: &Chunk<'static>, relay: &Relay) -> Verdict {
        let applied = self.assembler.apply(chunk);
        if let (Err(error), 0) = (&applied, self.delivered.gaps) {
            let why = format!("{} does not fit: {error}", chunk.encode());
            return violation(Rule::Content, why);
        }
        match chunk {
            Chunk::Start(start) => {
                self.delivered.starts += 1;
                let id = start.message_id.as_ref().map(|id| id.to_string_lossy());
                let ids = relay.ours().and_then(|run| run.stored.as_ref());
                let stored = ids.and_then(|stored| stored.message.id.clone());
                let known = id.as_ref().is_none_or(|id| {
                    self.told.message_ids.iter().any(|told| told == id)
                        || stored.is_some_and(|stored| stored.to_string_lossy() == *id)
                });
                if self.delivered.starts > 1 || !known {
                    return violation(Rule::Content, "a second `start`, or one with an unknown id");
                }
                return Ok(());
            }
            Chunk::Error(_) => self.delivered.failed = true,
            Chunk::Finish(_) => {
                self.delivered.finishes += 1;
                if self.delivered.finishes > 1 {
                    return violation(Rule::Twice, "`finish` is delivered twice");
                }
            }
            _ => {}
        }
        if let Chunk::MessageMetadata(metadata) = chunk {
            let metadata = metadata.message_metadata.as_ref();
            self.delivered.metadata |= metadata.is_some_and(|raw| raw.get().contains("sessionId"));
        }
        // Chunks for a cancelled reader are not part of the run.
        let of_cancelling = match chunk {
            Chunk::Error(error) => error.error_text == "cancelled",
            Chunk::MessageMetadata(_) | Chunk::Finish(_) => true,
            _ => false,
        };
        let cancelled = relay.our_phase() == Some(Phase::Cancelled);
        if self.told.settled {
            return self.settling(relay);
        }
        match self.alignment.delivered(chunk) {
            Err(_) if cancelled && of_cancelling => Ok(()),
            Err(why) => violation(Rule::Content, why),
            Ok(()) => Ok(()),
        }
    }

    /// Checks the stored answer while it is delivered, part by part.
    fn settling(&mut self, relay: &Relay) -> Verdict {
        if self.delivered.gaps > 0 {
            return Ok(());
        }
        let delivered = self.assembler.message();
        let stored = relay.ours().and_then(|run| run.stored.as_ref());
        let tail = stored.filter(|stored| !stored.whole);
        let begins = begins(delivered, &self.truth.message)
            || tail.is_some_and(|tail| begins(&content(delivered), &content(&tail.message)));
        if begins {
            return Ok(());
        }
        let why = format!(
            "the stored answer added content that is not in the truth: {}",
            serde_json::to_string(delivered).unwrap()
        );
        violation(Rule::Content, why)
    }

    fn look(&mut self, message: &UiMessage, has_message: bool) -> Verdict {
        if let Some(last) = &self.final_message {
            if last != message && json_of(last) != json_of(message) {
                return violation(Rule::Disappeared, "the final message has changed");
            }
        } else if has_message {
            self.final_message = Some(message.clone());
        }
        if !has_message && !begins(self.assembler.message(), message) && self.delivered.gaps == 0 {
            let why = format!(
                "the message lacks what was delivered:\n  {}\n  {}",
                serde_json::to_string(message).unwrap(),
                serde_json::to_string(self.assembler.message()).unwrap()
            );
            return violation(Rule::Disappeared, why);
        }
        Ok(())
    }

    /// Checks the message while the flow waits, when nothing is left to yield.
    pub(crate) fn waits(&mut self, message: &UiMessage, has_message: bool) -> Verdict {
        if !has_message && message != self.assembler.message() {
            let why = format!(
                "the message is not what was delivered:\n  {}\n  {}",
                serde_json::to_string(message).unwrap(),
                serde_json::to_string(self.assembler.message()).unwrap()
            );
            return violation(Rule::Disappeared, why);
        }
        Ok(())
    }

    // ---- The end

    /// Returns whether following goes on for too long without data, or after the flow has learned that the run is over.
    pub(crate) fn is_overdue(&self, now: At) -> bool {
        let slack = Duration::from_secs(600);
        let silent = self
            .following
            .lost_after
            .is_some_and(|lost| now > self.told.news + lost + slack);
        let late = self
            .following
            .deadline
            .is_some_and(|deadline| now > self.began + deadline + slack);
        // Statuses that it received while bytes still came are repeated after enough silence.
        let again = self.following.ask_after.unwrap_or_default();
        let told = self
            .told
            .over
            .is_some_and(|over| now > over + again + slack);
        (silent && self.told.ever_open) || late || told
    }

    pub(crate) fn end(
        mut self,
        now: At,
        outcome: &Outcome,
        message: &UiMessage,
        relay: &Relay,
        tally: &mut Tally,
    ) -> Verdict {
        if self.delivered.owes_gap {
            return violation(Rule::Events, "no gap follows an invalid event");
        }
        if let Some(last) = &self.final_message
            && json_of(last) != json_of(message)
        {
            return violation(
                Rule::Disappeared,
                "the final message has changed at the end",
            );
        }
        let phase = relay.our_phase();
        let is_true = match &outcome.end {
            RunEnd::Completed => phase == Some(Phase::Completed),
            RunEnd::Cancelled => phase == Some(Phase::Cancelled),
            // An `error` chunk is the end, whatever follows.
            RunEnd::Failed(text) => {
                (phase == Some(Phase::Failed) || self.told.error) && self.is_the_reason(text, relay)
            }
            RunEnd::Lost(lost) => self.may_be_lost(now, lost.reason, relay),
        };
        if !is_true {
            let stored = relay.ours().and_then(|run| run.stored.as_ref());
            let why = format!(
                "the outcome is {:?}, but the run is {phase:?}, its truth ends {:?}, its thread says {:?}, stored {:?}; told {:?}",
                outcome.end,
                self.truth.end,
                relay
                    .our_thread()
                    .map(|thread| (thread.status, &thread.error, thread.deleted)),
                stored.map(|stored| (&stored.message.id, stored.whole, stored.with_user_message)),
                self.told,
            );
            return violation(Rule::End, why);
        }
        if matches!(outcome.end, RunEnd::Completed) {
            self.completed(outcome, message, relay)?;
        } else {
            // A run that is lost after its `finish` was delivered completely.
            let has_finished = matches!(outcome.end, RunEnd::Lost(_))
                && (self.delivered.finishes, self.delivered.gaps) == (1, 0)
                && alike(message, &self.truth.message);
            let is_true = match outcome.message_state {
                MessageState::Partial => true,
                MessageState::Whole => has_finished,
                _ => false,
            };
            if !is_true {
                return violation(
                    Rule::FinalMessage,
                    "an incomplete message is not called partial",
                );
            }
            if outcome.is_success() {
                return violation(
                    Rule::End,
                    "a run that has not completed is called a success",
                );
            }
            if message != self.assembler.message() {
                return violation(
                    Rule::Disappeared,
                    "the last message is not what was delivered",
                );
            }
        }
        self.nothing_twice()?;
        self.count(outcome, tally);
        Ok(())
    }

    fn is_the_reason(&self, text: &str, relay: &Relay) -> bool {
        let of_chunk =
            matches!(&self.truth.end, End::Fails { error_text, .. } if error_text == text);
        let of_thread = relay
            .our_thread()
            .is_some_and(|thread| thread.error.as_deref() == Some(text));
        of_chunk || of_thread
    }

    fn may_be_lost(&self, now: At, reason: LostReason, relay: &Relay) -> bool {
        let told = &self.told;
        match reason {
            LostReason::Silence => self
                .following
                .lost_after
                .is_some_and(|lost| now >= told.news + lost),
            LostReason::Cut => self.following.way == Way::Off && told.cut_before_finish,
            LostReason::Deadline => self
                .following
                .deadline
                .is_some_and(|deadline| now >= self.began + deadline),
            LostReason::Refused => told.refused,
            LostReason::Deleted => told.deleted && relay.our_sandbox_is_deleted(),
            LostReason::NotStored => told.status.as_deref() == Some("idle"),
            _ => false,
        }
    }

    fn can_know_stored(&self, relay: &Relay) -> bool {
        let Some(stored) = relay.ours().and_then(|run| run.stored.as_ref()) else {
            return false;
        };
        let id = stored.message.id.as_ref().map(|id| id.to_string_lossy());
        let seen = self
            .told
            .message_ids
            .iter()
            .any(|told| Some(told.as_str()) == id.as_deref());
        // A follower without the id of the user's message relies on what was stored before it joined.
        let by_place =
            !self.knows_user_message && self.told.message_ids.is_empty() && self.following.joins;
        seen || by_place || (self.knows_user_message && stored.with_user_message)
    }

    fn completed(&mut self, outcome: &Outcome, message: &UiMessage, relay: &Relay) -> Verdict {
        if self.delivered.finishes != 1 {
            let why = format!("`finish` was delivered {} times", self.delivered.finishes);
            return violation(Rule::End, why);
        }
        let deleted = relay.our_sandbox_is_deleted();
        // The thread has the usage; only the metadata of the stream and of the stored answer has the subtype.
        let has_usage = outcome.usage == self.truth.usage || (deleted && self.delivered.gaps > 0);
        let tail = relay
            .ours()
            .and_then(|run| run.stored.as_ref())
            .is_some_and(|stored| !stored.whole);
        let missed = !self.delivered.metadata && (deleted || tail || !self.can_know_stored(relay));
        let known = outcome.result_subtype == self.truth.result_subtype;
        if !has_usage || !(known || missed && outcome.result_subtype.is_none()) {
            let why = format!(
                "the run used {:?} and was {:?}, but the outcome says {:?} and {:?}",
                self.truth.usage, self.truth.result_subtype, outcome.usage, outcome.result_subtype
            );
            return violation(Rule::End, why);
        }
        let error = self
            .truth
            .result_subtype
            .as_ref()
            .is_some_and(|subtype| subtype.starts_with("error"));
        if known && outcome.is_success() == error {
            return violation(
                Rule::End,
                "an error of the runtime is called a success, or the other way round",
            );
        }

        let stored = relay.ours().and_then(|run| run.stored.as_ref());
        let is_whole = alike(message, &self.truth.message);
        let tail = stored.filter(|stored| !stored.whole);
        let has_gap = self.delivered.gaps > 0;
        // After a gap, the answer stored by a reader that resumed cannot be told from one stored by a reader that joined in the
        // middle. The same holds for one that was stored without its question.
        let may_be_tail = stored.is_some_and(|stored| {
            let id = stored.message.id.as_ref().map(|id| id.to_string_lossy());
            let mut resumed = self.told.resumed_ids.iter();
            let is_resumed = resumed.any(|told| Some(told.as_str()) == id.as_deref());
            !stored.with_user_message || (has_gap && is_resumed)
        });
        let is_known = !deleted && tail.is_none() && self.can_know_stored(relay);
        let problem = match outcome.message_state {
            MessageState::Whole if is_whole => None,
            // It is all that is left, and no id shows that its reader joined in the middle: that there was more cannot be known.
            MessageState::Whole
                if !may_be_tail && tail.is_some_and(|tail| alike(message, &tail.message)) =>
            {
                None
            }
            MessageState::Whole => Some("the message is called whole and is not"),
            MessageState::StoredIncompletely if is_known && !is_whole => {
                Some("the message is not the stored one, which is whole")
            }
            MessageState::StoredIncompletely if is_known && !may_be_tail => {
                Some("a whole stored answer is called stored incompletely")
            }
            MessageState::StoredIncompletely => None,
            MessageState::Partial => Some("a completed run's message is called partial"),
            _ => Some("the message state is unknown"),
        };
        if let Some(problem) = problem {
            let why = format!(
                "{problem}:\n  final  {}\n  truth  {}\n  stored {}",
                serde_json::to_string(message).unwrap(),
                serde_json::to_string(&self.truth.message).unwrap(),
                stored.map_or(String::new(), |stored| serde_json::to_string(
                    &stored.message
                )
                .unwrap()),
            );
            return violation(Rule::FinalMessage, why);
        }
        let no_gap = self.delivered.gaps == 0;
        let delivered = self.assembler.message();
        // A later reader has missed steps and empty texts.
        let contained = if no_gap {
            begins(delivered, message)
                || (tail.is_some() && begins(&content(delivered), &content(message)))
        } else {
            fragments(delivered, message)
        };
        if !contained {
            let why = format!(
                "the final message lacks what was delivered:\n  final     {}\n  delivered {}",
                serde_json::to_string(message).unwrap(),
                serde_json::to_string(delivered).unwrap()
            );
            return violation(Rule::Disappeared, why);
        }
        let is_all = alike(delivered, message)
            || (tail.is_some() && alike(&content(delivered), &content(message)));
        if no_gap && outcome.message_state == MessageState::Whole && !is_all {
            let why = format!(
                "without a gap not everything was delivered:\n  final     {}\n  delivered {}",
                serde_json::to_string(message).unwrap(),
                serde_json::to_string(delivered).unwrap()
            );
            return violation(Rule::Content, why);
        }
        if no_gap && !self.told.settled && !self.alignment.is_complete() {
            return violation(Rule::Content, "without a gap not everything was delivered");
        }
        Ok(())
    }

    /// Checks that words that the truth has once are delivered once. Words that a gap cut in two do not count.
    fn nothing_twice(&mut self) -> Verdict {
        let words = |message: &UiMessage| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            let texts = message.parts.iter().filter_map(|part| match part {
                Part::Text(part) => Some(part.text.to_string_lossy()),
                Part::Reasoning(part) => Some(part.text.to_string_lossy()),
                _ => None,
            });
            for text in texts {
                let whole = text.split_inclusive(' ').filter(|word| word.ends_with(' '));
                for word in whole.filter(|word| word.starts_with('k')) {
                    *counts.entry(word.to_owned()).or_default() += 1;
                }
            }
            counts
        };
        let truth = words(&self.truth.message);
        for (word, count) in words(self.assembler.message()) {
            if truth.get(&word).is_some_and(|in_truth| count > *in_truth) {
                let why = format!("{word:?} was delivered {count} times");
                return violation(Rule::Twice, why);
            }
        }
        Ok(())
    }

    fn count(&self, outcome: &Outcome, tally: &mut Tally) {
        let ending = match &outcome.end {
            RunEnd::Completed => Ending::Completed,
            RunEnd::Cancelled => Ending::Cancelled,
            RunEnd::Failed(_) => Ending::Failed,
            RunEnd::Lost(lost) => match lost.reason {
                LostReason::Silence => Ending::LostSilence,
                LostReason::Cut => Ending::LostCut,
                LostReason::Deadline => Ending::LostDeadline,
                LostReason::Refused => Ending::LostRefused,
                LostReason::Deleted => Ending::LostDeleted,
                _ => Ending::LostNotStored,
            },
        };
        tally.ended(ending);
        if ending == Ending::Completed {
            if self.delivered.cuts > 0 {
                tally.ended(Ending::CompletedAfterCut);
            }
            if self.delivered.gaps > 0 {
                tally.ended(Ending::CompletedAfterGap);
            }
            if outcome.message_state == MessageState::StoredIncompletely {
                tally.ended(Ending::StoredIncompletely);
            }
        }
    }
}

impl Told {
    fn responded(&mut self, status: u16) {
        self.deleted |= status == 404;
        self.refused = matches!(status, 400 | 401 | 403);
    }
}

fn asks_for_stream(asks: Asks) -> bool {
    matches!(asks, Asks::Resume | Asks::SendMessages)
}

/// Returns whether two messages have equal contents, ignoring ids that differ between readers.
fn alike(one: &UiMessage, other: &UiMessage) -> bool {
    canonical(one) == canonical(other)
}

/// Returns a message without empty parts: the starts of steps, and empty texts.
fn content(message: &UiMessage) -> UiMessage {
    let mut message = message.clone();
    message.parts.retain(|part| match part {
        Part::StepStart(_) => false,
        Part::Text(part) => part.text != "",
        Part::Reasoning(part) => part.text != "",
        _ => true,
    });
    message
}

/// Returns the message as JSON, ignoring the order of object members.
fn json_of(message: &UiMessage) -> Value {
    serde_json::to_value(message).unwrap()
}

fn canonical(message: &UiMessage) -> Value {
    let mut value = json_of(message);
    let members = value.as_object_mut().unwrap();
    members.remove("id");
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("finalTextId");
    }
    for part in members
        .get_mut("parts")
        .and_then(Value::as_array_mut)
        .unwrap()
    {
        let part = part.as_object_mut().unwrap();
        if part.get("type").is_some_and(|kind| kind == "reasoning") {
            part.remove("id");
        }
        // Deltas are not stored, so the stored answer lacks the raw text of an input.
        part.remove("rawInput");
    }
    value
}

/// Returns whether `part` is a beginning of the message `whole`: part by part, in order.
fn begins(part: &UiMessage, whole: &UiMessage) -> bool {
    part.parts.len() <= whole.parts.len()
        && part
            .parts
            .iter()
            .zip(&whole.parts)
            .all(|(part, whole)| part_begins(part, whole))
}

fn part_begins(part: &Part, whole: &Part) -> bool {
    match (part, whole) {
        (Part::Text(part), Part::Text(whole)) => {
            text_begins(&part.text.to_string_lossy(), &whole.text.to_string_lossy())
        }
        (Part::Reasoning(part), Part::Reasoning(whole)) => {
            text_begins(&part.text.to_string_lossy(), &whole.text.to_string_lossy())
        }
        (Part::Tool(part), Part::Tool(whole)) => {
            let same = |one: &Option<_>, other: &Option<_>| json(one) == json(other);
            part.tool_call_id == whole.tool_call_id
                && part.tool_name == whole.tool_name
                && match part.state {
                    ToolState::InputStreaming => true,
                    ToolState::InputAvailable => same(&part.input, &whole.input),
                    _ => {
                        same(&part.input, &whole.input)
                            && (part.preliminary == Some(true) || same(&part.output, &whole.output))
                            && part.error_text == whole.error_text
                    }
                }
        }
        // A later one with the same id replaces it.
        (Part::Data(part), Part::Data(whole)) if part.id.is_some() => {
            part.name == whole.name && part.id == whole.id
        }
        _ => part == whole || serde_json::to_value(part).ok() == serde_json::to_value(whole).ok(),
    }
}

/// Returns whether a text is a beginning. Half an emoji at the end is shown as U+FFFD until its other half comes.
fn text_begins(part: &str, whole: &str) -> bool {
    whole.starts_with(part.trim_end_matches(char::REPLACEMENT_CHARACTER))
}

fn json(raw: &Option<twentyfirst_protocol::ui::RawJson<'static>>) -> Option<Value> {
    raw.as_ref().and_then(|raw| raw.deserialize().ok())
}

/// Returns whether everything in `part`, which has holes, is somewhere in `whole`. Steps are ignored.
fn fragments(part: &UiMessage, whole: &UiMessage) -> bool {
    part.parts.iter().all(|part| match part {
        // Not content.
        Part::StepStart(_) => true,
        Part::Text(text) => {
            let texts = whole.parts.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.text.to_string_lossy()),
                _ => None,
            });
            in_order(&text.text.to_string_lossy(), texts)
        }
        Part::Reasoning(text) => {
            let texts = whole.parts.iter().filter_map(|part| match part {
                Part::Reasoning(text) => Some(text.text.to_string_lossy()),
                _ => None,
            });
            in_order(&text.text.to_string_lossy(), texts)
        }
        _ => whole.parts.iter().any(|whole| {
            // A call whose announcement was missed has only its later chunks, without name and input. Preliminary outputs are
            // replaced.
            let missed = matches!((part, whole), (Part::Tool(part), Part::Tool(whole))
                if part.tool_call_id == whole.tool_call_id
                    && (part.preliminary == Some(true) || json(&part.output) == json(&whole.output))
                    && part.error_text == whole.error_text);
            missed || part_begins(part, whole)
        }),
    })
}

/// Returns whether a text with holes consists of pieces of these texts, in order, character by character.
fn in_order<T: AsRef<str>>(text: &str, texts: impl Iterator<Item = T>) -> bool {
    let mut rest = text
        .chars()
        .filter(|char| *char != char::REPLACEMENT_CHARACTER)
        .peekable();
    for text in texts {
        for char in text.as_ref().chars() {
            if rest.peek() == Some(&char) {
                rest.next();
            }
        }
    }
    rest.peek().is_none()
}
