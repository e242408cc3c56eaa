//! The job of the quickstart on smol: no tokio runtime in the client.
//!
//! ```text
//! cargo run --example smol
//! cargo run --example smol -- "wc -w *.txt"
//! ```
//!
//! Connections, timers and tasks are smol's. TLS and HTTP run on top of them.

mod common;
#[path = "common/job.rs"]
mod job;
#[path = "common/prompt.rs"]
mod prompt;
#[path = "common/smol_runtime.rs"]
mod smol_runtime;

use std::error::Error;
use std::process::ExitCode;

use prompt::prompt;
use smol_runtime::Smol;

use twentyfirst_client::AgentClient;
use twentyfirst_client::transport::http::Uri;
use twentyfirst_client::transport::{HttpTransport, InvalidSetting};

fn main() -> ExitCode {
    common::exit_code(smol::block_on(job()))
}

async fn job() -> Result<(), Box<dyn Error>> {
    let builder = client_on_smol()?;
    let setup = common::connect(|| builder)?;
    let sandboxes = setup.client.sandboxes();
    let create = sandboxes.create(&setup.agent);
    let sandbox = create
        .file("/home/user/notes.txt", "Agents work in sandboxes.\n")
        .await?;
    let prompt = prompt("cat notes.txt");
    let result = job::work(&setup.client, &setup.agent, &sandbox.id, prompt).await;
    sandboxes.delete(&sandbox).await?;
    result
}

fn client_on_smol() -> Result<twentyfirst_client::AgentClientBuilder, InvalidSetting> {
    let connector = tower::service_fn(async |server: Uri| {
        let default = if server.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = server.port_u16().unwrap_or(default);
        smol::net::TcpStream::connect((server.host().unwrap_or_default(), port)).await
    });
    let transport = HttpTransport::builder()
        .connector(connector)
        .runtime(Smol)
        .connect_timeout(None)
        .build()?;
    Ok(AgentClient::builder().transport(transport).runtime(Smol))
}
