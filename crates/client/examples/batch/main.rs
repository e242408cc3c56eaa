//! A list of prompts, answered in several sandboxes, with the results in a file of JSON Lines.
//!
//! ```text
//! cargo run --example batch -- crates/client/examples/batch/prompts.txt results.jsonl     # commands, on a local relay
//! API_KEY_21ST=… AGENT_SLUG=… cargo run --example batch -- --sandboxes 20 --at-once 40 prompts.txt results.jsonl
//! ```
//!
//! Each line of `prompts.txt` is a prompt, and is asked in its own thread. Each line of `results.jsonl` is the result of one: [`Line`].
//!
//! - A prompt that fails does not stop the others. The exit code is 0 if all have an answer, else 1.
//! - Started again with the same files, it asks only the prompts without an answer.
//! - It deletes the sandboxes at the end, and on Ctrl-C. After `kill -9`, the relay deletes them when their time is over: [`SANDBOX_LIFE`].
//! - The client retries requests that are safe to repeat, and follows a run whose connection breaks off.
//!
//! # Length
//! 192 lines of code; with `@21st-sdk/node` 269: `interop/programs/batch.mjs`. Both are formatted by their formatters, and counted without
//! comments, empty lines and the start of the local relay. The Node client gives neither the status nor the code of an error, retries
//! nothing and reads no answer, so the Node program does all that.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is shared with other examples")]
mod common;
#[path = "../common/progress.rs"]
mod progress;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, Stream, StreamExt};
use pico_args::Arguments;
use serde::{Deserialize, Serialize};
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{AgentClient, RunRef, Sandbox};

use self::progress::Progress;

/// The longest life of a sandbox.
const SANDBOX_LIFE: Duration = Duration::from_secs(4 * 3600);

/// The result of a prompt.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    index: usize,
    prompt: String,
    text: Option<String>,
    usage: Usage,
    /// The run that answered it; `null` if none started.
    run: Option<RunRef>,
    /// `null` if there is an answer.
    error: Option<String>,
    /// The status with which the relay refused to start the run.
    status: Option<u16>,
    code: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    common::exit_code(batch(Arguments::from_env()).await)
}

pub(crate) async fn batch(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let sandboxes = arguments.opt_value_from_str("--sandboxes")?.unwrap_or(20);
    let at_once = arguments.opt_value_from_str("--at-once")?;
    let at_once = at_once.map_or(20, NonZero::get);
    let prompts = std::fs::read_to_string(arguments.free_from_str::<String>()?)?;
    let prompts = prompts.lines().filter(|line| !line.trim().is_empty());
    let (file, answered) = open(&arguments.free_from_str::<String>()?)?;
    let is_left =
        |(index, prompt): &(usize, &str)| answered.get(index).is_none_or(|it| it != prompt);
    let left: Vec<(usize, &str)> = prompts.enumerate().filter(is_left).collect();

    let setup = common::connect(AgentClient::builder)?;
    let (client, agent) = (&setup.client, &*setup.agent);
    let stopped = tokio::spawn(tokio::signal::ctrl_c());
    let create = |_| client.sandboxes().create(agent).timeout(SANDBOX_LIFE);
    let created = join_all((0..left.len().min(sandboxes)).map(create)).await;
    let sandboxes: Vec<Sandbox> = created.into_iter().filter_map(or_print).collect();
    let lines = left.iter().zip(sandboxes.iter().cycle());
    let lines = lines.map(|((index, prompt), sandbox)| ask(client, agent, sandbox, *index, prompt));
    let lines = stream::iter(lines).buffer_unordered(at_once);
    let written = write(lines.take_until(stopped), file, left.len(), at_once).await;
    let deleted = sandboxes
        .iter()
        .map(|sandbox| client.sandboxes().delete(sandbox));
    let deleted = join_all(deleted).await.into_iter().filter_map(or_print);
    // Not `||`: an error of writing is returned even if a sandbox could not be deleted.
    if (deleted.count() < sandboxes.len()) | (written? < left.len()) {
        return Err("not all went well: start again to ask what has no answer".into());
    }
    Ok(())
}

/// Opens the file of results. Returns it, and the prompts that have an answer there.
fn open(path: &str) -> Result<(File, HashMap<usize, String>), Box<dyn Error>> {
    let mut options = File::options();
    let mut file = options.create(true).read(true).append(true).open(path)?;
    #[allow(clippy::incompatible_msrv, reason = "examples take Rust 1.89")]
    file.try_lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    // A killed process may have left an incomplete line.
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    file.set_len(text.len() as u64)?;
    let lines: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
    let answered = lines?.into_iter().filter(|line| line.error.is_none());
    Ok((
        file,
        answered.map(|line| (line.index, line.prompt)).collect(),
    ))
}

/// Writes the results as they come, and returns how many prompts have an answer.
async fn write(
    lines: impl Stream<Item = Line>,
    mut file: File,
    all: usize,
    at_once: usize,
) -> std::io::Result<usize> {
    let (mut done, mut answers, mut cost) = (0, 0, 0.0);
    let mut lines = pin!(lines);
    let mut progress = Progress::every(10);
    loop {
        let left = all - done;
        progress.show(done, left.min(at_once), left.saturating_sub(at_once), cost);
        let Some(line) = lines.next().await else {
            return Ok(answers);
        };
        writeln!(file, "{}", serde_json::to_string(&line)?)?;
        done += 1;
        answers += usize::from(line.error.is_none());
        cost += line.usage.total_cost_usd.unwrap_or_default();
    }
}

async fn ask(
    client: &AgentClient,
    agent: &str,
    sandbox: &Sandbox,
    index: usize,
    prompt: &str,
) -> Line {
    let prompt = prompt.to_owned();
    let mut line = Line {
        index,
        prompt,
        ..Line::default()
    };
    let run = client.run(agent, &*line.prompt);
    match run.sandbox_id(sandbox).await {
        Ok(mut run) => {
            let outcome = run.outcome().await;
            line.text = Some(run.message_so_far().text());
            line.usage = outcome.usage;
            line.run = Some(run.run_ref().clone());
            line.error = (!outcome.is_success()).then(|| outcome.to_string());
            line.code = outcome.error_type().map(str::to_owned);
        }
        Err(error) => {
            line.status = error.status().map(|status| status.as_u16());
            line.code = error.code().map(|code| code.as_str().to_owned());
            line.error = Some(error.to_string());
        }
    }
    line
}

fn or_print<T>(result: Result<T, twentyfirst_client::Error>) -> Option<T> {
    result
        .inspect_err(|error| common::errors::print_error(error))
        .ok()
}
