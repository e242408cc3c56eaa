//! Prints the answer of an agent, without async.

use twentyfirst_client::AgentClient;
use twentyfirst_client::blocking::Wait as _;

fn main() -> Result<(), twentyfirst_client::Error> {
    let client = AgentClient::builder().env().blocking().build()?;
    let mut run = client.run("my-agent", "Find bugs in /src").wait()?;
    println!("{}", run.text().wait()?);
    Ok(())
}
