//! An agent for the local relay, whose answers have everything that the page can show.

use std::time::Duration;

use serde_json::json;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_local_relay::{Agent, Run, RunResult};

/// Creates an agent that runs the lines that begin with `$`, and then talks for some seconds. A line that begins with `!` and a space makes
/// the run fail.
pub(crate) fn assistant() -> Agent {
    Agent::new(answer)
        .name("Assistant")
        .pace(Duration::from_millis(50))
}

async fn answer(run: Run) -> RunResult {
    let lines = |mark: &'static str| {
        let lines = run.text().lines();
        lines.filter_map(move |line| Some(line.trim().strip_prefix(mark)?.trim().to_owned()))
    };
    let commands: Vec<_> = lines("$").collect();
    if let Some(reason) = lines("! ").next() {
        run.say("I begin to answer, and then").await;
        return Err(reason.into());
    }
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
    run.say(WORDS).await;
    run.set_usage(usage(run.text(), commands.len()));
    Ok(())
}

const WORDS: &str = r#"This is the demo agent of the **local relay**. It answers slowly, so that you can watch the words arrive.

- Reload the page: the answer goes on.
- Press `Esc` or **Stop**: the run ends.
- Open the page in another browser: you are another user.

The server, in a few lines of Rust:

```rust
let chats = ChatHandler::new(client, run_in_chat);
let app = Router::new()
    .route_service("/api/chat", chats.clone())
    .route_service("/api/chat/{id}/stream", chats);
```

Lines that begin with a dollar sign run in the sandbox of this chat; try `$ ls -la`."#;

/// Returns an invented usage, so that the page has a cost to show. A local agent costs nothing.
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
