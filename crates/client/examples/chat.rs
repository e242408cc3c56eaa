//! A conversation with an agent in the terminal.
//!
//! ```text
//! cargo run --example chat
//! ```
//!
//! `/new` begins a new thread in the same sandbox, and `/model NAME` chooses the model of the next answers. `/exit` or the end of the
//! input deletes the sandbox and leaves. Ctrl-C cancels the answer and keeps the conversation; if there is no answer, it leaves.

mod common;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use tokio::sync::mpsc;
use twentyfirst_client::protocol::runs::CancelStatus;
use twentyfirst_client::{AgentClient, RunOptions, Session, UiMessage};

#[tokio::main]
async fn main() -> ExitCode {
    common::exit_code(chat().await)
}

async fn chat() -> Result<(), Box<dyn Error>> {
    let mut interrupts = interrupts();
    let setup = common::connect(AgentClient::builder)?;
    let sandbox = setup.client.sandboxes().create(&setup.agent).await?;
    println!(
        "Sandbox {}. /new, /model NAME, /exit; Ctrl-C cancels an answer.",
        sandbox.id
    );

    let mut conversation = Conversation {
        client: setup.client.clone(),
        session: Session::new(&setup.agent).sandbox_id(&sandbox.id),
        model: None,
        messages: Vec::new(),
    };
    let result = conversation.talk(&mut interrupts).await;
    setup.client.sandboxes().delete(&sandbox.id).await?;
    result
}

struct Conversation {
    client: AgentClient,
    /// A server would store it in its database.
    session: Session,
    model: Option<String>,
    /// The messages that the user sees. Each turn sends all of them.
    messages: Vec<UiMessage>,
}

impl Conversation {
    async fn talk(&mut self, interrupts: &mut mpsc::Receiver<()>) -> Result<(), Box<dyn Error>> {
        let mut lines = lines();
        loop {
            print!("\n> ");
            io::stdout().flush()?;
            let line = tokio::select! {
                line = lines.recv() => line,
                _ = interrupts.recv() => None,
            };
            let Some(line) = line else { return Ok(()) };
            match line.trim() {
                "" => {}
                "/exit" => return Ok(()),
                "/new" => {
                    self.session = self.session.new_thread();
                    self.messages.clear();
                    println!("A new thread in the same sandbox.");
                }
                line if line.starts_with("/model ") => {
                    let model = line["/model ".len()..].trim();
                    println!("The next answers come from {model}.");
                    self.model = Some(model.to_owned());
                }
                line if line.starts_with('/') => println!("There are /new, /model NAME and /exit."),
                // An answer that fails does not end the conversation.
                line => {
                    if let Err(error) = self.turn(line, interrupts).await {
                        common::errors::print_error(&*error);
                    }
                    // An interrupt that came too late for the answer must not end the conversation.
                    while interrupts.try_recv().is_ok() {}
                }
            }
        }
    }

    async fn turn(
        &mut self,
        line: &str,
        interrupts: &mut mpsc::Receiver<()>,
    ) -> Result<(), Box<dyn Error>> {
        let mut messages = self.messages.clone();
        messages.push(UiMessage::user(line.to_owned()));
        let mut start = self.session.run(messages.clone());
        if let Some(model) = &self.model {
            start = start.options(RunOptions::new().model(model));
        }

        let mut run = self.client.threads().start(start).await?;
        self.session = run.run_ref().session();
        let mut is_cancelled = false;
        loop {
            tokio::select! {
                chunk = run.next_chunk() => match chunk.transpose()? {
                    // Chunks that arrive after the run was cancelled are not shown.
                    Some(chunk) if !is_cancelled => common::print_chunk(&chunk)?,
                    Some(_) => {}
                    None => break,
                },
                _ = interrupts.recv() => {
                    match run.cancel().await?.status {
                        CancelStatus::Idle => println!("\n[the answer is already complete]"),
                        status => {
                            is_cancelled = true;
                            println!("\n[{status}]");
                        }
                    }
                }
            }
        }
        // The relay does not store a cancelled turn, so it is not kept here either.
        if let Ok(answer) = run.message().await {
            messages.push(answer);
            self.messages = messages;
        }
        Ok(())
    }
}

/// Receives a value for each Ctrl-C.
fn interrupts() -> mpsc::Receiver<()> {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && send.send(()).await.is_ok() {}
    });
    receive
}

/// Receives the lines of standard input. A thread of its own reads them, since a waiting read cannot be cancelled.
fn lines() -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receive
}
