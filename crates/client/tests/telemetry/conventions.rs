//! The names in `gen_ai.*` against the constants that OpenTelemetry publishes.

#![expect(
    deprecated,
    reason = "the conventions have moved to a repository of their own, and have no other crate yet"
)]

use std::collections::BTreeSet;

use opentelemetry_semantic_conventions::{attribute as name, metric};

use crate::collector::Collector;
use crate::metrics::Exporter;
use crate::support::{answered, builder, relay};

/// The attributes that the conventions require of a span, or conditionally require under a condition that is met here.
const REQUIRED: [(&str, &[&str]); 2] = [
    (
        "invoke_agent",
        &[
            name::GEN_AI_OPERATION_NAME,
            name::GEN_AI_PROVIDER_NAME,
            name::GEN_AI_AGENT_NAME,
            name::GEN_AI_CONVERSATION_ID,
            name::SERVER_PORT,
        ],
    ),
    (
        "execute_tool",
        &[name::GEN_AI_OPERATION_NAME, name::GEN_AI_TOOL_NAME],
    ),
];

/// All names that may occur, besides attributes that begin with `twentyfirst.`.
const KNOWN: [&str; 22] = [
    name::ERROR_TYPE,
    name::GEN_AI_AGENT_NAME,
    name::GEN_AI_CONVERSATION_ID,
    name::GEN_AI_INPUT_MESSAGES,
    name::GEN_AI_OPERATION_NAME,
    name::GEN_AI_OUTPUT_MESSAGES,
    name::GEN_AI_PROVIDER_NAME,
    name::GEN_AI_REQUEST_MODEL,
    name::GEN_AI_RESPONSE_ID,
    name::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
    name::GEN_AI_TOKEN_TYPE,
    name::GEN_AI_TOOL_CALL_ARGUMENTS,
    name::GEN_AI_TOOL_CALL_ID,
    name::GEN_AI_TOOL_CALL_RESULT,
    name::GEN_AI_TOOL_NAME,
    name::GEN_AI_TOOL_TYPE,
    name::GEN_AI_USAGE_INPUT_TOKENS,
    name::GEN_AI_USAGE_OUTPUT_TOKENS,
    name::HTTP_ROUTE,
    name::SERVER_ADDRESS,
    name::SERVER_PORT,
    "twentyfirst.run.end",
];

const METRICS: [&str; 3] = [
    metric::GEN_AI_CLIENT_OPERATION_DURATION,
    metric::GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK,
    metric::GEN_AI_CLIENT_TOKEN_USAGE,
];

#[tokio::test]
async fn spans_have_what_the_conventions_require_and_no_names_that_they_do_not_know() {
    let collector = Collector::start();
    let relay = relay();
    let client = builder(&relay).trace_contents().build().unwrap();
    for agent in ["reviewer", "limited", "failing", "slow"] {
        drop(answered(&client, agent).await);
    }
    let mut told = BTreeSet::new();
    for (operation, required) in REQUIRED {
        let spans = collector.named(operation);
        assert!(!spans.is_empty());
        for span in spans {
            for name in required {
                assert!(span.attributes.contains_key(*name), "{name} in {span:?}");
            }
            told.extend(span.attributes.into_keys());
        }
    }
    for name in &told {
        let is_known = KNOWN.contains(&name.as_str()) || name.starts_with("twentyfirst.");
        assert!(is_known, "{name}");
    }
    // All names that the module documents were reported, except the model and the type of tokens.
    let told = told
        .iter()
        .filter(|name| name.starts_with("gen_ai."))
        .count();
    let known = KNOWN
        .iter()
        .filter(|name| name.starts_with("gen_ai."))
        .count();
    assert_eq!(told, known - 2);
}

#[test]
fn metrics_have_names_and_labels_of_the_conventions() {
    let exporter = Exporter::new();
    exporter.play(async |client| {
        drop(answered(&client, "reviewer").await);
    });
    let dotted = |name: &str| name.replace('.', "_");
    let mut found = 0;
    for line in exporter
        .render()
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        if name.starts_with("gen_ai_") {
            assert!(
                METRICS
                    .iter()
                    .any(|metric| name.starts_with(&dotted(metric))),
                "{name}"
            );
            let required = [name::GEN_AI_OPERATION_NAME, name::GEN_AI_PROVIDER_NAME];
            assert!(
                required.iter().all(|label| rest.contains(&dotted(label))),
                "{line}"
            );
            found += 1;
        } else {
            assert!(name.starts_with("twentyfirst_"), "{name}");
        }
        for label in rest
            .split(['{', ','])
            .filter_map(|label| label.split_once("=\""))
        {
            let is_known = KNOWN.iter().any(|name| dotted(name) == label.0);
            assert!(
                is_known || label.0 == "quantile" || label.0 == "le",
                "{}",
                label.0
            );
        }
    }
    assert!(found > 5, "{found}");
}
