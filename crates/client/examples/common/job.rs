//! The job of the quickstart in its sandbox.

use std::error::Error;

use twentyfirst_client::{AgentClient, SandboxId};

use crate::common::print_chunk;

/// Runs a command and the agent, and prints what the relay has stored of the run.
pub(crate) async fn work(
    client: &AgentClient,
    agent: &str,
    sandbox_id: &SandboxId,
    prompt: String,
) -> Result<(), Box<dyn Error>> {
    let output = client.sandboxes().exec(sandbox_id, "ls /home/user").await?;
    println!(
        "`ls /home/user` exited with {}:\n{}",
        output.exit_code, output.stdout
    );

    let thread = client.threads().create(sandbox_id).await?;
    println!("Thread {}. The agent is asked:\n{prompt}\n", thread.id);

    let run = client.threads().run(agent, prompt);
    let mut run = run.sandbox_id(sandbox_id).thread_id(&thread).await?;
    while let Some(chunk) = run.next_chunk().await {
        print_chunk(&chunk?)?;
    }

    // An answer that failed or broke off is an error.
    run.message().await?;

    let thread = client.threads().get(sandbox_id, &thread.id).await?;
    let usage = thread.usage;
    println!(
        "\n{} tokens in, {} out, ${:.4}, {} ms.",
        usage.input_tokens.unwrap_or_default(),
        usage.output_tokens.unwrap_or_default(),
        usage.total_cost_usd.unwrap_or_default(),
        usage.duration_ms.unwrap_or_default(),
    );
    println!(
        "The thread is {} and has {} messages.",
        thread.status,
        thread.ui_messages().count()
    );
    Ok(())
}
