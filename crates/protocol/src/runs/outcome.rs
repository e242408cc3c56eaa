use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::RunRef;
use crate::error::shown;
use crate::flow::ExchangeError;
use crate::secret::Redactor;
use crate::threads::Usage;
use crate::{SandboxId, ThreadId};

/// The result of a run. Every run that is followed has one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The way it ended.
    pub end: RunEnd,
    /// `resultSubtype`, the runtime's word for the result if it reported one: `success`, `error_max_turns`, ….
    pub result_subtype: Option<String>,
    /// The usage and cost, as far as they are known.
    pub usage: Usage,
    /// The completeness of its message.
    pub message_state: MessageState,
}

impl Outcome {
    /// Creates an outcome from its end alone, without usage. The message of a completed run counts as whole.
    pub fn new(end: RunEnd) -> Self {
        Self {
            message_state: match end {
                RunEnd::Completed => MessageState::Whole,
                _ => MessageState::Partial,
            },
            end,
            result_subtype: None,
            usage: Usage::default(),
        }
    }

    /// Returns whether the run completed and the runtime does not call it an error. A completed run without a `result_subtype`
    /// counts as a success.
    ///
    /// This is only the runtime's word: it also reports `success` when the text contains a failure of the model's API.
    pub fn is_success(&self) -> bool {
        matches!(self.end, RunEnd::Completed) && self.error_type().is_none()
    }

    /// Returns a word for the error: see [`RunEnd::error_type`].
    pub fn error_type(&self) -> Option<&str> {
        self.end.error_type(self.result_subtype.as_deref())
    }

    /// Returns the outcome with every occurrence of `secrets` in the relay's texts replaced by `***`.
    ///
    /// `AgentClient` has already removed its own key or token. It does not know the secrets that a sandbox was created with,
    /// perhaps by another process: before logging or showing the text of a failed run, pass the values of its `envs` here.
    ///
    /// ```
    /// use twentyfirst_protocol::runs::{FollowFlow, RunEnd};
    ///
    /// # fn example(flow: &FollowFlow) -> Option<()> {
    /// let database_password = "correct horse battery staple";
    /// let outcome = flow.outcome()?.clone().redacted(&[database_password]);
    /// if let RunEnd::Failed(text) = &outcome.end {
    ///     eprintln!("{text}");
    /// }
    /// # Some(())
    /// # }
    /// ```
    #[must_use]
    pub fn redacted(mut self, secrets: &[&str]) -> Self {
        match &mut self.end {
            RunEnd::Failed(text) => *text = Redactor::new(secrets).redact(text),
            RunEnd::Lost(lost) => {
                let source = lost.source.as_ref();
                let source = source.and_then(|source| source.downcast_ref::<ExchangeError>());
                if let Some(redacted) = source.and_then(|source| source.redacted(secrets)) {
                    lost.source = Some(Arc::new(redacted));
                }
            }
            RunEnd::Completed | RunEnd::Cancelled => {}
        }
        self
    }
}

/// Writes a row for a database or a log: `end` is [`RunEnd::as_str`], `reason` the relay's full reason for a failure or the word
/// of a [`LostReason`], `errorType` is [`Outcome::error_type`], and `messageState` is [`MessageState::as_str`].
impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reason = match &self.end {
            RunEnd::Completed | RunEnd::Cancelled => None,
            RunEnd::Failed(reason) => Some(reason.as_str()),
            RunEnd::Lost(lost) => Some(lost.reason.as_str()),
        };
        let optional = [
            ("reason", reason),
            ("errorType", self.error_type()),
            ("resultSubtype", self.result_subtype.as_deref()),
        ];
        let given = optional.iter().filter(|(_, value)| value.is_some()).count();
        let mut outcome = serializer.serialize_struct("Outcome", 3 + given)?;
        outcome.serialize_field("end", self.end.as_str())?;
        for (name, value) in optional {
            match value {
                Some(value) => outcome.serialize_field(name, value)?,
                None => outcome.skip_field(name)?,
            }
        }
        outcome.serialize_field("usage", &self.usage)?;
        outcome.serialize_field("messageState", self.message_state.as_str())?;
        outcome.end()
    }
}

/// Writes one line to show: the [end](RunEnd), and if a completed run counts as an error, the runtime's word for it.
///
/// ```
/// use twentyfirst_protocol::runs::Outcome;
///
/// fn told(outcome: &Outcome) -> Option<String> {
///     // `failed: the model is overloaded`, `completed: error_max_turns`
///     (!outcome.is_success()).then(|| outcome.to_string())
/// }
/// # let _ = told;
/// ```
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.fmt(f)?;
        match (&self.end, self.error_type()) {
            (RunEnd::Completed, Some(error)) => write!(f, ": {}", shown(error)),
            _ => Ok(()),
        }
    }
}

/// The way a run ended.
///
/// Deliberately exhaustive: code that stores or bills runs must handle each end. An unknown end is [`Lost`](Self::Lost).
///
/// [`as_str`](Self::as_str) is the word to store. `Display` is a line to show: the word, and why the run failed or was lost.
///
/// ```
/// use twentyfirst_protocol::runs::RunEnd;
///
/// let end = RunEnd::Failed("the model is overloaded".to_owned());
/// assert_eq!(end.as_str(), "failed");
/// assert_eq!(end.to_string(), "failed: the model is overloaded");
/// ```
#[derive(Clone)]
pub enum RunEnd {
    /// The run came to its end, perhaps at one of its limits: see [`Outcome::is_success`].
    Completed,
    /// The run was cancelled.
    Cancelled,
    /// The run failed, for this reason given by the relay.
    Failed(String),
    /// The end of the run is unknown. It may go on and cost money.
    Lost(Lost),
}

impl RunEnd {
    /// Returns the end as one lower-case word: `completed`, `cancelled`, `failed` or `lost`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
            Self::Lost(_) => "lost",
        }
    }

    /// Returns the code at the start of the relay's reason for a failure, as in `session_expired: …`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) => reason
                .split_once(':')
                .map(|(code, _)| code)
                .filter(|code| is_code(code)),
            Self::Completed | Self::Cancelled | Self::Lost(_) => None,
        }
    }

    /// Returns a word for the error, suitable for OpenTelemetry's `error.type`. Returns `None` for a success and for a cancelled
    /// run. `result_subtype` is the runtime's word.
    ///
    /// | end | |
    /// |---|---|
    /// | failed | the relay's [`code`](Self::code), or `run_failed` |
    /// | lost | `lost_silence`, `lost_cut`, …: see [`LostReason`] |
    /// | completed, and the runtime calls it an error | `error_max_turns`, …, or `run_error` where it says no more |
    pub fn error_type<'a>(&'a self, result_subtype: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::Cancelled => None,
            Self::Failed(_) => Some(self.code().unwrap_or("run_failed")),
            Self::Lost(lost) => Some(lost.reason.error_type()),
            Self::Completed => {
                let subtype = result_subtype.filter(|subtype| subtype.starts_with("error"))?;
                let says_more = subtype != "error" && is_code(subtype);
                Some(if says_more { subtype } else { "run_error" })
            }
        }
    }
}

/// Returns whether a text is a code that names an error, and not free text.
fn is_code(text: &str) -> bool {
    // A code names a kind of error, also in metrics, so free text is not taken for one.
    let is_short = (1..=64).contains(&text.len());
    is_short
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Shows only the code at the start of the reason, and the reason's length: the reason may be SQL that contains the whole
/// conversation.
impl fmt::Debug for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("Completed"),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Failed(reason) => f
                .debug_struct("Failed")
                .field("code", &self.code())
                .field("bytes", &reason.len())
                .finish(),
            Self::Lost(lost) => f.debug_tuple("Lost").field(lost).finish(),
        }
    }
}

/// Writes the word, a colon, and the beginning of the relay's reason or of the reason why the run is [`Lost`].
impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Completed | Self::Cancelled => Ok(()),
            Self::Failed(reason) => write!(f, ": {}", shown(reason.trim_end())),
            Self::Lost(lost) => write!(f, ": {}", lost.reason.clause()),
        }
    }
}

/// The completeness of a run's message when the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// The message is the whole answer.
    Whole,
    /// The run has completed, but the stored answer does not contain everything that was delivered, or there is none. The message
    /// is what was delivered, followed by what the stored answer has beyond it. Or the message is the answer stored by a reader
    /// that joined in the middle, so that its beginning may be missing.
    StoredIncompletely,
    /// The message is what was delivered of an answer that never became whole.
    Partial,
}

impl MessageState {
    /// Returns the state as one word: `whole`, `stored_incompletely` or `partial`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::StoredIncompletely => "stored_incompletely",
            Self::Partial => "partial",
        }
    }
}

/// The reason why the end of a run is unknown.
///
/// The run may go on and cost money. A run whose runtime has died streams for ever: only cancelling it frees its thread.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the run in sandbox {}, thread {} is lost: {}{}",
    shown(sandbox_id.as_str()),
    shown(thread_id.as_str()),
    reason.clause(),
    reason.advice()
)]
#[non_exhaustive]
pub struct Lost {
    /// The sandbox of the run.
    pub sandbox_id: SandboxId,
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The reason.
    pub reason: LostReason,
    pub(super) source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Lost {
    /// Creates the value for a run that was lost elsewhere.
    pub(crate) fn of(run: &RunRef, reason: LostReason) -> Self {
        Self {
            sandbox_id: run.sandbox_id.clone(),
            thread_id: run.thread_id.clone(),
            reason,
            source: None,
        }
    }
}

/// The reason why the end of a run is unknown, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// No data came for too long: see [`FollowPolicy::lost_after`](super::FollowPolicy::lost_after). A dead runtime stays silent
    /// for ever, and only cancelling its run frees the thread.
    Silence,
    /// The stream broke off, and the policy is not to follow the run further: see
    /// [`FollowPolicy::off`](super::FollowPolicy::off).
    Cut,
    /// The deadline for following the run has passed: see [`FollowPolicy::deadline`](super::FollowPolicy::deadline).
    Deadline,
    /// The relay refuses access to the thread.
    Refused,
    /// The thread or its sandbox was deleted.
    Deleted,
    /// The stored thread exceeds the client's response size limit.
    TooLarge,
    /// Nothing streams in the thread, and nothing in it shows how the run ended.
    NotStored,
}

impl LostReason {
    /// Returns the reason as one word: `silence`, `cut`, `deadline`, `refused`, `deleted`, `too_large` or `not_stored`.
    pub fn as_str(self) -> &'static str {
        let error_type = self.error_type();
        error_type.strip_prefix("lost_").unwrap_or(error_type)
    }

    fn error_type(self) -> &'static str {
        match self {
            Self::Silence => "lost_silence",
            Self::Cut => "lost_cut",
            Self::Deadline => "lost_deadline",
            Self::Refused => "lost_refused",
            Self::Deleted => "lost_deleted",
            Self::TooLarge => "lost_too_large",
            Self::NotStored => "lost_not_stored",
        }
    }

    pub(super) fn clause(self) -> &'static str {
        match self {
            Self::Silence => "no data came from it for too long",
            Self::Cut => "its stream ended before the run did",
            Self::Deadline => "the deadline for following it has passed",
            Self::Refused => "the relay refuses access to its thread",
            Self::Deleted => "its thread or its sandbox is deleted",
            Self::TooLarge => "its thread exceeds the response size limit",
            Self::NotStored => "its thread does not show how it ended",
        }
    }

    /// Returns what the user can do, to put after the clause.
    fn advice(self) -> &'static str {
        match self {
            Self::Silence => "; only cancelling it frees the thread",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(reason: LostReason) -> Lost {
        Lost {
            sandbox_id: SandboxId::new("sb_1").unwrap(),
            thread_id: ThreadId::new("th_1").unwrap(),
            reason,
            source: None,
        }
    }

    #[test]
    fn an_end_has_a_word_to_store_and_a_line_to_show() {
        let failed = "provider_error:\n overloaded\u{1b}[2J\n".to_owned();
        let ends = [
            RunEnd::Completed,
            RunEnd::Cancelled,
            RunEnd::Failed(failed),
            RunEnd::Lost(lost(LostReason::Deadline)),
        ];
        assert_eq!(
            ends.each_ref().map(RunEnd::as_str),
            ["completed", "cancelled", "failed", "lost"]
        );
        assert_eq!(
            ends.map(|end| end.to_string()),
            [
                "completed",
                "cancelled",
                "failed: provider_error:  overloaded [2J",
                "lost: the deadline for following it has passed",
            ]
        );
        let long = RunEnd::Failed("e".repeat(100_000)).to_string();
        assert!(
            long.starts_with("failed: eee") && long.len() < 1000,
            "{}",
            long.len()
        );
    }

    #[test]
    fn an_outcome_is_a_row() {
        let mut failed = Outcome::new(RunEnd::Failed("session_expired: gone".to_owned()));
        failed.usage.output_tokens = Some(7);
        let row = serde_json::to_value(&failed).unwrap();
        assert_eq!(row["end"], "failed");
        assert_eq!(row["reason"], "session_expired: gone");
        assert_eq!(row["errorType"], "session_expired");
        assert_eq!(row["usage"]["outputTokens"], 7);
        assert_eq!(row["messageState"], "partial");
        let row = serde_json::to_value(Outcome::new(RunEnd::Lost(lost(LostReason::Cut)))).unwrap();
        assert_eq!(
            (&row["end"], &row["reason"]),
            (&"lost".into(), &"cut".into())
        );
        let row = serde_json::to_string(&Outcome::new(RunEnd::Completed)).unwrap();
        assert!(row.starts_with(r#"{"end":"completed","usage":{"#), "{row}");
        assert!(row.ends_with(r#","messageState":"whole"}"#), "{row}");
    }

    #[test]
    fn an_outcome_is_shown_with_the_limit_that_ended_it() {
        let outcome = |end, result_subtype: &str| Outcome {
            end,
            result_subtype: Some(result_subtype.to_owned()),
            usage: Usage::default(),
            message_state: MessageState::Whole,
        };
        let shown = [
            outcome(RunEnd::Completed, "success"),
            outcome(RunEnd::Completed, "error_max_turns"),
            outcome(RunEnd::Failed("overloaded".to_owned()), "error_x"),
        ];
        assert_eq!(
            shown.map(|outcome| outcome.to_string()),
            [
                "completed",
                "completed: error_max_turns",
                "failed: overloaded"
            ]
        );
    }

    #[test]
    fn a_lost_run_names_its_place_and_what_to_do() {
        assert_eq!(
            lost(LostReason::Deleted).to_string(),
            "the run in sandbox sb_1, thread th_1 is lost: its thread or its sandbox is deleted"
        );
        assert_eq!(
            lost(LostReason::Silence).to_string(),
            "the run in sandbox sb_1, thread th_1 is lost: no data came from it for too long; only cancelling it frees the thread"
        );
    }
}
