//! Shared by the examples: a client, with or without a key, and the printing of a run.

pub(crate) mod errors;

use std::env;
use std::error::Error;
use std::io::{self, Write};

use twentyfirst_client::protocol::ui::{Chunk, RawJson};
use twentyfirst_client::{AgentClient, AgentClientBuilder};
use twentyfirst_local_relay::LocalRelay;

pub(crate) use self::errors::exit_code;

/// A client, the slug of an agent, and the local relay, if there is one.
pub(crate) struct Setup {
    pub(crate) client: AgentClient,
    pub(crate) agent: String,
    /// Stops when it is dropped, so it has to live as long as the client.
    pub(crate) _relay: Option<LocalRelay>,
}

/// Connects to the real relay with `API_KEY_21ST` and `AGENT_SLUG`, or else to a local relay in this process.
pub(crate) fn connect(
    builder: impl FnOnce() -> AgentClientBuilder,
) -> Result<Setup, Box<dyn Error>> {
    if env::var_os("API_KEY_21ST").is_some() {
        let agent = env::var("AGENT_SLUG")
            .map_err(|_| "AGENT_SLUG is not set: with API_KEY_21ST it has to name an agent")?;
        return Ok(Setup {
            client: builder().env().build()?,
            agent,
            _relay: None,
        });
    }
    let relay = LocalRelay::start()?;
    println!(
        "No API_KEY_21ST: using a local relay at {}, with its agent `shell`.\n",
        relay.url()
    );
    Ok(Setup {
        client: builder()
            .api_key(relay.api_key())
            .base_url(relay.url())
            .build()?,
        agent: "shell".to_owned(),
        _relay: Some(relay),
    })
}

/// Prints a chunk: text as it is, tool calls and their output in a frame.
pub(crate) fn print_chunk(chunk: &Chunk<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match chunk {
        Chunk::TextDelta(text) => write!(out, "{}", text.delta.to_string_lossy())?,
        Chunk::TextEnd(_) => writeln!(out)?,
        Chunk::ToolInputAvailable(call) => {
            writeln!(
                out,
                "┌ {} {}",
                call.tool_name.to_string_lossy(),
                json(call.input.as_ref())
            )?;
        }
        Chunk::ToolOutputAvailable(result) => {
            for line in readable(result.output.as_ref()).lines() {
                writeln!(out, "│ {line}")?;
            }
            writeln!(out, "└")?;
        }
        Chunk::ToolOutputError(result) => {
            writeln!(out, "└ failed: {}", result.error_text.to_string_lossy())?;
        }
        Chunk::Error(error) => writeln!(
            out,
            "the run failed: {}",
            error.error_text.to_string_lossy()
        )?,
        _ => {}
    }
    out.flush()
}

fn json<'a>(value: Option<&'a RawJson<'_>>) -> &'a str {
    value.map_or("", RawJson::get)
}

/// Returns the output of a command as a terminal shows it, text as it is, and anything else as JSON.
fn readable(output: Option<&RawJson<'_>>) -> String {
    #[derive(serde::Deserialize)]
    struct Streams {
        stdout: String,
        #[serde(default)]
        stderr: String,
    }

    let Some(output) = output else {
        return String::new();
    };
    match output.deserialize::<Streams>() {
        Ok(streams) => streams.stdout + &streams.stderr,
        Err(_) => output
            .deserialize::<String>()
            .unwrap_or_else(|_| output.get().to_owned()),
    }
}
