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

/// How many characters of a tool's input go into one delta.
const INPUT_DELTA: usize = 12;

/// One run of an agent: what it is asked, and where it writes its answer. Cheap to clone.
///
/// The relay writes `start` before the agent's chunks and `message-metadata`, `finish` and `[DONE]` after them.
/// An `error` chunk fails the run, and what is written after it is dropped.
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

struct Inner {
    request: RunRequest,
    text: String,
    journal: Arc<Journal>,
}

/// What a run is asked.
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

    /// The user's text: the text parts of the message, joined by line breaks.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The user's message.
    pub fn message(&self) -> &UiMessage {
        &self.inner.request.message
    }

    /// The messages that are stored in the thread, without this one.
    pub fn history(&self) -> &[UiMessage] {
        &self.inner.request.history
    }

    /// The options of the run; `None` where there are none, or where the relay has dropped them.
    pub fn options(&self) -> Option<&RunOptions> {
        self.inner.request.options.as_ref()
    }

    /// The sandbox in which it runs.
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.request.sandbox
    }

    /// Writes a chunk. Where a reader is far behind, this waits for it.
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

    /// Writes a tool call with its input, in deltas at the agent's pace. The output comes by [`ToolCall::output`].
    pub async fn call_tool(
        &self,
        name: impl Into<String>,
        input: impl Into<RawJson<'static>>,
    ) -> ToolCall {
        let (name, input) = (name.into(), input.into());
        let id = format!("toolu_{}", Uuid::new_v4().simple());
        self.send(ToolInputStart::new(id.clone(), name.clone()))
            .await;
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

    /// Says what the run has used. Without it nothing is known but the time.
    pub fn set_usage(&self, usage: Usage) {
        self.inner.journal.report(|report| report.usage = usage);
    }

    /// Says how it went, in the runtime's words: `success` by default, `error_max_turns` and its like are not failures.
    pub fn set_result_subtype(&self, subtype: impl Into<String>) {
        let subtype = subtype.into();
        self.inner
            .journal
            .report(|report| report.result_subtype = subtype);
    }

    /// A local agent costs nothing, and its tokens are words.
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

/// A tool call without its output yet.
#[derive(Debug)]
#[must_use = "without an output the call stays open"]
pub struct ToolCall {
    run: Run,
    id: String,
}

impl ToolCall {
    /// The id of the call.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the output.
    pub async fn output(self, output: impl Into<RawJson<'static>>) {
        let chunk = ToolOutputAvailable::new(self.id).output(output);
        self.run.send(chunk).await;
    }

    /// Writes that the call has failed.
    pub async fn error(self, text: impl Into<String>) {
        self.run
            .send(ToolOutputError::new(self.id, text.into()))
            .await;
    }
}
