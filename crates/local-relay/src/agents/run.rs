use std::fmt;
use std::sync::Arc;

use twentyfirst_protocol::runs::RunOptions;
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::chunk::{
    TextDelta, TextEnd, TextStart, ToolInputAvailable, ToolInputDelta, ToolInputStart,
    ToolOutputAvailable, ToolOutputError,
};
use twentyfirst_protocol::ui::{Chunk, RawJson, UiMessage};
use uuid::Uuid;

use crate::Sandbox;
use crate::runs::Journal;

/// The number of characters in a delta of a tool's input.
const INPUT_DELTA: usize = 12;

/// One run of an agent: it has the user's message and writes the answer. Cheap to clone.
///
/// The relay writes `start` before the agent's chunks and `message-metadata`, `finish` and `[DONE]` after them. An `error` chunk fails
/// the run, and the relay drops all chunks after it.
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

struct Inner {
    request: RunRequest,
    text: String,
    journal: Arc<Journal>,
}

/// The input of a run.
pub(crate) struct RunRequest {
    pub(crate) message: UiMessage,
    pub(crate) history: Vec<UiMessage>,
    pub(crate) options: Option<RunOptions>,
    pub(crate) sandbox: Sandbox,
    pub(crate) pace: std::time::Duration,
}

impl Run {
    pub(crate) fn new(request: RunRequest, text: String, journal: Arc<Journal>) -> Self {
        Self {
            inner: Arc::new(Inner {
                request,
                text,
                journal,
            }),
        }
    }

    /// Returns the user's text: the text parts of the message, joined by line breaks.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Returns the user's message.
    pub fn message(&self) -> &UiMessage {
        &self.inner.request.message
    }

    /// Returns the messages that are stored in the thread, without the new one.
    pub fn history(&self) -> &[UiMessage] {
        &self.inner.request.history
    }

    /// Returns the options of the run. `None` if the request has none, or if the relay dropped invalid ones.
    pub fn options(&self) -> Option<&RunOptions> {
        self.inner.request.options.as_ref()
    }

    /// Returns the sandbox of the run.
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.request.sandbox
    }

    /// Writes a chunk. Waits while a reader is more than 8 MiB behind.
    pub async fn send(&self, chunk: impl Into<Chunk<'static>>) {
        self.inner.journal.write(chunk.into()).await;
    }

    /// Writes a text part in deltas of one word, at the agent's pace.
    pub async fn say(&self, text: impl AsRef<str>) {
        let id = Uuid::new_v4().to_string();
        self.send(TextStart::new(id.clone())).await;
        for word in text.as_ref().split_inclusive(char::is_whitespace) {
            self.keep_pace().await;
            self.send(TextDelta::new(id.clone(), word.to_owned())).await;
        }
        self.send(TextEnd::new(id)).await;
    }

    /// Writes a tool call with its input, in deltas at the agent's pace. Write its output with [`ToolCall::output`].
    pub async fn call_tool(
        &self,
        name: impl Into<String>,
        input: impl Into<RawJson<'static>>,
    ) -> ToolCall {
        let (name, input) = (name.into(), input.into());
        let id = format!("toolu_{}", Uuid::new_v4().simple());
        self.send(ToolInputStart::new(id.clone(), name.clone()))
            .await;
        // In characters: a delta must not end within one.
        let characters: Vec<char> = input.get().chars().collect();
        for piece in characters.chunks(INPUT_DELTA) {
            self.keep_pace().await;
            let piece: String = piece.iter().collect();
            self.send(ToolInputDelta::new(id.clone(), piece)).await;
        }
        self.send(ToolInputAvailable::new(id.clone(), name).input(input))
            .await;
        ToolCall {
            run: self.clone(),
            id,
        }
    }

    /// Sets the usage of the run. Without it, the relay reports only the duration.
    ///
    /// ```
    /// use twentyfirst_local_relay::{Agent, Run};
    /// use twentyfirst_protocol::threads::Usage;
    ///
    /// let agent = Agent::new(async |run: Run| {
    ///     let mut usage = Usage::default();
    ///     usage.output_tokens = Some(3);
    ///     usage.total_cost_usd = Some(0.01);
    ///     run.set_usage(usage);
    ///     run.say("Done.").await;
    ///     Ok(())
    /// });
    /// ```
    pub fn set_usage(&self, usage: Usage) {
        self.inner.journal.report(|report| report.usage = usage);
    }

    /// Sets the result subtype, as the agent's runtime names it: `success` by default. Others, such as `error_max_turns`, do not fail the
    /// run.
    pub fn set_result_subtype(&self, subtype: impl Into<String>) {
        let subtype = subtype.into();
        self.inner
            .journal
            .report(|report| report.result_subtype = subtype);
    }

    /// Sets the usage of a built-in agent: a word counts as a token, and the cost is zero.
    pub(super) async fn count_words(&self) {
        let words = |text: &str| text.split_whitespace().count() as u64;
        let input = words(self.text());
        let output = words(&self.inner.journal.text().await);
        let mut usage = Usage::default();
        usage.input_tokens = Some(input);
        usage.output_tokens = Some(output);
        usage.total_tokens = Some(input + output);
        usage.total_cost_usd = Some(0.0);
        self.set_usage(usage);
    }

    async fn keep_pace(&self) {
        let pace = self.inner.request.pace;
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("message", self.message())
            .field("sandbox", self.sandbox())
            .finish_non_exhaustive()
    }
}

/// A tool call that has no output yet.
#[derive(Debug)]
#[must_use = "the tool call stays open without an output"]
pub struct ToolCall {
    run: Run,
    id: String,
}

impl ToolCall {
    /// Returns the id of the call.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the output of the call.
    pub async fn output(self, output: impl Into<RawJson<'static>>) {
        let chunk = ToolOutputAvailable::new(self.id).output(output);
        self.run.send(chunk).await;
    }

    /// Writes an error as the result of the call.
    pub async fn error(self, text: impl Into<String>) {
        self.run
            .send(ToolOutputError::new(self.id, text.into()))
            .await;
    }
}
