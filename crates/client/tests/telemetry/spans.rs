//! The span of a run, and those of its tools.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twentyfirst_client::{RunOptions, StartRun};

use crate::collector::{Collector, shown};
use crate::support::{answered, connect, relay};

#[tokio::test]
async fn a_run_is_one_span_with_those_of_its_tools_and_requests_in_it() {
    let collector = Collector::start();
    let relay = relay();
    let options = RunOptions::new().model("claude-sonnet-4-5");
    let start = StartRun::new("reviewer", "Where is the sword-fish?").options(options);
    let mut run = connect(&relay).threads().start(start).await.unwrap();
    assert_eq!(run.outcome().await.end.as_str(), "completed");
    drop(run);

    let spans = collector.spans();
    let shown = shown(&spans);
    insta::assert_snapshot!(shown);
    assert!(!shown.contains("sword-fish"));
    let run = spans
        .iter()
        .find(|span| span.name.starts_with("invoke_agent"))
        .unwrap();
    // Creating the sandbox and the thread and starting the run is one operation with three requests.
    let operations: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "operation")
        .collect();
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].parent, run.id);
    let requests: Vec<_> = spans.iter().filter(|span| span.name == "request").collect();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.trace, run.trace);
        for number in ["attempt", "status", "request_bytes", "response_bytes"] {
            assert!(
                request.attributes[number].get("intValue").is_some(),
                "{number}"
            );
        }
    }
    let tools = spans
        .iter()
        .filter(|span| span.name.starts_with("execute_tool"));
    for tool in tools {
        let above = spans.iter().find(|above| above.id == tool.parent).unwrap();
        assert!(tool.ended <= above.ended, "{tool:?} in {above:?}");
    }
}

#[tokio::test]
async fn the_span_of_a_run_is_a_child_of_the_current_span() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    let job = tracing::info_span!("job");
    let answering = async {
        let start = StartRun::new("slow", "one two three");
        client
            .threads()
            .start(start)
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    tracing::Instrument::instrument(answering, job).await;
    let spans = collector.spans();
    let job = spans.iter().find(|span| span.name == "job").unwrap();
    let run = spans
        .iter()
        .find(|span| span.name == "invoke_agent slow")
        .unwrap();
    assert_eq!(run.parent, job.id);
}

#[tokio::test]
async fn a_span_ends_with_its_run_whatever_is_still_held_or_open() {
    let collector = Collector::start();
    let relay = relay();
    let held = answered(&connect(&relay), "delegating").await;
    let over = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(held);

    let run = &collector.named("invoke_agent")[0];
    assert!(u128::from(run.ended) <= over.as_nanos(), "{run:?}");
    let tools = collector.named("execute_tool");
    let [task, read] = &tools[..] else {
        panic!("{tools:?}");
    };
    assert_eq!(read.parent, task.id);
    assert!(task.ended < read.ended);
}
