use serde_json::json;

use super::{Run, RunResult};
use crate::Command;

const TOOL: &str = "Bash";

/// The exit code of a shell for an unknown command.
const NOT_FOUND: i32 = 127;

const EXPLANATION: &str = "This is the local relay's `shell` agent, which understands no language: it runs each line as a command. \
    Try `ls -la`, or `echo hello > a.txt`. For answers in words, use the agent `echo` or one of your own (`LocalRelay::builder().agent(…)`).";

pub(super) async fn shell(run: Run) -> RunResult {
    let (mut ran, mut failed) = (0, 0);
    let mut is_unknown = true;
    for line in run.text().lines() {
        let line = line.trim();
        // People copy commands from a terminal together with the prompt.
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
                is_unknown &= output.exit_code == NOT_FOUND;
                call.output(json!(output)).await;
            }
            Err(error) => {
                failed += 1;
                is_unknown = false;
                call.error(error.to_string()).await;
            }
        }
    }
    let commands = if ran == 1 { "command" } else { "commands" };
    let closing = match failed {
        0 => format!("Ran {ran} {commands}."),
        _ => format!("Ran {ran} {commands}, {failed} of them failed."),
    };
    let closing = match ran > 0 && is_unknown {
        true => format!("{closing} {EXPLANATION}"),
        false => closing,
    };
    run.say(closing).await;
    run.count_words().await;
    Ok(())
}
