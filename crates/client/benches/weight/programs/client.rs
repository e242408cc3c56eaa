//! Prints the answer of an agent.

use twentyfirst_client::AgentClient;

#[tokio::main]
async fn main() -> Result<(), twentyfirst_client::Error> {
    let client = AgentClient::from_env()?;
    let mut run = client.run("my-agent", "Find bugs in /src").await?;
    println!("{}", run.text().await?);
    Ok(())
}
