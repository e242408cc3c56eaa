//! A sandbox, a command, a thread and a run, from start to end.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- 'wc -l notes.txt' 'cat notes.txt'   # each argument is a line
//! API_KEY_21ST=… AGENT_SLUG=my-agent cargo run --example quickstart -- 'What is in notes.txt?'
//! ```

mod common;
#[path = "common/job.rs"]
mod job;
#[path = "common/prompt.rs"]
mod prompt;

use std::error::Error;
use std::process::ExitCode;

use prompt::prompt;
use twentyfirst_client::AgentClient;

#[tokio::main]
async fn main() -> ExitCode {
    common::exit_code(quickstart().await)
}

async fn quickstart() -> Result<(), Box<dyn Error>> {
    // From here on, Ctrl-C leads to the clean-up below. A second Ctrl-C leaves without it.
    let (interrupt, mut interrupted) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if interrupt.send_replace(true) {
                std::process::exit(130);
            }
            eprintln!("Cleaning up; Ctrl-C again to leave at once.");
        }
    });

    let setup = common::connect(AgentClient::builder)?;
    let prompt = prompt("cat notes.txt\nwc -w *.txt *.csv");

    let create = setup
        .client
        .sandboxes()
        .create(&setup.agent)
        .file(
            "/home/user/notes.txt",
            "Agents work in sandboxes.\nThreads keep what was said.\n",
        )
        .file("/home/user/numbers.csv", "one,two\n1,2\n");
    let sandbox = create.await?;
    println!("Sandbox {} is {}.", sandbox.id, sandbox.status);

    let result = tokio::select! {
        result = job::work(&setup.client, &setup.agent, &sandbox.id, prompt) => result,
        _ = interrupted.wait_for(|interrupted| *interrupted) => Err("interrupted".into()),
    };

    // In any case: a sandbox costs money until it is deleted.
    let deleted = setup.client.sandboxes().delete(&sandbox).await;
    if deleted.is_ok() {
        println!("Sandbox {} is deleted.", sandbox.id);
    }
    result?;
    Ok(deleted?)
}
