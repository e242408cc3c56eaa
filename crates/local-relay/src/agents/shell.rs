use serde_json::json;

use super::{Run, RunResult};
use crate::Command;

const TOOL: &str = "Bash";

pub(super) async fn shell(run: Run) -> RunResult {
    let (mut ran, mut failed) = (0, 0);
    for line in run.text().lines() {
        let line = line.trim();
        // As people copy it from a terminal.
        let command = line.strip_prefix("$ ").unwrap_or(line);
        if command.is_empty() {
            continue;
        }
        ran += 1;
        let call = run.call_tool(TOOL, json!({ "command": command })).await;
        let command = Command::new(command).cwd("/home/user");
        match run.sandbox().exec(command).await {
            Ok(output) => {
                failed += usize::from(!output.success());
                call.output(json!(output)).await;
            }
            Err(error) => {
                failed += 1;
                call.error(error.to_string()).await;
            }
        }
    }
    let commands = if ran == 1 { "command" } else { "commands" };
    let closing = match failed {
        0 => format!("Ran {ran} {commands}."),
        _ => format!("Ran {ran} {commands}, {failed} of them without success."),
    };
    run.say(closing).await;
    run.count_words().await;
    Ok(())
}
