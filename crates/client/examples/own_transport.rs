//! The job of the quickstart over your own HTTP library: no hyper, no rustls and no tokio in the client.
//!
//! ```text
//! cargo run -p twentyfirst-client --no-default-features --example own_transport
//! ```
//!
//! `ureq` sends the requests, on threads; timers and tasks are smol's. Any other library can take the place of `ureq`: a transport takes
//! an [`http::Request`] and returns an [`http::Response`].

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
use twentyfirst_client::transport::{self, Body, Transport};

fn main() -> ExitCode {
    common::exit_code(smol::block_on(job()))
}

async fn job() -> Result<(), Box<dyn Error>> {
    let setup = common::connect(|| {
        let builder = AgentClient::builder();
        builder.transport(over_ureq()).runtime(Smol)
    })?;
    let sandboxes = setup.client.sandboxes();
    let create = sandboxes.create(&setup.agent);
    let sandbox = create
        .file("/home/user/notes.txt", "Agents work in sandboxes.\n")
        .await?;
    let result = job::work(
        &setup.client,
        &setup.agent,
        &sandbox.id,
        prompt("cat notes.txt"),
    );
    let result = result.await;
    sandboxes.delete(&sandbox).await?;
    result
}

/// Sends requests with `ureq`. Each waits for its response on a thread of smol's pool; a thread of its own reads the response's body.
fn over_ureq() -> impl Transport {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.max_redirects(0).build().into();
    transport::from_fn(move |request| {
        let agent = agent.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_up_to(Body::DEFAULT_LIMIT).await?;
            let request = ureq::http::Request::from_parts(head, body.to_vec());
            let response = smol::unblock(move || agent.run(request)).await;
            // It may have been sent: the client repeats it only if that is safe.
            let response = response.map_err(transport::Error::new)?;
            Ok(response.map(|body| Body::from_reader(body.into_reader())))
        }
    })
}
