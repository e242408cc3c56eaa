//! From nothing to an agent's answer and back: a sandbox, a command, a thread, a run.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- 'wc -l notes.txt' 'cat notes.txt'
//! API_KEY_21ST=… AGENT_SLUG=my-agent cargo run --example quickstart -- 'What is in notes.txt?'
//! ```

mod common;

use std::error::Error;
use std::process::ExitCode;

use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::SandboxId;
use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::CreateSandbox;

#[tokio::main]
async fn main() -> ExitCode {
    match quickstart().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn quickstart() -> Result<(), Box<dyn Error>> {
    // Listens from here on, so that Ctrl-C at any time ends in the clean-up below.
    let interrupt = tokio::spawn(tokio::signal::ctrl_c());

    let setup = common::connect()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let prompt = match arguments.join("\n") {
        prompt if prompt.is_empty() => "cat notes.txt\nwc -w *.txt *.csv".to_owned(),
        prompt => prompt,
    };

    let create = CreateSandbox::new(&setup.agent)
        .file(
            "/home/user/notes.txt",
            "Agents work in sandboxes.\nThreads keep what was said.\n",
        )
        .file("/home/user/numbers.csv", "one,two\n1,2\n");
    let sandbox = setup.client.execute(&create).await?;
    println!("Sandbox {} is {}.", sandbox.id, sandbox.status);

    let result = tokio::select! {
        result = work(&setup.client, &setup.agent, &sandbox.id, prompt) => result,
        _ = interrupt => Err("interrupted".into()),
    };

    setup.client.sandboxes().delete(&sandbox.id).await?;
    println!("Sandbox {} is deleted.", sandbox.id);
    result
}

async fn work(
    client: &AgentClient,
    agent: &str,
    sandbox_id: &SandboxId,
    prompt: String,
) -> Result<(), Box<dyn Error>> {
    let output = client.sandboxes().exec(sandbox_id, "ls /home/user").await?;
    println!(
        "`ls /home/user` ended with {}:\n{}",
        output.exit_code, output.stdout
    );

    let thread = client.threads().create(sandbox_id).await?;
    println!("Thread {}. The agent is asked:\n{prompt}\n", thread.id);

    let start = StartRun::new(agent, prompt)
        .sandbox_id(sandbox_id)
        .thread_id(&thread.id);
    let mut run = client.threads().run(start).await?;
    while let Some(chunk) = run.next_chunk().await {
        common::print_chunk(&chunk?)?;
    }

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
