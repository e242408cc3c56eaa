//! A relay with agents that use tools, and a client.

use std::sync::Once;
use std::time::Duration;

use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::protocol::ui::RawJson;
use twentyfirst_client::protocol::ui::chunk::{
    ToolInputAvailable, ToolOutputAvailable, ToolOutputDenied, ToolOutputError,
};
use twentyfirst_client::{AgentClient, AgentClientBuilder, SandboxId, StartRun};
use twentyfirst_local_relay::{Agent, LocalRelay, Run};

/// Sets a subscriber for all threads. Without one, a span that is first reached on a thread without a subscriber would be disabled
/// for all threads.
pub(crate) fn subscribe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

pub(crate) fn relay() -> LocalRelay {
    let builder = LocalRelay::builder()
        .agent("reviewer", Agent::new(review))
        .agent("delegating", Agent::new(delegate))
        .agent("limited", Agent::new(limited))
        .agent(
            "failing",
            Agent::new(async |_| Err("overloaded: try the sword-fish again".into())),
        )
        .agent("slow", Agent::echo().pace(Duration::from_millis(30)))
        .agent("waiting", Agent::new(wait))
        .agent("endless", Agent::new(endless));
    builder.hold_back(Duration::ZERO).start().unwrap()
}

pub(crate) fn builder(relay: &LocalRelay) -> AgentClientBuilder {
    AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
}

pub(crate) fn connect(relay: &LocalRelay) -> AgentClient {
    builder(relay).build().unwrap()
}

/// Says something, and uses tools: one by a sub-agent, one that fails, one that is denied, and one without an output.
async fn review(run: Run) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let json = |text: &'static str| RawJson::parse(text).unwrap();
    run.say("I look for the sword-fish.").await;
    run.send(
        ToolInputAvailable::new("toolu_1", "Task")
            .input(json(r#"{"prompt":"find the sword-fish"}"#)),
    )
    .await;
    run.send(
        ToolInputAvailable::new("toolu_1:toolu_2", "Read").input(json(r#"{"path":"/sword-fish"}"#)),
    )
    .await;
    run.send(
        ToolOutputAvailable::new("toolu_1:toolu_2")
            .output(json(r#""sword-fish, first half""#))
            .preliminary(true),
    )
    .await;
    run.send(ToolOutputAvailable::new("toolu_1:toolu_2").output(json(r#""sword-fish""#)))
        .await;
    run.send(ToolOutputAvailable::new("toolu_1").output(json(r#""found the sword-fish""#)))
        .await;
    run.send(ToolInputAvailable::new("toolu_3", "Bash")).await;
    run.send(ToolOutputError::new("toolu_3", "no sword-fish"))
        .await;
    run.send(ToolInputAvailable::new("toolu_4", "Write")).await;
    run.send(ToolOutputDenied::new("toolu_4")).await;
    run.send(ToolInputAvailable::new("toolu_5", "WebFetch"))
        .await;
    run.set_usage(used());
    Ok(())
}

/// An agent with a sub-agent, whose tool continues after the end of its task.
async fn delegate(run: Run) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let pause = || tokio::time::sleep(Duration::from_millis(20));
    run.send(ToolInputAvailable::new("toolu_1", "Task")).await;
    run.send(ToolInputAvailable::new("toolu_1:toolu_2", "Read"))
        .await;
    pause().await;
    run.send(ToolOutputAvailable::new("toolu_1")).await;
    pause().await;
    run.send(ToolOutputAvailable::new("toolu_1:toolu_2")).await;
    Ok(())
}

async fn limited(run: Run) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    run.say("Not ready").await;
    run.set_result_subtype("error_max_turns");
    Ok(())
}

/// Says something, waits for a file in its sandbox, and says the rest.
async fn wait(run: Run) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    run.say("a story").await;
    let wait = "until [ -e /home/user/go ]; do sleep 0.05; done";
    run.sandbox().exec(wait).await?;
    run.say(" that is told").await;
    Ok(())
}

/// Lets the agent `waiting` in this sandbox say the rest.
pub(crate) async fn go(client: &AgentClient, sandbox: &SandboxId) {
    let files = client.sandboxes().files();
    files.write(sandbox, "/home/user/go", "").await.unwrap();
}

async fn endless(run: Run) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    run.say("a story that never ends").await;
    std::future::pending().await
}

fn used() -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = Some(1200);
    usage.output_tokens = Some(340);
    usage.total_cost_usd = Some(0.0125);
    usage
}

/// Reads a run of this agent to its end.
pub(crate) async fn answered(client: &AgentClient, agent: &str) -> twentyfirst_client::Run {
    let start = StartRun::new(agent, "Hello");
    let mut run = client.threads().start(start).await.unwrap();
    run.outcome().await;
    run
}
