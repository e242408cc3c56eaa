use std::collections::HashMap;
use std::time::Instant;

use tracing::field::Empty;
use tracing::{Span, info_span};
use twentyfirst_protocol::runs::{Messages, RunRef, ToolCall, ToolEnd};
use twentyfirst_protocol::ui::{Chunk, RawJson};

use super::contents::Contents;
use super::sink::{EXECUTE_TOOL, Ending, INVOKE_AGENT, PROVIDER, Sink, is_word, tool_error};
use crate::client::AgentClient;

/// The spans of one answer.
pub(super) struct Spans {
    run: Span,
    tools: HashMap<String, Span>,
    /// Set if the client traces contents.
    contents: Option<Contents>,
}

impl Spans {
    pub(super) fn new(client: &AgentClient, agent: &str, model: Option<&str>) -> Self {
        let relay = client.base_url();
        let run = info_span!(
            "invoke_agent",
            otel.name = format!("{INVOKE_AGENT} {agent}"),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = INVOKE_AGENT,
            gen_ai.provider.name = PROVIDER,
            gen_ai.agent.name = agent,
            gen_ai.request.model = model,
            gen_ai.conversation.id = Empty,
            gen_ai.response.id = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.input.messages = Empty,
            gen_ai.output.messages = Empty,
            server.address = relay.host().trim_matches(['[', ']']),
            server.port = i64::from(relay.port()),
            error.type = Empty,
            twentyfirst.sandbox.id = Empty,
            twentyfirst.run.end = Empty,
            twentyfirst.run.result_subtype = Empty,
            twentyfirst.run.cost_usd = Empty,
            twentyfirst.run.chunks = Empty,
            twentyfirst.run.bytes = Empty,
            twentyfirst.run.cuts = Empty,
        );
        let contents = client.relay().trace_contents && !run.is_disabled();
        Self {
            contents: contents.then(|| Contents::new(client.clone())),
            run,
            tools: HashMap::new(),
        }
    }

    pub(super) fn run(&self) -> &Span {
        &self.run
    }

    pub(super) fn in_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        self.run.in_scope(call)
    }

    /// Records the turn that the agent was asked, if contents are traced.
    pub(super) fn asked(&mut self, messages: &Messages) {
        if let Some(contents) = &self.contents {
            self.run
                .record("gen_ai.input.messages", contents.input(messages));
        }
    }
}

impl Sink for Spans {
    fn started(&mut self, run: &RunRef) {
        self.run
            .record("gen_ai.conversation.id", run.thread_id.as_str());
        self.run
            .record("twentyfirst.sandbox.id", run.sandbox_id.as_str());
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) {
        if let Some(contents) = &mut self.contents {
            contents.add(chunk);
        }
    }

    fn called(&mut self, call: &ToolCall, input: Option<&RawJson<'_>>) {
        let parent = call
            .parent
            .as_ref()
            .and_then(|parent| self.tools.get(parent));
        let span = info_span!(
            parent: parent.unwrap_or(&self.run),
            "execute_tool",
            otel.name = format!("{EXECUTE_TOOL} {}", call.name),
            otel.kind = "internal",
            otel.status_code = Empty,
            gen_ai.operation.name = EXECUTE_TOOL,
            gen_ai.tool.name = call.name,
            gen_ai.tool.call.id = call.id,
            gen_ai.tool.type = "extension",
            gen_ai.tool.call.arguments = Empty,
            gen_ai.tool.call.result = Empty,
            error.type = Empty,
            twentyfirst.tool.end = Empty,
        );
        if let (Some(contents), Some(input)) = (&self.contents, input) {
            span.record("gen_ai.tool.call.arguments", contents.json(input));
        }
        self.tools.insert(call.id.clone(), span);
    }

    fn returned(
        &mut self,
        call: &ToolCall,
        end: ToolEnd,
        output: Option<&RawJson<'_>>,
        _: Instant,
    ) {
        let Some(span) = self.tools.remove(&call.id) else {
            return;
        };
        // `tracing-opentelemetry` takes the last exit of a span as its end, not the time at which it is closed. A span is closed
        // only after its children, which may go on. So it is entered and exited now.
        let _entered = span.enter();
        span.record("twentyfirst.tool.end", end.as_str());
        if let Some(error) = tool_error(end) {
            span.record("error.type", error);
            span.record("otel.status_code", "ERROR");
        }
        if let (Some(contents), Some(output)) = (&self.contents, output) {
            span.record("gen_ai.tool.call.result", contents.json(output));
        }
    }

    fn ended(&mut self, ending: &Ending<'_>) {
        let (run, facts) = (&self.run, ending.facts);
        // As for tools: this is the end, whoever still holds the span.
        let _entered = run.enter();
        run.record("twentyfirst.run.end", ending.end);
        if let Some(error) = &ending.error_type {
            run.record("error.type", &**error);
            run.record("otel.status_code", "ERROR");
        }
        run.record("gen_ai.response.id", facts.message_id());
        let time = ending.time_to_first_chunk.map(|time| time.as_secs_f64());
        run.record("gen_ai.response.time_to_first_chunk", time);
        run.record(
            "gen_ai.usage.input_tokens",
            ending.usage.input_tokens.map(number),
        );
        run.record(
            "gen_ai.usage.output_tokens",
            ending.usage.output_tokens.map(number),
        );
        run.record("twentyfirst.run.cost_usd", ending.usage.total_cost_usd);
        let subtype = ending.result_subtype.filter(|subtype| is_word(subtype));
        run.record("twentyfirst.run.result_subtype", subtype);
        run.record("twentyfirst.run.chunks", number(facts.chunks()));
        run.record("twentyfirst.run.bytes", number(ending.bytes));
        run.record("twentyfirst.run.cuts", number(ending.cuts));
        if let Some(contents) = &mut self.contents {
            run.record("gen_ai.output.messages", contents.output(ending.end));
        }
    }
}

/// Converts a count: OpenTelemetry has no unsigned numbers.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
