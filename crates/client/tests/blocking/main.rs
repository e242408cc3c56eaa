//! The client without async, as its users see it: no test here runs in an async runtime.

mod calls;
mod failures;
mod runs;
mod server;

use std::time::Duration;

use twentyfirst_client::{AgentClient, CallOptions};
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay, LocalRelayBuilder};

/// The narrator's words, one every 15 ms.
const STORY: &str = "Once upon a time an agent worked in the sandbox, far away; and somebody waited for it, thread by thread.";

/// A relay that runs commands, with an agent that tells a story slowly, and one that never ends by itself.
fn relay() -> LocalRelayBuilder {
    let narrator = Agent::new(async |run: twentyfirst_local_relay::Run| {
        run.say(STORY).await;
        Ok(())
    });
    let endless = Agent::new(async |run: twentyfirst_local_relay::Run| {
        run.say(STORY).await;
        std::future::pending().await
    });
    LocalRelay::builder()
        .isolation(Isolation::Unconfined)
        .hold_back(Duration::ZERO)
        .agent("narrator", narrator.pace(Duration::from_millis(15)))
        .agent("endless", endless)
}

fn client(relay: &LocalRelay) -> AgentClient {
    with_options(relay, CallOptions::new())
}

fn with_options(relay: &LocalRelay, options: CallOptions) -> AgentClient {
    let builder = AgentClient::builder().relay(relay).blocking();
    builder.options(options).build().unwrap()
}
