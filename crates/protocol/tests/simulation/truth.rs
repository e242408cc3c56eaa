//! The real content of a run: a random script, and its message.

use std::time::Duration;

use serde_json::{Value, json};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::chunk::{
    Data, Error, File, Finish, MessageMetadata, ReasoningDelta, ReasoningEnd, ReasoningStart,
    SourceDocument, SourceUrl, TextDelta, TextEnd, TextStart, ToolInputAvailable, ToolInputDelta,
    ToolInputStart, ToolOutputAvailable, ToolOutputError,
};
use twentyfirst_protocol::ui::{Assembler, Chunk, RawJson, Text, UiMessage};

use crate::rng::Rng;

/// A run, independent of its readers.
#[derive(Debug)]
pub(crate) struct Truth {
    /// Its chunks without `start`, whose id differs between readers. They end with `finish`, unless the runtime dies.
    pub(crate) beats: Vec<Beat>,
    pub(crate) end: End,
    /// The message of all chunks, without an id.
    pub(crate) message: UiMessage,
    pub(crate) usage: Usage,
    pub(crate) result_subtype: Option<String>,
}

/// One chunk, and the pause before it.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) after: Duration,
    pub(crate) chunk: Chunk<'static>,
}

/// The end of a run that is not cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Completes,
    /// With an `error` chunk; the thread reports it in other words.
    Fails {
        error_text: String,
        thread_error: String,
    },
    /// After `finish`: the stream closes without `[DONE]`.
    FailsInStorage {
        thread_error: String,
    },
    /// Never: the runtime has died, and nothing more comes.
    Dies,
}

impl Truth {
    /// Creates a random run. `tag` begins its words and ids, so that no two runs have the same.
    pub(crate) fn random(rng: &mut Rng, tag: &str) -> Self {
        Self::of_blocks(rng, tag, 3)
    }

    /// Creates a short run, whose content matters only if something goes wrong.
    pub(crate) fn short(rng: &mut Rng, tag: &str) -> Self {
        Self::of_blocks(rng, tag, 1)
    }

    fn of_blocks(rng: &mut Rng, tag: &str, most: usize) -> Self {
        let mut writer = Writer {
            rng: rng.fork(),
            tag: tag.to_owned(),
            made: 0,
            final_text: None,
        };
        let mut chunks = Vec::new();
        let mut steps = writer.rng.between(1, 2);
        while steps > 0 {
            steps -= 1;
            let has_steps = writer.rng.percent(30);
            if has_steps {
                chunks.push(Chunk::StartStep);
            }
            for _ in 0..writer.rng.between(1, most) {
                if writer.rng.percent(15) {
                    let (one, other) = (writer.block(), writer.block());
                    chunks.extend(writer.interleave(one, other));
                } else {
                    chunks.extend(writer.block());
                }
            }
            if has_steps {
                chunks.push(Chunk::FinishStep);
            }
        }
        let (metadata, usage, result_subtype) = writer.metadata();
        chunks.push(
            MessageMetadata::new()
                .message_metadata(RawJson::from(&metadata))
                .into(),
        );
        chunks.push(Finish::new().into());

        let end = writer.end();
        match &end {
            End::Completes | End::FailsInStorage { .. } => {}
            End::Fails { error_text, .. } => {
                let at = writer.rng.below(chunks.len() - 1);
                chunks = failing(chunks, at, error_text);
            }
            End::Dies => chunks.truncate(writer.rng.below(chunks.len() - 1)),
        }
        let message = assembled(&chunks);
        Self {
            beats: writer.with_pauses(chunks),
            end,
            message,
            usage,
            result_subtype,
        }
    }

    /// Returns the approximate length of its events in bytes.
    pub(crate) fn bytes(&self) -> usize {
        90 * self.beats.len()
    }

    /// Returns the time that it takes.
    pub(crate) fn length(&self) -> Duration {
        self.beats.iter().map(|beat| beat.after).sum()
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk<'static>> {
        self.beats.iter().map(|beat| &beat.chunk)
    }
}

/// Returns the message of these chunks.
pub(crate) fn assembled<'c>(chunks: impl IntoIterator<Item = &'c Chunk<'static>>) -> UiMessage {
    let mut assembler = Assembler::new().lenient(true);
    for chunk in chunks {
        // A reader that joined in the middle may see chunks that do not apply; it ignores them.
        let _ = assembler.apply(chunk);
    }
    let mut message = assembler.message().clone();
    message.id = None;
    message
}

struct Writer {
    rng: Rng,
    tag: String,
    made: usize,
    final_text: Option<String>,
}

impl Writer {
    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}{}", self.tag, self.made)
    }

    fn block(&mut self) -> Vec<Chunk<'static>> {
        match self.rng.below(20) {
            0..=9 => self.text(),
            10 | 11 => self.reasoning(),
            12..=15 => self.tool(),
            16 | 17 => self.data(),
            18 => self.source(),
            _ => {
                let metadata = json!({"so far": {self.id("part"): self.made}});
                let metadata = RawJson::from(metadata);
                vec![MessageMetadata::new().message_metadata(metadata).into()]
            }
        }
    }

    fn text(&mut self) -> Vec<Chunk<'static>> {
        let id = self.id("txt");
        self.final_text = Some(id.clone());
        let mut chunks = vec![TextStart::new(id.clone()).into()];
        chunks.extend(
            self.deltas()
                .into_iter()
                .map(|delta| TextDelta::new(id.clone(), delta).into()),
        );
        chunks.push(TextEnd::new(id).into());
        chunks
    }

    fn reasoning(&mut self) -> Vec<Chunk<'static>> {
        let id = self.id("rsn");
        let mut chunks = vec![ReasoningStart::new(id.clone()).into()];
        chunks.extend(
            self.deltas()
                .into_iter()
                .map(|delta| ReasoningDelta::new(id.clone(), delta).into()),
        );
        let mut end = ReasoningEnd::new(id);
        if self.rng.percent(30) {
            end = end.provider_metadata(RawJson::from(json!({"anthropic": {"signature": "sig"}})));
        }
        chunks.push(end.into());
        chunks
    }

    fn deltas(&mut self) -> Vec<Text<'static>> {
        let words = self.rng.between(0, 12);
        let mut text = String::new();
        for _ in 0..words {
            match self.rng.below(10) {
                // Repeated words, which a comparison by content alone would confuse.
                0 => text.push_str("ha ha "),
                1 => text.push_str("the "),
                2 => text.push_str("😀👍 "),
                3 => text.push_str("Grüße, \n"),
                _ => {
                    self.made += 1;
                    text.push_str(&format!("{}{:x} ", self.tag, self.made * 37));
                }
            }
        }
        // Cut as in JavaScript: between code units, even within an emoji.
        let units: Vec<u16> = text.encode_utf16().collect();
        let longest = *self.rng.pick(&[1, 4, 12, 40]);
        let longest = longest.max(units.len() / 20);
        let pieces = self.rng.cut(&units, longest);
        pieces.into_iter().map(Text::from_code_units).collect()
    }

    fn tool(&mut self) -> Vec<Chunk<'static>> {
        let mut id = self.id("toolu");
        if self.rng.percent(20) {
            // A call of a sub-agent.
            id = format!("{id}:{}", self.id("toolu"));
        }
        let name = *self.rng.pick(&["Bash", "Grep", "Task"]);
        // Not in alphabetical order, in which a relay's database returns its members.
        let (raw, input) = match self.rng.below(4) {
            0 => {
                let text = String::from(r#"{"command": "ls"#);
                (text.clone(), Value::from(text))
            }
            1 => (String::new(), Value::from("")),
            _ => {
                let raw = format!(
                    r#"{{"zone":"{}","command":"ls 😀 -la","limit":{}}}"#,
                    id,
                    self.rng.below(100)
                );
                let value = serde_json::from_str(&raw).unwrap();
                (raw, value)
            }
        };
        let input = if input.is_object() {
            RawJson::parse(raw.clone()).unwrap().into_owned()
        } else {
            RawJson::from(input)
        };
        let mut chunks = Vec::new();
        if self.rng.percent(75) {
            chunks.push(ToolInputStart::new(id.clone(), name).into());
            let units: Vec<u16> = raw.encode_utf16().collect();
            for piece in self.rng.cut(&units, 30) {
                chunks.push(ToolInputDelta::new(id.clone(), Text::from_code_units(piece)).into());
            }
        }
        chunks.push(
            ToolInputAvailable::new(id.clone(), name)
                .input(input)
                .into(),
        );
        match self.rng.below(8) {
            0 => {}
            1 => chunks.push(ToolOutputError::new(id, "it broke").into()),
            2 => {
                let preliminary = ToolOutputAvailable::new(id.clone())
                    .output(RawJson::from(json!("so far")))
                    .preliminary(true);
                chunks.push(preliminary.into());
                let output = ToolOutputAvailable::new(id).output(RawJson::from(json!("at last")));
                chunks.push(output.into());
            }
            _ => {
                let output = json!([{"type": "text", "text": format!("{} done", id)}]);
                chunks.push(
                    ToolOutputAvailable::new(id)
                        .output(RawJson::from(output))
                        .into(),
                );
            }
        }
        chunks
    }

    fn data(&mut self) -> Vec<Chunk<'static>> {
        let id = self.id("data");
        let mut chunks = Vec::new();
        for percent in 0..self.rng.between(1, 2) {
            let data = RawJson::from(json!({"percent": percent * 50}));
            let mut chunk = Data::new("progress").data(data);
            if self.rng.percent(70) {
                chunk = chunk.id(id.clone());
            }
            chunks.push(chunk.into());
        }
        if self.rng.percent(20) {
            // Transient: the stored answer does not contain it.
            let news = Data::new("news")
                .data(RawJson::from(json!({ "of": id })))
                .transient(true);
            chunks.push(news.into());
        }
        chunks
    }

    fn source(&mut self) -> Vec<Chunk<'static>> {
        let id = self.id("src");
        let url = format!("https://example.com/{id}");
        match self.rng.below(3) {
            0 => vec![SourceUrl::new(id, url).title("A page").into()],
            1 => vec![SourceDocument::new(id, "application/pdf", "A paper").into()],
            _ => vec![File::new(url, "image/png").into()],
        }
    }

    /// Interleaves two blocks, each in its own order.
    fn interleave(
        &mut self,
        one: Vec<Chunk<'static>>,
        other: Vec<Chunk<'static>>,
    ) -> Vec<Chunk<'static>> {
        let mut chunks = Vec::with_capacity(one.len() + other.len());
        let (mut one, mut other) = (one.into_iter(), other.into_iter());
        while one.len() + other.len() > 0 {
            let from_one = self.rng.below(one.len() + other.len()) < one.len();
            chunks.extend(if from_one { one.next() } else { other.next() });
        }
        chunks
    }

    fn metadata(&mut self) -> (Value, Usage, Option<String>) {
        let subtype = match self.rng.below(10) {
            0..=6 => Some("success"),
            7 | 8 => Some("error_max_turns"),
            _ => None,
        };
        let mut metadata = json!({"sessionId": format!("sess-{}", self.tag)});
        let mut usage = Usage::default();
        if self.rng.percent(80) {
            let (read, written) = (self.rng.below(9000) as u64, self.rng.below(900) as u64);
            let cost = 0.0123 + written as f64 / 1e5;
            let took = self.length_so_far();
            usage.input_tokens = Some(read);
            usage.output_tokens = Some(written);
            usage.total_tokens = Some(read + written);
            usage.total_cost_usd = Some(cost);
            usage.duration_ms = Some(took);
            metadata["totalCostUsd"] = json!(cost);
            metadata["inputTokens"] = json!(read);
            metadata["outputTokens"] = json!(written);
            metadata["totalTokens"] = json!(read + written);
            metadata["durationMs"] = json!(took);
        }
        if let Some(subtype) = subtype {
            metadata["resultSubtype"] = json!(subtype);
        }
        if let Some(id) = &self.final_text {
            metadata["finalTextId"] = json!(id);
        }
        (metadata, usage, subtype.map(str::to_owned))
    }

    fn length_so_far(&mut self) -> u64 {
        self.rng.between(500, 90_000) as u64
    }

    fn end(&mut self) -> End {
        match self.rng.below(100) {
            0..=11 => End::Fails {
                error_text: format!("[agent_execute] {} exited with code 1", self.tag),
                thread_error: format!("sandbox_error: [agent_execute] {} exited", self.tag),
            },
            12..=16 => End::FailsInStorage {
                thread_error: "internal_error: Failed query: update \"an_threads\"".to_owned(),
            },
            17..=22 => End::Dies,
            _ => End::Completes,
        }
    }

    /// Adds pauses. Most chunks come at once; the output of a tool may take long.
    fn with_pauses(&mut self, chunks: Vec<Chunk<'static>>) -> Vec<Beat> {
        let pace = *self.rng.pick(&[20, 300, 3_000]);
        let patience = *self.rng.pick(&[2_000, 60_000, 1_500_000, 3_000_000]);
        let mut beats = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let after = match &chunk {
                Chunk::ToolOutputAvailable(_) => self.rng.millis(50, patience),
                _ if self.rng.percent(30) => Duration::ZERO,
                _ if self.rng.percent(2) => self.rng.millis(50, 600_000),
                _ => self.rng.millis(1, pace),
            };
            beats.push(Beat { after, chunk });
        }
        beats
    }
}

/// Makes the run fail before the chunk at `at`: open parts are closed, and metadata and `finish` follow.
fn failing(chunks: Vec<Chunk<'static>>, at: usize, error_text: &str) -> Vec<Chunk<'static>> {
    let mut failing: Vec<_> = chunks[..at].to_vec();
    failing.push(Error::new(error_text.to_owned()).into());
    for (index, chunk) in chunks[..at].iter().enumerate() {
        let ended = |end: &Chunk<'static>| chunks[index..at].contains(end);
        let end: Chunk<'static> = match chunk {
            Chunk::TextStart(start) => TextEnd::new(start.id.clone()).into(),
            Chunk::ReasoningStart(start) => ReasoningEnd::new(start.id.clone()).into(),
            _ => continue,
        };
        let signed = |chunk: &Chunk<'static>| match (chunk, &end) {
            (Chunk::ReasoningEnd(one), Chunk::ReasoningEnd(other)) => one.id == other.id,
            _ => false,
        };
        if !ended(&end) && !chunks[index..at].iter().any(signed) {
            failing.push(end);
        }
    }
    let metadata = RawJson::from(json!({"sessionId": "sess-failed"}));
    failing.push(MessageMetadata::new().message_metadata(metadata).into());
    failing.push(Finish::new().into());
    failing
}
