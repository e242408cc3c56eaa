//! Spans have contents only if that is enabled.

use serde_json::Value;

use crate::collector::{Collector, Span};
use crate::support::{builder, relay};

fn json(span: &Span, name: &str) -> Value {
    serde_json::from_str(span.attributes[name]["stringValue"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn contents_are_traced_if_enabled_and_the_key_is_masked() {
    let collector = Collector::start();
    let relay = relay();
    let client = builder(&relay).trace_contents().build().unwrap();
    let asked = format!("Is \"{}\" the key?", relay.api_key());
    let mut run = client
        .threads()
        .run("reviewer", asked.clone())
        .await
        .unwrap();
    run.outcome().await;
    let mut run = client.threads().run("slow", asked).await.unwrap();
    run.outcome().await;

    let runs = collector.named("invoke_agent");
    let messages = |run| {
        (
            json(run, "gen_ai.input.messages"),
            json(run, "gen_ai.output.messages"),
        )
    };
    let (input, output) = messages(&runs[0]);
    insta::assert_snapshot!(format!("{input:#}\n{output:#}"));
    let echo = messages(&runs[1]);
    assert_eq!(echo.1[0]["parts"][0]["content"], "Is \"***\" the key?");
    let tools = collector.named("execute_tool");
    assert_eq!(
        json(&tools[1], "gen_ai.tool.call.arguments")["path"],
        "/sword-fish"
    );
    assert_eq!(json(&tools[1], "gen_ai.tool.call.result"), "sword-fish");
    assert!(!format!("{:?}", collector.spans()).contains(relay.api_key()));
}
