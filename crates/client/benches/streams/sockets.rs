use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::protocol::{ApiKey, Endpoint};
use twentyfirst_client::{AgentClient, SandboxId};

use crate::Result;
use crate::load::{AGENT, Load, STARTING};
use crate::meter::{Deltas, Meter, Report};

/// Reads all streams line by line and looks for nothing but the deltas: what relay and kernel take for themselves.
pub(crate) async fn measure(load: Load, client: &AgentClient, key: &str) -> Result<Report> {
    let key = ApiKey::new(key)?;
    let sandboxes = load.sandboxes(client).await?;
    let starting = Arc::new(Semaphore::new(STARTING));
    let meter = Arc::new(Meter::start(load)?);
    let mut readers = JoinSet::new();
    for sandbox_id in sandboxes.iter().cycle().take(load.streams) {
        let (client, key) = (client.clone(), key.clone());
        let sandbox_id = sandbox_id.clone();
        let (starting, meter) = (Arc::clone(&starting), Arc::clone(&meter));
        readers.spawn(async move {
            let permit = starting.acquire().await?;
            let (head, lines) = send(&client, &key, &sandbox_id).await?;
            drop(permit);
            if head != "HTTP/1.1 200 OK\r\n" {
                return Err(head.into());
            }
            read(lines, meter.open()).await
        });
    }
    meter.finish(readers).await
}

/// Starts a run in a thread of its own: the first line of the answer, and what follows.
async fn send(
    client: &AgentClient,
    key: &ApiKey,
    sandbox_id: &SandboxId,
) -> Result<(String, BufReader<TcpStream>)> {
    let thread = client.threads().create(sandbox_id).await?;
    let mut send = SendMessages::new(AGENT, sandbox_id, "Go on.");
    send.thread_id = Some(thread.id);
    let request = send.to_request()?;
    let url = client.base_url().join(request.uri())?;
    let host = url.authority().ok_or("no host")?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        url.path(),
        key.expose(),
        request.body().as_bytes().len(),
    );
    let mut socket = TcpStream::connect(host.as_str()).await?;
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(request.body().as_bytes()).await?;
    let mut lines = BufReader::with_capacity(1024, socket);
    let mut first = String::new();
    lines.read_line(&mut first).await?;
    Ok((first, lines))
}

async fn read(mut lines: BufReader<TcpStream>, mut deltas: Deltas<'_>) -> Result<()> {
    let mut line = String::new();
    let mut done = false;
    while lines.read_line(&mut line).await? > 0 {
        if let Some((_, rest)) = line.split_once(r#""delta":""#) {
            let (delta, _) = rest.split_once('"').ok_or("a delta without an end")?;
            deltas.take(delta)?;
        }
        done |= line == "data: [DONE]\n";
        line.clear();
    }
    deltas.end(done)
}
