use std::collections::HashSet;

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
    /// The ids that later streams gave it, which may have joined in the middle.
    later: HashSet<Text<'static>>,
    /// The ids that it was given elsewhere.
    elsewhere: HashSet<Text<'static>>,
    /// The ids of what was stored when we joined a run that was streaming.
    before: Option<HashSet<Text<'static>>>,
}

/// What a thread has of our answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    None,
    /// The last message is an answer without a question, as only a reader who has joined stores it. It may be ours.
    Unclaimed(UiMessage),
    /// By the place in which it stands.
    Found(Stored),
    /// For certain: by an id that one of its streams gave it, or by its question.
    Named(Stored),
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq)]
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
    pub(super) fn named(&mut self, id: Option<&Text<'static>>, is_first: bool) {
        let id = id.filter(|id| is_id(id));
        match (is_first, id) {
            (true, id) => self.first = id.cloned(),
            (false, Some(id)) => remember(&mut self.later, id),
            (false, None) => {}
        }
    }

    /// The answer was given an id elsewhere: it names the answer, but nobody knows of what kind the stream was.
    pub(super) fn named_elsewhere(&mut self, id: Option<&Text<'static>>) {
        if let Some(id) = id.filter(|id| is_id(id)) {
            remember(&mut self.elsewhere, id);
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

    /// Looks for our answer. Failed and cancelled turns are not stored, so that the last answer may be that of an earlier turn.
    pub(super) fn find(&self, thread: &Thread) -> Answer {
        let messages: Vec<&UiMessage> = thread.ui_messages().collect();
        let Some(at) = self.position(&messages) else {
            let mut last = messages.iter().rev();
            let (last, before) = (last.next(), last.next());
            let is_answer = |message: &&&UiMessage| message.role == Role::Assistant;
            let unclaimed = last
                .filter(|last| is_answer(last) && before.is_none_or(|before| is_answer(&before)));
            return unclaimed.map_or(Answer::None, |answer| Answer::Unclaimed((*answer).clone()));
        };
        let Some(answer) = messages.get(at) else {
            return Answer::None;
        };
        let id = answer.id.as_ref();
        let before = at.checked_sub(1).and_then(|before| messages.get(before));
        let has_question = before.is_some_and(|before| before.role == Role::User);
        let is_later = id.is_some_and(|id| self.later.contains(id));
        let stored = Stored {
            message: (*answer).clone(),
            has_question,
            is_last: messages.last().and_then(|last| last.id.as_ref()) == id,
            is_first_readers: !is_later
                && match &self.first {
                    Some(first) => id == Some(first),
                    None => has_question,
                },
            may_be_tail: is_later || self.first.as_ref().is_some_and(|first| id != Some(first)),
        };
        let is_asked = self.first.is_none() && self.turn.is_some();
        match is_asked || id.is_some_and(|id| self.is_ours(id)) {
            true => Answer::Named(stored),
            false => Answer::Found(stored),
        }
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
        is_first || self.later.contains(id) || self.elsewhere.contains(id)
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

fn is_id(id: &Text<'_>) -> bool {
    *id != "" && id.to_string_lossy().len() <= LONGEST_ID
}

fn remember(ids: &mut HashSet<Text<'static>>, id: &Text<'static>) {
    if ids.len() < MOST_IDS {
        ids.insert(id.clone());
    }
}
