use serde_json::{Value, json};
use twentyfirst_protocol::runs::Messages;
use twentyfirst_protocol::ui::{Assembler, Chunk, Part, RawJson, Role, UiMessage};

use crate::client::AgentClient;

/// The contents of a run for spans, in the form of OpenTelemetry's `gen_ai.input.messages` and `gen_ai.output.messages`.
pub(super) struct Contents {
    client: AgentClient,
    answer: Assembler,
}

/// The most bytes of an answer that are kept, and of any other value. A longer answer is reported up to the limit; any other value
/// that is longer is left out, because cut JSON could not be read.
const MOST: usize = 1024 * 1024;

impl Contents {
    pub(super) fn new(client: AgentClient) -> Self {
        Self {
            client,
            answer: Assembler::new().lenient(true).with_limit(MOST),
        }
    }

    pub(super) fn add(&mut self, chunk: &Chunk<'_>) {
        // Fails beyond the limit. The answer then stays as it was.
        let _ = self.answer.apply(chunk);
    }

    /// Returns the turn that the agent is asked: the last user message, since the relay ignores the others.
    pub(super) fn input(&self, messages: &Messages) -> Option<String> {
        let messages = messages.as_slice();
        let turn = messages.iter().rfind(|message| message.role == Role::User);
        let turn = turn.map(|turn| json!({"role": "user", "parts": parts(turn)}));
        self.masked(&Value::from_iter(turn).to_string())
    }

    /// Returns the answer as far as it has been read.
    pub(super) fn output(&mut self, end: &'static str) -> String {
        let finish_reason = match end {
            "completed" => "stop",
            _ => "error",
        };
        let parts = parts(self.answer.message());
        let answer = json!([{"role": "assistant", "parts": parts, "finish_reason": finish_reason}]);
        self.client.relay().mask(&answer.to_string())
    }

    /// Returns the input or output of a tool.
    pub(super) fn json(&self, json: &RawJson<'_>) -> Option<String> {
        self.masked(json.get())
    }

    fn masked(&self, text: &str) -> Option<String> {
        (text.len() <= MOST).then(|| self.client.relay().mask(text))
    }
}

fn parts(message: &UiMessage) -> Vec<Value> {
    let mut parts = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(part) => {
                parts.push(json!({"type": "text", "content": part.text.to_string_lossy()}));
            }
            Part::Reasoning(part) => {
                parts.push(json!({"type": "reasoning", "content": part.text.to_string_lossy()}));
            }
            Part::Tool(call) => {
                let (id, name) = (
                    call.tool_call_id.to_string_lossy(),
                    call.tool_name.to_string_lossy(),
                );
                let arguments = call.input.as_ref().map(value);
                parts.push(
                    json!({"type": "tool_call", "id": id, "name": name, "arguments": arguments}),
                );
                if let Some(output) = &call.output {
                    parts.push(
                        json!({"type": "tool_call_response", "id": id, "response": value(output)}),
                    );
                }
            }
            _ => {}
        }
    }
    parts
}

fn value(json: &RawJson<'_>) -> Value {
    // A number that an f64 cannot hold is reported as text.
    json.deserialize().unwrap_or_else(|_| json.get().into())
}
