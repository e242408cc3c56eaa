//! The routes of chats whose answers replay from Redis.

use twentyfirst_client::backend::{ChatHandler, ChatRequest, Refusal};
use twentyfirst_client::run_log::RedisLog;
use twentyfirst_client::{AgentClient, StartRun};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = RedisLog::connect("redis://127.0.0.1").await?;
    let chats = ChatHandler::new(AgentClient::from_env()?, async |_: ChatRequest| {
        Err::<StartRun, _>(Refusal::not_found("there is no such chat"))
    });
    println!("{:?}", chats.run_log(log));
    Ok(())
}
