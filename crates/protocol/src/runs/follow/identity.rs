use std::collections::{HashMap, HashSet};

use super::verdict::AnswerIs;
use crate::runs::RunRef;
use crate::threads::Thread;
use crate::ui::{Role, Text, UiMessage};

/// The most ids of an answer that are kept, and the longest in bytes. A run has one id for each of its streams.
const MOST_IDS: usize = 64;
const LONGEST_ID: usize = 1024;

/// The facts that distinguish our answer from others in the same thread.
///
/// The relay has no ids for runs. It has two other ids. The id of the user's message is stored before the answer by the reader
/// that started the run. The id in the chunk `start` names the answer; it differs from stream to stream, and the stored answer
/// has the id of the stream whose reader stored it.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The id of the user's message that the run answers.
    turn: Option<Text<'static>>,
    /// Whether the run was started elsewhere.
    is_joined: bool,
    /// The id of the answer on the first stream.
    first: Option<Text<'static>>,
    /// The ids of the answer on other streams.
    others: HashMap<Text<'static>, Reader>,
    /// The ids of the messages that were already stored when we joined a streaming run.
    before: Option<HashSet<Text<'static>>>,
}

/// The reader of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Ourselves, from its beginning.
    First,
    /// Ourselves, perhaps from the middle.
    Later,
    /// Another process, perhaps from the middle.
    Elsewhere,
}

/// A stored answer.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) message: UiMessage,
    /// Whether it follows a message of the user. A reader that joined stores the answer without that message.
    pub(super) has_question: bool,
    /// Whether it is the last message of its thread. Then the usage of the thread is the usage of this run.
    pub(super) is_last: bool,
    /// Whether it was stored by a reader that had read from the beginning, so that it is complete.
    pub(super) is_first_readers: bool,
    /// Whether it has the id of a reader that may have joined in the middle.
    pub(super) may_be_tail: bool,
}

impl Identity {
    pub(super) fn new(run: &RunRef, is_joined: bool) -> Self {
        Self {
            turn: run.turn().cloned(),
            is_joined,
            ..Self::default()
        }
    }

    /// Notes the id that a stream gave the answer.
    pub(super) fn named(&mut self, id: Option<&Text<'static>>, reader: Reader) {
        let id = id.filter(|id| **id != "" && id.to_string_lossy().len() <= LONGEST_ID);
        match (reader, id) {
            // Only one stream is the first; without an id, the answer cannot be recognized by it.
            (Reader::First, id) => self.first = id.cloned(),
            (_, Some(id)) if self.others.len() < MOST_IDS => {
                self.others.insert(id.clone(), reader);
            }
            _ => {}
        }
    }

    /// Notes what is stored when we join a streaming run: none of it is our answer.
    pub(super) fn joins_behind(&mut self, thread: &Thread) {
        let ids = thread
            .ui_messages()
            .filter_map(|message| message.id.clone());
        self.before = Some(ids.collect());
    }

    /// Returns whether the run was started elsewhere.
    pub(super) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Returns whether the id of the user's message is known.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Returns whether our answer could be recognized among the stored messages while its thread is streaming.
    pub(super) fn is_known(&self) -> bool {
        self.first.is_some() || self.turn.is_some() || self.before.is_some()
    }

    /// Finds our answer, and how certainly it is ours. Failed and cancelled turns are not stored, so the last answer may belong
    /// to an earlier turn.
    pub(super) fn find(&self, thread: &Thread) -> (AnswerIs, Option<Stored>) {
        let messages: Vec<&UiMessage> = thread.ui_messages().collect();
        let last = messages.len().checked_sub(1);
        let ours = self.position(&messages);
        // The last message is a candidate too: a reader that joined stores its answer without the question.
        let Some((at, answer)) = ours.or(last).and_then(|at| Some((at, *messages.get(at)?))) else {
            return (AnswerIs::None, None);
        };
        let before = at.checked_sub(1).and_then(|before| messages.get(before));
        let has_question = before.is_some_and(|before| before.role == Role::User);
        let is_answer = |message: &UiMessage| message.role == Role::Assistant;
        let id = answer.id.as_ref();
        let reader = id.and_then(|id| self.others.get(id));
        let is_later = reader == Some(&Reader::Later);
        let is_asked = self.first.is_none() && self.turn.is_some();
        // The place after our own question is as certain as an id, unless our first stream gave the answer an id: then an answer
        // with another id was stored by somebody else.
        let is = match ours {
            Some(_) if is_asked || id.is_some_and(|id| self.is_ours(id)) => AnswerIs::Named,
            Some(_) => AnswerIs::Found,
            None if is_answer(answer) && before.is_none_or(|before| is_answer(before)) => {
                AnswerIs::Unclaimed
            }
            None => return (AnswerIs::None, None),
        };
        let is_firsts = self.first.as_ref().map(|first| id == Some(first));
        let stored = Stored {
            message: answer.clone(),
            has_question,
            is_last: Some(at) == last,
            // If our first stream was never seen, the question tells: a reader that joined stores the answer without it.
            is_first_readers: !is_later && is_firsts.unwrap_or(has_question),
            may_be_tail: is_later || is_firsts == Some(false),
        };
        (is, Some(stored))
    }

    /// Returns the position of our answer.
    fn position(&self, messages: &[&UiMessage]) -> Option<usize> {
        let last_answer = |is_it: &dyn Fn(&UiMessage) -> bool| {
            messages
                .iter()
                .rposition(|message| message.role == Role::Assistant && is_it(message))
        };
        let is_first =
            |answer: &UiMessage| self.first.is_some() && answer.id.as_ref() == self.first.as_ref();
        let is_ours = |answer: &UiMessage| answer.id.as_ref().is_some_and(|id| self.is_ours(id));
        let by_turn = || position_of_answer(messages, self.turn.as_ref()?);
        let by_place = || match (&self.turn, &self.before) {
            // With the id of the question, an answer elsewhere belongs to another turn.
            (Some(_), _) => None,
            (None, Some(before)) => messages.iter().position(|message| {
                let id = message.id.as_ref();
                message.role == Role::Assistant && id.is_some_and(|id| !before.contains(id))
            }),
            // Nothing was streaming when we joined.
            (None, None) if self.is_joined => {
                let last = messages.len().checked_sub(1)?;
                (messages.last()?.role == Role::Assistant).then_some(last)
            }
            (None, None) => None,
        };
        // In the order of certainty.
        last_answer(&is_first)
            .or_else(by_turn)
            .or_else(|| last_answer(&is_ours))
            .or_else(by_place)
    }

    /// Returns whether one of our streams, here or elsewhere, gave the answer this id.
    fn is_ours(&self, id: &Text<'static>) -> bool {
        let is_first = self.first.as_ref() == Some(id);
        is_first || self.others.contains_key(id)
    }
}

/// Returns the position of the stored answer to the user's message with this id.
pub(in crate::runs) fn position_of_answer(
    messages: &[&UiMessage],
    turn: &Text<'_>,
) -> Option<usize> {
    let is_question =
        |message: &&UiMessage| message.role == Role::User && message.id.as_ref() == Some(turn);
    let answer = messages.iter().rposition(is_question)? + 1;
    // Two answers in a row: the second would be ours, stored without its question, and the first would belong to an earlier turn
    // with the same id.
    let next = messages.get(answer + 1);
    let is_ours = next.is_none_or(|next| next.role == Role::User);
    (messages.get(answer)?.role == Role::Assistant && is_ours).then_some(answer)
}
