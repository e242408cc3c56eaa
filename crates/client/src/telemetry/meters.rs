use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Label, Unit, counter, gauge, histogram};
use twentyfirst_protocol::runs::{ToolCall, ToolEnd};
use twentyfirst_protocol::ui::{Chunk, RawJson};

use super::sink::{EXECUTE_TOOL, Ending, INVOKE_AGENT, PROVIDER, Sink, tool_error};

const DURATION: &str = "gen_ai.client.operation.duration";
const TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
const TOKENS: &str = "gen_ai.client.token.usage";
const ACTIVE: &str = "twentyfirst.runs.active";
const ENDED: &str = "twentyfirst.runs.ended";
const COST: &str = "twentyfirst.runs.cost";
const CHUNKS: &str = "twentyfirst.runs.chunks";
const BYTES: &str = "twentyfirst.runs.bytes";
const CUTS: &str = "twentyfirst.runs.cuts";
const RETRIES: &str = "twentyfirst.requests.retries";
const LAG: &str = "twentyfirst.run_log.lag";
const HAND_OVERS: &str = "twentyfirst.run_log.hand_overs";

const AGENT: &str = "gen_ai.agent.name";

/// Describes the [metrics](crate::telemetry#metrics) and their units to the installed exporter. Call it once, after the exporter
/// is installed. Without this call the metrics are reported, but have no descriptions.
///
/// The facade `metrics` has no units such as `{chunk}` or `{run}`: for these the unit is `Count`.
pub fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_histogram!(DURATION, Unit::Seconds, "Duration of runs and tool calls.");
    describe_histogram!(
        TIME_TO_FIRST_CHUNK,
        Unit::Seconds,
        "Time until the first chunk of an answer."
    );
    describe_histogram!(TOKENS, Unit::Count, "Tokens that runs have used.");
    describe_gauge!(ACTIVE, Unit::Count, "Runs that are read now.");
    describe_counter!(ENDED, Unit::Count, "Runs that have ended, by their end.");
    describe_histogram!(COST, "Cost of runs in US dollars.");
    describe_counter!(CHUNKS, Unit::Count, "Chunks of answers that were read.");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of streams that were read.");
    describe_counter!(
        CUTS,
        Unit::Count,
        "Streams that broke off before their run ended."
    );
    describe_counter!(RETRIES, Unit::Count, "Requests that were sent again.");
    describe_histogram!(
        LAG,
        Unit::Seconds,
        "Delay between reading a chunk and storing it in the run log."
    );
    describe_counter!(
        HAND_OVERS,
        Unit::Count,
        "Runs that were taken over from another instance."
    );
}

pub(super) fn retried(route: &'static str) {
    counter!(RETRIES, "http.route" => route).increment(1);
}

pub(super) fn handed_over() {
    counter!(HAND_OVERS).increment(1);
}

pub(super) fn lagged(lag: Duration) {
    histogram!(LAG).record(lag);
}

/// The metrics of one answer.
pub(super) struct Meters {
    agent: String,
    model: Option<String>,
    active: Gauge,
    chunks: Counter,
    bytes: Counter,
}

impl Meters {
    pub(super) fn new(agent: &str, model: Option<&str>) -> Self {
        let agent = AGENTS.value(agent);
        let active = gauge!(ACTIVE, AGENT => agent.clone());
        active.increment(1);
        Self {
            active,
            chunks: counter!(CHUNKS, AGENT => agent.clone()),
            bytes: counter!(BYTES, AGENT => agent.clone()),
            model: model.map(|model| MODELS.value(model)),
            agent,
        }
    }

    fn labels(&self, operation: &'static str) -> Vec<Label> {
        let mut labels = vec![
            Label::from_static_parts("gen_ai.operation.name", operation),
            Label::from_static_parts("gen_ai.provider.name", PROVIDER),
            Label::new(AGENT, self.agent.clone()),
        ];
        let model = self.model.as_ref().filter(|_| operation == INVOKE_AGENT);
        labels.extend(model.map(|model| Label::new("gen_ai.request.model", model.clone())));
        labels
    }
}

impl Sink for Meters {
    fn chunk(&mut self, _: &Chunk<'_>) {
        self.chunks.increment(1);
    }

    fn bytes(&mut self, bytes: u64) {
        self.bytes.increment(bytes);
    }

    fn cut(&mut self) {
        counter!(CUTS, AGENT => self.agent.clone()).increment(1);
    }

    fn returned(&mut self, call: &ToolCall, end: ToolEnd, _: Option<&RawJson<'_>>, now: Instant) {
        let mut labels = self.labels(EXECUTE_TOOL);
        labels.push(Label::new("gen_ai.tool.name", TOOLS.value(&call.name)));
        labels.extend(tool_error(end).map(|error| Label::from_static_parts("error.type", error)));
        histogram!(DURATION, labels).record(now.saturating_duration_since(call.begun));
    }

    fn ended(&mut self, ending: &Ending<'_>) {
        self.active.decrement(1);
        counter!(ENDED, AGENT => self.agent.clone(), "twentyfirst.run.end" => ending.end)
            .increment(1);
        let labels = self.labels(INVOKE_AGENT);
        if let Some(time) = ending.time_to_first_chunk {
            histogram!(TIME_TO_FIRST_CHUNK, labels.clone()).record(time);
        }
        let usage = &ending.usage;
        for (kind, tokens) in [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
        ] {
            if let Some(tokens) = tokens {
                let mut labels = labels.clone();
                labels.push(Label::from_static_parts("gen_ai.token.type", kind));
                #[expect(clippy::cast_precision_loss, reason = "a histogram has buckets")]
                histogram!(TOKENS, labels).record(tokens as f64);
            }
        }
        if let Some(cost) = usage.total_cost_usd {
            histogram!(COST, AGENT => self.agent.clone()).record(cost);
        }
        let mut labels = labels;
        let error_type = ending.error_type.as_deref();
        labels.extend(error_type.map(|error| Label::new("error.type", ERRORS.value(error))));
        let took = ending.now.saturating_duration_since(ending.facts.begun());
        histogram!(DURATION, labels).record(took);
    }
}

/// The distinct values of a label whose values come from outside, such as names of tools. Their number is limited, because exporters
/// keep a time series for each.
struct Values(LazyLock<Mutex<HashSet<String>>>);

static AGENTS: Values = Values::new();
static MODELS: Values = Values::new();
static TOOLS: Values = Values::new();
static ERRORS: Values = Values::new();

impl Values {
    const MOST: usize = 100;
    const LONGEST: usize = 64;

    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// Returns the value to use for the label: the given one, or `_OTHER` beyond the limits.
    fn value(&self, value: &str) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(value) {
            if value.len() > Self::LONGEST || known.len() == Self::MOST {
                return "_OTHER".to_owned();
            }
            known.insert(value.to_owned());
        }
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_hundred_values_and_no_more() {
        let values = Values::new();
        for number in 0..Values::MOST {
            assert_eq!(values.value(&number.to_string()), number.to_string());
        }
        assert_eq!(values.value("one more"), "_OTHER");
        assert_eq!(values.value("7"), "7");
        assert_eq!(Values::new().value(&"x".repeat(65)), "_OTHER");
    }
}
