//! Prints the answer of an agent, over a client of reqwest.

use twentyfirst_client::AgentClient;
use twentyfirst_client::transport::ReqwestTransport;

#[tokio::main]
async fn main() -> Result<(), twentyfirst_client::Error> {
    let transport = ReqwestTransport::new(reqwest::Client::new());
    let client = AgentClient::builder().env().transport(transport).build()?;
    let mut run = client.run("my-agent", "Find bugs in /src").await?;
    println!("{}", run.text().await?);
    Ok(())
}
