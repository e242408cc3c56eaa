//! Chats in the browser: one page, its server, and SQLite.
//!
//! ```text
//! cargo run --example web_chat                     # on any free port
//! cargo run --example web_chat -- 8080             # or PORT=8080
//! cargo run --example web_chat -- --instances 3    # behind a load balancer; kill one while it answers
//! cargo run --example web_chat -- --budget 2.50    # what each user may spend a day, in US dollars
//! cargo run --example web_chat --features redis -- --redis redis://127.0.0.1 --instances 3
//! ```
//!
//! The page is in the folder `page`: HTML, CSS and JavaScript as the browser gets them, with `marked` and DOMPurify for Markdown.
//!
//! Without a key, it starts a local relay whose agent runs the lines of a message that begin with `$`. With `API_KEY_21ST` and `AGENT_SLUG`,
//! it uses the real relay. The chats are stored in the file that `DATABASE` names, or else in `web_chat.db`. With the local relay the default
//! is memory, since its sandboxes end with the process.
//!
//! # Several instances
//! Each answer is recorded in a run log, from which any browser gets it from its start. A single instance has the log in its memory. With
//! `--instances`, several instances live in this process, each with its own runtime, client and port, and share a log in memory. With
//! `--redis`, the log is in Redis or Valkey, and other processes can share it: start several with the same `DATABASE` and one relay, behind
//! the load balancer of your choice.
//!
//! If an instance dies, another one continues its runs, even if no browser comes back. The rest of the answer arrives when the run is
//! over, 15 s later at the earliest, and its cost is stored. Ctrl-C and SIGTERM release the runs that are being recorded: with Redis, other
//! instances continue them at once. A single instance waits until its answers are complete, 20 s at most; a second signal ends it at once.
//!
//! It listens on this machine only. Each browser is its own user, identified by a cookie.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "it is shared with examples in the terminal")]
mod common;

mod agent;
mod database;
mod instances;
mod page;
mod server;
mod setup;
mod users;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::instances::Instances;
use crate::setup::{Options, Setup};

#[tokio::main]
async fn main() -> ExitCode {
    common::exit_code(run().await.map_err(|error| error as Box<dyn Error>))
}

/// The longest time to stop: less than the 30 s after which Kubernetes kills the process.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// Any error, from any thread.
type Failure = Box<dyn Error + Send + Sync>;

async fn run() -> Result<(), Failure> {
    let options = Options::read()?;
    let setup = Setup::new(&options)?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    if options.instances > 1 {
        let instances = Instances::start(&setup, options.instances).await?;
        println!("{url}");
        return serve(listener, instances.balance(), instances.drain()).await;
    }
    let (app, chats) = setup.server()?.app(setup.log().await?);
    chats.supervise();
    println!("{url}");
    serve(listener, app, chats.drain(LONGEST_DRAIN)).await
}

/// Serves until it is told to stop, and then releases the runs.
async fn serve(
    listener: TcpListener,
    app: axum::Router,
    drain: impl Future<Output = usize>,
) -> Result<(), Failure> {
    tokio::select! {
        served = axum::serve(listener, app) => return Ok(served?),
        stopped = told_to_stop() => stopped?,
    }
    tokio::select! {
        left = drain => {
            if left > 0 {
                eprintln!("{left} runs are left to other instances");
            }
            Ok(())
        }
        stopped = told_to_stop() => Ok(stopped?),
    }
}

/// Waits for Ctrl-C, or for SIGTERM on systems that have it.
async fn told_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
