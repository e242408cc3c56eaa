//! Prints the answer of an agent, over a transport that does nothing.

use std::pin::Pin;
use std::time::Duration;

use twentyfirst_client::AgentClient;
use twentyfirst_client::transport::{Error, Runtime, from_fn};

struct NoTime;

impl Runtime for NoTime {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
}

fn main() -> Result<(), twentyfirst_client::Error> {
    let nothing = from_fn(async |_| Err(Error::not_sent("there is no network")));
    let client = AgentClient::builder().env().transport(nothing).runtime(NoTime).build()?;
    pollster::block_on(async {
        let mut run = client.run("my-agent", "Find bugs in /src").await?;
        println!("{}", run.text().await?);
        Ok(())
    })
}
