//! The client without async: a sandbox, and a run that is followed through a cut. No tokio and no hyper in the client.
//!
//! ```text
//! cargo run -p twentyfirst-client --no-default-features --features blocking --example blocking
//! ```
//!
//! Arguments are the prompt, each a line. The example starts a local relay that cuts the stream after three events. For the real relay,
//! write `AgentClient::builder().env().blocking()`.

#[path = "common/errors.rs"]
mod errors;
#[path = "common/prompt.rs"]
mod prompt;

use std::error::Error;
use std::process::ExitCode;

use prompt::prompt;
use twentyfirst_client::blocking::Wait;
use twentyfirst_client::{AgentClient, Chunk, RunEvent};
use twentyfirst_local_relay::{After, Fault, LocalRelay};

fn main() -> ExitCode {
    errors::exit_code(job())
}

fn job() -> Result<(), Box<dyn Error>> {
    let cut = Fault::cut_after(After::Events(3));
    let relay = LocalRelay::builder().fault(cut).start()?;
    let client = AgentClient::builder().relay(&relay).blocking().build()?;

    let sandbox = client.sandboxes().create("shell").wait()?;
    let files = client.sandbox(&sandbox).files();
    files
        .write("/home/user/notes.txt", "No async here.\n")
        .wait()?;

    // The agent `shell` of the local relay runs its commands in `/home/user`.
    let prompt = prompt("cat notes.txt\nwc -w notes.txt");
    let mut run = client.run("shell", prompt).sandbox_id(&sandbox).wait()?;
    while let Some(event) = run.next_event().wait() {
        match event {
            RunEvent::Chunk(Chunk::TextDelta(text)) => print!("{}", text.delta),
            RunEvent::Chunk(Chunk::ToolOutputAvailable(tool)) => println!("{:?}", tool.output),
            RunEvent::Cut(_) => println!("(the stream broke off)"),
            _ => {}
        }
    }
    println!("\n{}", run.outcome().wait().end);
    client.sandboxes().delete(&sandbox).wait()?;
    Ok(())
}
