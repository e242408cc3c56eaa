//! Spans and metrics of runs, live.
//!
//! ```text
//! cargo run -p twentyfirst-client --example telemetry --features tracing,metrics
//! cargo run -p twentyfirst-client --example telemetry --features tracing,metrics -- serve
//! ```
//!
//! It plays four runs of three agents against a local relay, and prints each span when it ends: the spans of tools come before the span of
//! their run. Then it prints the metrics as Prometheus reads them. With `serve`, it goes on until Ctrl-C and serves the metrics on a page. It
//! needs no key. The documentation of the module `telemetry` shows how to export spans over OTLP.

mod spans;

use std::error::Error;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::layer::SubscriberExt as _;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::protocol::ui::RawJson;
use twentyfirst_client::{AgentClient, telemetry};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay, Run};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let serves = std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "serve");
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans::Printer))?;
    let metrics = PrometheusBuilder::new()
        .set_buckets(&[0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0])?
        .install_recorder()?;
    telemetry::describe_metrics();

    let relay = LocalRelay::builder()
        .agent(
            "reviewer",
            Agent::new(review).pace(Duration::from_millis(40)),
        )
        .agent("narrator", Agent::echo().pace(Duration::from_millis(120)))
        .agent(
            "unlucky",
            Agent::new(async |_| Err("overloaded: try again later".into())),
        )
        .fault(Fault::cut_after(Duration::from_millis(700)).times(1))
        .start()?;
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()?;
    if !serves {
        play(&client).await;
        let text = metrics.render();
        let lines = text.lines().filter(|line| !line.contains("_bucket{"));
        let lines = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
        println!();
        lines.for_each(|line| println!("{line}"));
        return Ok(());
    }
    let page = axum::routing::get(move || async move { metrics.render() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!(
        "metrics at http://{}/metrics, Ctrl-C ends\n",
        listener.local_addr()?
    );
    let app = axum::Router::new().route("/metrics", page);
    let playing = async {
        loop {
            play(&client).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = playing => {}
        pressed = tokio::signal::ctrl_c() => pressed?,
    }
    Ok(())
}

/// Plays four runs at once: one uses tools, one is cut and followed, one fails, and one is dropped.
async fn play(client: &AgentClient) {
    let run = async |agent: &str, prompt: &str| {
        let started = client.threads().run(agent, prompt).await;
        match started {
            Ok(mut run) => drop(run.outcome().await),
            Err(error) => eprintln!("{error}"),
        }
    };
    let left = tokio::time::timeout(
        Duration::from_millis(900),
        run(
            "narrator",
            "Nobody reads this story to its end, and so it is dropped",
        ),
    );
    let story = "An agent worked in a sandbox far away, and every word of it came";
    let _ = tokio::join!(
        run("narrator", story),
        run("reviewer", "Review /src"),
        run("unlucky", "Hello"),
        left
    );
}

async fn review(run: Run) -> Result<(), Box<dyn Error + Send + Sync>> {
    run.say("I look at the files.").await;
    for (tool, input, took) in [
        ("Glob", r#"{"pattern":"src/**"}"#, 150),
        ("Read", r#"{"path":"src/main.rs"}"#, 400),
    ] {
        let call = run.call_tool(tool, RawJson::parse(input)?).await;
        tokio::time::sleep(Duration::from_millis(took)).await;
        call.output(RawJson::parse(r#""…""#)?).await;
    }
    run.say("Two bugs.").await;
    let mut usage = Usage::default();
    usage.input_tokens = Some(5200);
    usage.output_tokens = Some(410);
    usage.total_cost_usd = Some(0.0217);
    run.set_usage(usage);
    Ok(())
}
