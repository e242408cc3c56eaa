use crate::runs::RunEnd;
use crate::shown;
use crate::ui::Chunk;
use crate::ui::chunk::{Abort, Error as ErrorChunk, Finish};

/// The chunks that end a stream, so that every reader knows how the run has ended.
///
/// The last chunk is always a `finish`: some readers reconnect until they see one.
#[derive(Debug, Clone, Default)]
pub struct FinalChunks {
    /// Whether an `error` or an `abort` was seen.
    has_end: bool,
    /// Whether the last chunk is a `finish`.
    is_finished: bool,
}

impl FinalChunks {
    /// The error text if the run was lost or its end is unknown.
    pub const BROKE_OFF: &str = "the connection to the agent broke off";

    /// Notes a chunk of the stream.
    pub fn observe(&mut self, chunk: &Chunk<'_>) {
        self.has_end |= matches!(chunk, Chunk::Error(_) | Chunk::Abort(_));
        self.is_finished = matches!(chunk, Chunk::Finish(_));
    }

    /// Returns the chunks that are still missing: an `error` or `abort` if the run ended that way and the stream has none, and a
    /// `finish`.
    #[must_use]
    pub fn missing(&self, end: Option<&RunEnd>) -> Vec<Chunk<'static>> {
        let error = |text: &str| Chunk::from(ErrorChunk::new(text.to_owned()));
        let mut chunks = Vec::new();
        if !self.has_end {
            match end {
                Some(RunEnd::Completed) => {}
                Some(RunEnd::Cancelled) => chunks.push(Abort::new().into()),
                Some(RunEnd::Failed(text)) => chunks.push(error(&shown(text.trim_end()))),
                Some(RunEnd::Lost(_)) | None => chunks.push(error(Self::BROKE_OFF)),
            }
        }
        // Also after a `finish` that is not the last chunk any more, since readers look at the last.
        if !self.is_finished || !chunks.is_empty() {
            chunks.push(Finish::new().into());
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::chunk::TextEnd;

    fn kinds(seen: &[Chunk<'static>], end: Option<&RunEnd>) -> String {
        let mut chunks = FinalChunks::default();
        seen.iter().for_each(|chunk| chunks.observe(chunk));
        let chunks = chunks.missing(end);
        let kinds: Vec<_> = chunks
            .iter()
            .map(|chunk| chunk.kind().to_string())
            .collect();
        kinds.join(" ")
    }

    #[test]
    fn every_stream_ends_with_its_end_once_and_a_finish() {
        let text: Chunk<'static> = TextEnd::new("t").into();
        let finish: Chunk<'static> = Finish::new().into();
        let abort: Chunk<'static> = Abort::new().into();
        let failed = RunEnd::Failed("no credit\n".to_owned());
        let said = |seen: &[&Chunk<'static>], end| {
            let seen: Vec<_> = seen.iter().map(|chunk| (*chunk).clone()).collect();
            kinds(&seen, end)
        };
        assert_eq!(said(&[], None), "error finish");
        assert_eq!(said(&[&text], Some(&RunEnd::Completed)), "finish");
        assert_eq!(said(&[&text, &finish], Some(&RunEnd::Completed)), "");
        assert_eq!(said(&[&finish, &text], Some(&RunEnd::Completed)), "finish");
        assert_eq!(said(&[&text], Some(&RunEnd::Cancelled)), "abort finish");
        assert_eq!(said(&[&abort], Some(&RunEnd::Cancelled)), "finish");
        assert_eq!(said(&[&abort, &finish], Some(&RunEnd::Cancelled)), "");
        assert_eq!(said(&[&finish], Some(&failed)), "error finish");
    }
}
