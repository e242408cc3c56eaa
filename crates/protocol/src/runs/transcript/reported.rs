use serde::Deserialize;

use crate::runs::RunEnd;
use crate::threads::Usage;
use crate::tolerant;
use crate::ui::{Chunk, RawJson};

/// The state that a run has reported in its chunks.
#[derive(Debug, Default)]
pub(in crate::runs) struct Reported {
    pub(in crate::runs) has_started: bool,
    pub(in crate::runs) has_finished: bool,
    pub(in crate::runs) is_aborted: bool,
    /// The text of the first `error`.
    pub(in crate::runs) failure: Option<String>,
    pub(in crate::runs) usage: Usage,
    pub(in crate::runs) result_subtype: Option<String>,
}

/// The metadata of a run in its chunks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunMetadata {
    #[serde(default, deserialize_with = "tolerant::or_default")]
    result_subtype: Option<String>,
    #[serde(flatten)]
    usage: Usage,
}

impl Reported {
    pub(in crate::runs) fn observe(&mut self, chunk: &Chunk<'_>) {
        match chunk {
            Chunk::Start(start) => {
                self.has_started = true;
                self.note_metadata(start.message_metadata.as_ref());
            }
            Chunk::MessageMetadata(chunk) => self.note_metadata(chunk.message_metadata.as_ref()),
            Chunk::Finish(finish) => {
                self.has_finished = true;
                self.note_metadata(finish.message_metadata.as_ref());
            }
            Chunk::Error(error) => {
                let text = || error.error_text.to_string_lossy().into_owned();
                self.failure.get_or_insert_with(text);
            }
            Chunk::Abort(_) => self.is_aborted = true,
            _ => {}
        }
    }

    pub(in crate::runs) fn note_metadata(&mut self, metadata: Option<&RawJson<'_>>) {
        let Some(Ok(metadata)) = metadata.map(RawJson::deserialize::<RunMetadata>) else {
            return;
        };
        if metadata.result_subtype.is_some() {
            self.result_subtype = metadata.result_subtype;
        }
        self.note_usage(metadata.usage);
    }

    /// Returns the end of the run, if it has reported that it failed or was cancelled.
    pub(in crate::runs) fn end(&self) -> Option<RunEnd> {
        match self.failure.as_deref() {
            // The relay reports a run this way if it was cancelled through another instance of the relay.
            Some("cancelled") => Some(RunEnd::Cancelled),
            Some(text) => Some(RunEnd::Failed(text.to_owned())),
            None if self.is_aborted => Some(RunEnd::Cancelled),
            None => None,
        }
    }

    /// Merges usage. Fields that are missing keep their known values.
    pub(in crate::runs) fn note_usage(&mut self, usage: Usage) {
        let known = &mut self.usage;
        known.input_tokens = usage.input_tokens.or(known.input_tokens);
        known.output_tokens = usage.output_tokens.or(known.output_tokens);
        known.total_tokens = usage.total_tokens.or(known.total_tokens);
        known.total_cost_usd = usage.total_cost_usd.or(known.total_cost_usd);
        known.duration_ms = usage.duration_ms.or(known.duration_ms);
    }
}
