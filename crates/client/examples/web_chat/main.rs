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
//! Without a key it starts a local relay, whose agent runs the lines of a message that begin with `$`. With
//! `API_KEY_21ST` and `AGENT_SLUG` it talks to the real one. The chats are kept in the file that `DATABASE` names; without
//! it in `web_chat.db`, and with the local relay, whose sandboxes end with it, in memory.
//!
//! # Several instances
//! Answers are recorded, so that any browser gets them from their start: by one instance in its memory; by several in one log. With
//! `--instances` they live in this process, each with a runtime, a client and a port of its own, and the log is in memory. With
//! `--redis` it is in Redis or Valkey, for this process and for others: start several, with the same `DATABASE` and a relay that all
//! reach, and put the load balancer of your choice before them.
//!
//! Where an instance dies, another goes on, also where no browser comes back: the rest of the answer arrives when the run is over, 15 s
//! later at the earliest, and what it cost is kept. Ctrl-C and SIGTERM let go what is being recorded: with Redis, others go on at once; an
//! instance alone waits until its answers are complete, 20 s at most. Another signal ends it meanwhile.
//!
//! It listens on this machine only. Every browser is a user of its own, by a cookie.

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

/// How long stopping takes at most: less than the 30 s after which Kubernetes kills.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// What went wrong, from whatever thread.
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

/// Serves until it is told to stop, and then lets the runs go.
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
                eprintln!("{left} runs are left to others");
            }
            Ok(())
        }
        stopped = told_to_stop() => Ok(stopped?),
    }
}

/// Ready with Ctrl-C, and with SIGTERM where there is one.
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
