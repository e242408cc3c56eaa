use std::borrow::Cow;
use std::time::{Duration, Instant};

use twentyfirst_protocol::ErrorCode;
use twentyfirst_protocol::runs::{RunFacts, RunRef, ToolCall, ToolEnd};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::{Chunk, RawJson};

use crate::error::Error;

// Values of attributes and labels that do not vary.
pub(super) const PROVIDER: &str = "twentyfirst";
pub(super) const INVOKE_AGENT: &str = "invoke_agent";
pub(super) const EXECUTE_TOOL: &str = "execute_tool";

/// A receiver of the facts about one answer, which reports them as spans or as metrics.
pub(super) trait Sink {
    fn started(&mut self, _: &RunRef) {}
    fn chunk(&mut self, _: &Chunk<'_>) {}
    fn bytes(&mut self, _: u64) {}
    fn cut(&mut self) {}
    fn called(&mut self, _: &ToolCall, _input: Option<&RawJson<'_>>) {}
    fn returned(&mut self, _: &ToolCall, _: ToolEnd, _output: Option<&RawJson<'_>>, _now: Instant) {
    }
    fn ended(&mut self, _: &Ending<'_>) {}
}

/// Reports nothing.
#[cfg(not(all(feature = "tracing", feature = "metrics")))]
#[derive(Default)]
pub(super) struct Off;

#[cfg(not(all(feature = "tracing", feature = "metrics")))]
impl Sink for Off {}

/// The end of an answer, and everything known about it then.
#[cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    expect(
        dead_code,
        reason = "spans report values that metrics do not, and vice versa"
    )
)]
pub(super) struct Ending<'a> {
    pub(super) end: &'static str,
    pub(super) error_type: Option<Cow<'a, str>>,
    pub(super) usage: Usage,
    pub(super) result_subtype: Option<&'a str>,
    pub(super) facts: &'a RunFacts,
    /// Only for a run that was started here.
    pub(super) time_to_first_chunk: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) cuts: u64,
    pub(super) now: Instant,
}

/// Returns the word for a failed tool, or `None` if it did not fail.
pub(super) fn tool_error(end: ToolEnd) -> Option<&'static str> {
    match end {
        ToolEnd::Failed => Some("tool_failed"),
        ToolEnd::Denied => Some("tool_denied"),
        _ => None,
    }
}

/// Whether a text looks like a program's identifier, so that it cannot be a text from a conversation.
pub(super) fn is_word(text: &str) -> bool {
    let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
}

/// Returns the word for the reason why a run did not start.
pub(super) fn error_type(error: &Error) -> Cow<'_, str> {
    let code = error.code().map(ErrorCode::as_str);
    if let Some(code) = code.filter(|code| is_word(code)) {
        code.into()
    } else if let Some(status) = error.status() {
        status.as_str().to_owned().into()
    } else if error.is_timeout() {
        "timeout".into()
    } else if error.is_connect() {
        "connect".into()
    } else if error.invalid_request().is_some() {
        "invalid_request".into()
    } else {
        "_OTHER".into()
    }
}
