//! Lines of scripted streams, and stored messages.

use std::time::Duration;

/// The text of the run. Every word is unique, so that a repeated one is noticed.
pub(crate) const STORY: &str = "Once upon a time 👩‍🚀 an agent worked in the sandbox, far away; every second its connection broke off, \
    and somebody asked 🔭 what had become of that answer.";

/// A line of a script.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// An event with this data.
    Says(String),
    Pause(Duration),
    /// The stream breaks off.
    Cut,
    /// The body ends.
    Ends,
}

pub(crate) mod line {
    use std::collections::HashSet;
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::{Value, json};
    use twentyfirst_protocol::flow::Event;

    use super::Line;

    pub(crate) fn event(data: &str) -> Event {
        Event::Data(Bytes::from(format!("data: {data}\n\n")))
    }

    pub(crate) fn done() -> Event {
        event("[DONE]")
    }

    /// Returns these chunks unchanged.
    pub(crate) fn chunks(chunks: impl IntoIterator<Item = Value>) -> Vec<Line> {
        let chunks = chunks.into_iter();
        chunks.map(|chunk| Line::Says(chunk.to_string())).collect()
    }

    pub(crate) fn start(id: &str) -> Vec<Line> {
        chunks([json!({"type": "start", "messageId": id})])
    }

    /// Returns a text, one delta for each word.
    pub(crate) fn text(id: &str, text: &str) -> Vec<Line> {
        let mut lines = open_text(id, text);
        lines.extend(chunks([json!({"type": "text-end", "id": id})]));
        lines
    }

    /// Returns a text without its end.
    pub(crate) fn open_text(id: &str, text: &str) -> Vec<Line> {
        let mut lines = chunks([json!({"type": "text-start", "id": id})]);
        let words = text.split_inclusive(' ');
        lines.extend(chunks(
            words.map(|word| json!({"type": "text-delta", "id": id, "delta": word})),
        ));
        lines
    }

    /// Returns the first half of a character whose second half has not come.
    pub(crate) fn half(id: &str) -> Vec<Line> {
        let data = format!(r#"{{"type":"text-delta","id":"{id}","delta":"\ud83d"}}"#);
        vec![Line::Says(data)]
    }

    /// Returns a call with its input, but without a result.
    pub(crate) fn call(id: &str, name: &str, input: &Value) -> Vec<Line> {
        let text = input.to_string();
        chunks([
            json!({"type": "tool-input-start", "toolCallId": id, "toolName": name}),
            json!({"type": "tool-input-delta", "toolCallId": id, "inputTextDelta": text}),
            json!({"type": "tool-input-available", "toolCallId": id, "toolName": name, "input": input}),
        ])
    }

    pub(crate) fn output(id: &str, output: &Value) -> Vec<Line> {
        chunks([json!({"type": "tool-output-available", "toolCallId": id, "output": output})])
    }

    pub(crate) fn output_error(id: &str, text: &str) -> Vec<Line> {
        chunks([json!({"type": "tool-output-error", "toolCallId": id, "errorText": text})])
    }

    pub(crate) fn metadata(metadata: Value) -> Vec<Line> {
        chunks([json!({"type": "message-metadata", "messageMetadata": metadata})])
    }

    pub(crate) fn finish() -> Vec<Line> {
        chunks([json!({"type": "finish"})])
    }

    pub(crate) fn says_done() -> Vec<Line> {
        vec![Line::Says("[DONE]".to_owned()), Line::Ends]
    }

    pub(crate) fn error(text: &str) -> Vec<Line> {
        chunks([json!({"type": "error", "errorText": text})])
    }

    pub(crate) fn pause(pause: Duration) -> Vec<Line> {
        vec![Line::Pause(pause)]
    }

    pub(crate) fn cut() -> Vec<Line> {
        vec![Line::Cut]
    }

    // ---- What is stored

    pub(crate) fn question(id: &str) -> Value {
        json!({"id": id, "role": "user", "parts": [{"type": "text", "text": "Tell me a story"}]})
    }

    /// Returns an answer of texts.
    pub(crate) fn answer(id: &str, texts: &[&str]) -> Value {
        let parts = texts.iter();
        let parts = parts.map(|text| json!({"type": "text", "text": text, "state": "done"}));
        let parts: Vec<Value> = parts.collect();
        json!({"id": id, "role": "assistant", "parts": parts})
    }

    /// The view that one reader gets of a run.
    pub(crate) struct Reader {
        number: usize,
        is_whole: bool,
        known: HashSet<String>,
    }

    impl Reader {
        /// Creates the reader with this number, which reads from the beginning or joins.
        pub(crate) fn new(number: usize, is_whole: bool) -> Self {
            Self {
                number,
                is_whole,
                known: HashSet::new(),
            }
        }

        /// Returns the chunks as this reader gets them. The first reader gets the run's ids. Any other gets its own ids of texts,
        /// its own beginning of a text that is under way, and nothing about tools that were announced before it came.
        pub(crate) fn sees(&mut self, chunk: &Value, has_come: bool) -> Vec<Value> {
            if !has_come {
                return Vec::new();
            }
            let mut chunk = chunk.clone();
            let kind = chunk["type"].as_str().unwrap().to_owned();
            let is_first = self.number == 1;
            if let Some(id) = chunk["messageMetadata"].get_mut("finalTextId")
                && !is_first
            {
                *id = format!("{}-{}", id.as_str().unwrap(), self.number).into();
            }
            let name = if kind.starts_with("tool-") {
                "toolCallId"
            } else {
                "id"
            };
            let Some(id) = chunk[name].as_str().map(str::to_owned) else {
                return vec![chunk];
            };
            if kind.starts_with("text-") && !is_first {
                chunk["id"] = format!("{id}-{}", self.number).into();
            }
            if kind.ends_with("-start") {
                self.known.insert(id);
                return vec![chunk];
            }
            if self.is_whole || self.known.contains(&id) {
                return vec![chunk];
            }
            match &*kind {
                "text-delta" => {
                    self.known.insert(id);
                    let start = json!({"type": "text-start", "id": chunk["id"]});
                    vec![start, chunk]
                }
                _ => Vec::new(),
            }
        }
    }
}
