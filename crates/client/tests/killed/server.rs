//! The server: it begins runs, and writes their ends into a file.

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};
use twentyfirst_client::run_log::RedisLog;
use twentyfirst_client::{AgentClient, Session};

/// The settings of a server.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) relay: String,
    pub(crate) key: String,
    pub(crate) redis: String,
    /// The file in which ends are written down.
    pub(crate) told: PathBuf,
    pub(crate) text: String,
    /// The sessions in which runs are begun.
    pub(crate) sessions: Vec<Session>,
}

/// An end that was reported.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) chat: String,
    pub(crate) end: String,
    pub(crate) text: String,
}

#[test]
#[ignore = "it is the server of the other test"]
fn serve() {
    let Ok(work) = env::var("SERVER_WORK") else {
        return;
    };
    let work: Work = serde_json::from_str(&work).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(work));
}

async fn run(work: Work) {
    let client = AgentClient::builder().api_key(&*work.key);
    let client = client.base_url(&*work.relay).build().unwrap();
    let log = RedisLog::connect(&work.redis).await.unwrap();
    let file = std::fs::File::options();
    let file = file.clone().create(true).append(true).open(&work.told);
    let file = Arc::new(Mutex::new(file.unwrap()));
    let decide = |_: ChatRequest| async { Err::<ChatRun, _>(Refusal::not_found("no browsers")) };
    let chats = ChatHandler::new(client, decide)
        .run_log(log)
        .on_error(|error| eprintln!("{error:?}"))
        .on_end(move |ended| {
            let told = Told {
                id: ended.id,
                chat: ended.chat,
                end: ended.outcome.end.to_string(),
                text: ended.message.text(),
            };
            let line = serde_json::to_string(&told).unwrap() + "\n";
            let file = Arc::clone(&file);
            async move { file.lock().unwrap().write_all(line.as_bytes()) }
        });
    chats.supervise();
    for (number, session) in work.sessions.into_iter().enumerate() {
        let (chats, text) = (chats.clone(), work.text.clone());
        tokio::spawn(async move {
            let run = ChatRun::new(session.run(text)).owner("user");
            let id = chats.begin(&format!("chat-{number}"), run).await;
            println!("begun {}", id.unwrap());
        });
    }
    std::future::pending::<()>().await;
}
