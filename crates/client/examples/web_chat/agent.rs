//! An agent for the local relay, with something of everything that a page has to show.

use std::time::Duration;

use serde_json::json;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_local_relay::{Agent, Run, RunResult};

/// Runs the lines that begin with `$`, and then talks for some seconds.
pub(crate) fn assistant() -> Agent {
    Agent::new(answer)
        .name("Assistant")
        .pace(Duration::from_millis(50))
}

async fn answer(run: Run) -> RunResult {
    let commands = run
        .text()
        .lines()
        .filter_map(|line| line.trim().strip_prefix('$'));
    let commands: Vec<_> = commands.map(|command| command.trim().to_owned()).collect();
    if commands.is_empty() {
        run.say(format!("You said: {}\n\n", run.text())).await;
    }
    for command in &commands {
        let call = run.call_tool("Bash", json!({ "command": command })).await;
        match run.sandbox().exec(command).await {
            Ok(output) => {
                let output = json!({ "exitCode": output.exit_code, "stdout": output.stdout, "stderr": output.stderr });
                call.output(output).await;
            }
            Err(error) => call.error(error.to_string()).await,
        }
    }
    run.say(
        "That is what I have to say about it, but I take my time, so that you can see the words come one after the other. \
         Load the page again meanwhile: the answer goes on where it is, because the run does not care who listens. \
         Press stop, and the run ends. Open the same page in another browser, and you are somebody else. \
         Lines that begin with a dollar sign are run as commands in this chat's sandbox; try `$ ls -la`.",
    )
    .await;
    run.set_usage(usage(run.text(), commands.len()));
    Ok(())
}

/// A local agent costs nothing. This one pretends, for the page to have something to show.
fn usage(text: &str, commands: usize) -> Usage {
    let mut usage = Usage::default();
    let input = 400 + text.len() as u64 / 4;
    let output = 120 + 60 * commands as u64;
    usage.input_tokens = Some(input);
    usage.output_tokens = Some(output);
    usage.total_tokens = Some(input + output);
    usage.total_cost_usd = Some(input as f64 * 3e-6 + output as f64 * 15e-6);
    usage
}
