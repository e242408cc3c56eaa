use std::collections::{HashMap, HashSet};

use super::verdict::AnswerIs;
use crate::runs::RunRef;
use crate::threads::Thread;
use crate::ui::{Role, Text, UiMessage};

/// The most ids of an answer that are remembered, and how long in bytes one may be. A run has one for each of its streams.
const MOST_IDS: usize = 64;
const LONGEST_ID: usize = 1024;

/// What tells our answer from the others of its thread.
///
/// The relay has no ids for runs. What it has are the id of the user's message, which is stored before the answer by whoever
/// started the run, and the id that `start` gives the answer: each stream has one of its own, and the answer is stored with that
/// of the reader who stored it.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The id of the user's message that is answered.
    turn: Option<Text<'static>>,
    /// Whether the run was started elsewhere.
    is_joined: bool,
    /// The id that the first stream gave the answer.
    first: Option<Text<'static>>,
    /// The ids that other streams gave it.
    others: HashMap<Text<'static>, Reader>,
    /// The ids of what was stored when we joined a run that was streaming.
    before: Option<HashSet<Text<'static>>>,
}

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// We, from its beginning.
    First,
    /// We, and it may have joined in the middle.
    Later,
    /// Somebody else: nobody knows of what kind it was.
    Elsewhere,
}

/// A stored answer.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) message: UiMessage,
    /// Whether it stands behind a message of the user's. Whoever has joined a run stores no question.
    pub(super) has_question: bool,
    /// Whether it is the last of its thread, so that what the thread has used is what it cost.
    pub(super) is_last: bool,
    /// Whether it was stored by whoever read the run from its beginning, so that it is all of it.
    pub(super) is_first_readers: bool,
    /// Whether it has the id of a reader who may have joined in the middle.
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

    /// A stream has given the answer an id, or none.
    pub(super) fn named(&mut self, id: Option<&Text<'static>>, reader: Reader) {
        let id = id.filter(|id| **id != "" && id.to_string_lossy().len() <= LONGEST_ID);
        match (reader, id) {
            (Reader::First, id) => self.first = id.cloned(),
            (_, Some(id)) if self.others.len() < MOST_IDS => {
                self.others.insert(id.clone(), reader);
            }
            _ => {}
        }
    }

    /// We join a run that streams, and this is stored already: none of it is the answer.
    pub(super) fn joins_behind(&mut self, thread: &Thread) {
        let ids = thread
            .ui_messages()
            .filter_map(|message| message.id.clone());
        self.before = Some(ids.collect());
    }

    /// Whether the run was started elsewhere.
    pub(super) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Whether the answer is known by its question.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether our answer could be found among what is stored while its thread streams.
    pub(super) fn is_known(&self) -> bool {
        self.first.is_some() || self.turn.is_some() || self.before.is_some()
    }

    /// Looks for our answer, and how it is known. Failed and cancelled turns are not stored, so that the last answer may be that of an
    /// earlier turn.
    pub(super) fn find(&self, thread: &Thread) -> (AnswerIs, Option<Stored>) {
        let messages: Vec<&UiMessage> = thread.ui_messages().collect();
        let last = messages.len().checked_sub(1);
        let ours = self.position(&messages);
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
            is_last: messages.last().and_then(|last| last.id.as_ref()) == id,
            is_first_readers: !is_later && is_firsts.unwrap_or(has_question),
            may_be_tail: is_later || is_firsts == Some(false),
        };
        (is, Some(stored))
    }

    /// The place of our answer.
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
            (Some(_), _) => None,
            (None, Some(before)) => messages.iter().position(|message| {
                let id = message.id.as_ref();
                message.role == Role::Assistant && id.is_some_and(|id| !before.contains(id))
            }),
            // Nothing streamed when we came.
            (None, None) if self.is_joined => {
                let last = messages.len().checked_sub(1)?;
                (messages.last()?.role == Role::Assistant).then_some(last)
            }
            (None, None) => None,
        };
        last_answer(&is_first)
            .or_else(by_turn)
            .or_else(|| last_answer(&is_ours))
            .or_else(by_place)
    }

    /// Whether one of our streams, here or elsewhere, gave the answer this id.
    fn is_ours(&self, id: &Text<'static>) -> bool {
        let is_first = self.first.as_ref() == Some(id);
        is_first || self.others.contains_key(id)
    }
}

/// Where the answer to the turn whose question has this id is stored.
pub(in crate::runs) fn position_of_answer(
    messages: &[&UiMessage],
    turn: &Text<'_>,
) -> Option<usize> {
    let is_question =
        |message: &&UiMessage| message.role == Role::User && message.id.as_ref() == Some(turn);
    let answer = messages.iter().rposition(is_question)? + 1;
    // Another answer behind it would be ours without its question, and this one that of an earlier turn with the same id.
    let next = messages.get(answer + 1);
    let is_ours = next.is_none_or(|next| next.role == Role::User);
    (messages.get(answer)?.role == Role::Assistant && is_ours).then_some(answer)
}
