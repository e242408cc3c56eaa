//! Spans and metrics of runs, with the names of OpenTelemetry's conventions for generative AI. Features `tracing` and `metrics`.
//!
//! Every answer that the client reads from the relay has one span `invoke_agent`. It does not matter whether a
//! [`Run`](crate::Run) reads the answer, a body that is passed on, or a handler of [`backend`](crate::backend). The span begins
//! before the first request and ends with the outcome, or when the answer is dropped. Replays from a log have no span. An answer
//! that several instances record in turn has one span in each. Without a log, each browser that resumes causes another read of
//! the relay, and so another span. A run that is started [in the background](crate::Call::in_background) has its span where it is
//! [followed](crate::Threads::follow).
//!
//! ```text
//! invoke_agent my-agent                     CLIENT      the whole answer
//! ├─ operation, request, …                              the requests to the relay
//! ├─ execute_tool Bash                      INTERNAL    from the tool's complete input to its output
//! └─ execute_tool Task                      INTERNAL
//!    └─ execute_tool Read                               a tool of the sub-agent that `Task` started
//! ```
//!
//! The spans are those of `tracing`. They nest in your own spans, and go wherever your subscriber sends them, for example over
//! OTLP with the crate `tracing-opentelemetry`. The metrics are those of the facade `metrics`, which has exporters for Prometheus
//! (`metrics-exporter-prometheus`) and for OpenTelemetry (`metrics-exporter-otel`). Neither facade ties this crate to a version
//! of the OpenTelemetry SDK. Names that begin with `gen_ai.` are those of version 1.42 of the conventions, which are still in
//! development. Where the conventions have no name, ours begins with `twentyfirst.`.
//!
//! Send the spans to a collector like this, with the environment variables of OpenTelemetry:
//!
//! ```no_run
//! # #[cfg(feature = "tracing")]
//! # mod setup {
//! use opentelemetry::trace::TracerProvider as _;
//! use opentelemetry_otlp::SpanExporter;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! fn export() -> Result<SdkTracerProvider, Box<dyn std::error::Error>> {
//!     let exporter = SpanExporter::builder().with_http().build()?;
//!     let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//!     let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("my-service"));
//!     tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans))?;
//!     Ok(provider) // shut it down at the end
//! }
//! # }
//! ```
//!
//! The example `telemetry` shows both live: `cargo run -p twentyfirst-client --example telemetry --features tracing,metrics`.
//!
//! # The span of a run
//! | attribute | |
//! |---|---|
//! | `gen_ai.operation.name` | `invoke_agent` |
//! | `gen_ai.provider.name` | `twentyfirst` |
//! | `gen_ai.agent.name` | the slug of the agent |
//! | `gen_ai.conversation.id` | the thread, once it is known |
//! | `gen_ai.request.model` | the model, if [`RunOptions::model`](crate::RunOptions::model) sets one |
//! | `gen_ai.response.id` | the id of the message |
//! | `gen_ai.response.time_to_first_chunk` | in seconds; only of a run that was started here |
//! | `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens` | as reported by the relay |
//! | `server.address`, `server.port` | the address of the relay |
//! | `error.type` | a word for the problem: [`RunEnd::error_type`](crate::RunEnd::error_type), or one of [the words for a run that did not start](#a-run-that-does-not-start) |
//! | `twentyfirst.sandbox.id` | the sandbox, once it is known |
//! | `twentyfirst.run.end` | `completed`, `cancelled`, `failed`, `lost`; `not_started`; `dropped`: reading stopped here, and the run goes on; `handed_over`: another instance continues to read it |
//! | `twentyfirst.run.result_subtype` | the runtime's word for the result, if it is a single word |
//! | `twentyfirst.run.cost_usd` | in US dollars |
//! | `twentyfirst.run.chunks`, `twentyfirst.run.bytes` | the number of chunks that were read, and of bytes of its streams |
//! | `twentyfirst.run.cuts` | the number of times its stream was cut |
//!
//! The status of the span is an error if there is an `error.type`. It has no description, since the texts of errors can contain
//! parts of conversations. A run that the chat handler records outlives the request that started it. So its span is the root of a
//! trace of its own, with a link to the span of that request.
//!
//! # The span of a tool
//! | attribute | |
//! |---|---|
//! | `gen_ai.operation.name` | `execute_tool` |
//! | `gen_ai.tool.name`, `gen_ai.tool.call.id` | the tool, and its call |
//! | `gen_ai.tool.type` | `extension`: the agent executes it, in its sandbox |
//! | `error.type` | `tool_failed` or `tool_denied` |
//! | `twentyfirst.tool.end` | `output`, `failed`, `denied`, or `no_output`: the answer ended before the tool's output came |
//!
//! # Contents
//! Spans have no contents unless `AgentClientBuilder::trace_contents` enables them. Then the spans of runs have
//! `gen_ai.input.messages` and `gen_ai.output.messages`, and those of tools have `gen_ai.tool.call.arguments` and
//! `gen_ai.tool.call.result`, all as JSON. The input is the user's last message. It is known only for runs that were started here.
//!
//! # Metrics
//! | metric | kind, unit | labels |
//! |---|---|---|
//! | `gen_ai.client.operation.duration` | histogram, s | `gen_ai.operation.name` (`invoke_agent` or `execute_tool`), `gen_ai.provider.name`, `gen_ai.agent.name`, `gen_ai.request.model`, `gen_ai.tool.name`, `error.type` |
//! | `gen_ai.client.operation.time_to_first_chunk` | histogram, s | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.agent.name`, `gen_ai.request.model` |
//! | `gen_ai.client.token.usage` | histogram, {token} | the same as the row above, and `gen_ai.token.type`: `input` or `output` |
//! | `twentyfirst.runs.active` | gauge, {run} | `gen_ai.agent.name` |
//! | `twentyfirst.runs.ended` | counter, {run} | `gen_ai.agent.name`, `twentyfirst.run.end` |
//! | `twentyfirst.runs.cost` | histogram, {USD} | `gen_ai.agent.name` |
//! | `twentyfirst.runs.chunks` | counter, {chunk} | `gen_ai.agent.name` |
//! | `twentyfirst.runs.bytes` | counter, By | `gen_ai.agent.name` |
//! | `twentyfirst.runs.cuts` | counter, {cut} | `gen_ai.agent.name` |
//! | `twentyfirst.requests.retries` | counter, {request} | `http.route` |
//! | `twentyfirst.run_log.lag` | histogram, s | none: the delay between reading a chunk and storing it in the log |
//! | `twentyfirst.run_log.hand_overs` | counter, {run} | none: runs that this instance took over from another |
//!
//! A label is left out where it does not apply. No label is an id. Each label has at most 100 values in a process: further agents,
//! models, tools and errors, and names longer than 64 bytes, become `_OTHER`. A run takes seconds to hours, so configure the
//! histograms of durations with buckets up to hours.
//!
//! ```
//! # #[cfg(feature = "metrics")]
//! # fn main() {
//! // Once, after the installation of an exporter.
//! twentyfirst_client::telemetry::describe_metrics();
//! # }
//! # #[cfg(not(feature = "metrics"))]
//! # fn main() {}
//! ```
//!
//! # A run that does not start
//! Its `error.type` is the code of the relay's error response, or else its status (`503`), or else `timeout`, `connect`,
//! `invalid_request` or `_OTHER`.

#[cfg(feature = "tracing")]
mod contents;
mod lag;
#[cfg(feature = "metrics")]
mod meters;
mod sink;
#[cfg(feature = "tracing")]
mod spans;
mod watch;
mod watched_body;

#[cfg(feature = "metrics")]
pub use self::meters::describe_metrics;

pub(crate) use self::lag::Lag;
pub(crate) use self::watch::{Asker, Watch};
use twentyfirst_protocol::Route;

/// Records that this instance took over a run from another.
pub(crate) fn handed_over() {
    #[cfg(feature = "metrics")]
    meters::handed_over();
}

/// Records an attempt at a request; the first is 1.
pub(crate) fn attempt(route: Option<&Route>, attempt: u32) {
    #[cfg(feature = "metrics")]
    if attempt > 1 {
        meters::retried(route.map_or("_OTHER", |route| route.path));
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (route, attempt);
}
