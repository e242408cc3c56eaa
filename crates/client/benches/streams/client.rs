use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use twentyfirst_client::{AgentClient, Chunk, Run, StartRun};

use crate::Result;
use crate::load::{AGENT, Load, STARTING};
use crate::meter::{Deltas, Meter, Report};

/// Reads all streams with the client, chunk by chunk, in a task for each.
pub(crate) async fn measure(load: Load, client: &AgentClient) -> Result<Report> {
    let sandboxes = load.sandboxes(client).await?;
    let starting = Arc::new(Semaphore::new(STARTING));
    let meter = Arc::new(Meter::start(load)?);
    let mut readers = JoinSet::new();
    for sandbox_id in sandboxes.iter().cycle().take(load.streams) {
        let start = StartRun::new(AGENT, "Go on.").sandbox_id(sandbox_id);
        let (client, meter) = (client.clone(), Arc::clone(&meter));
        let starting = Arc::clone(&starting);
        readers.spawn(async move {
            let permit = starting.acquire().await?;
            let run = client.threads().start(start).await?;
            drop(permit);
            read(run, meter.open()).await
        });
    }
    meter.finish(readers).await
}

async fn read(mut run: Run, mut deltas: Deltas<'_>) -> Result<()> {
    let mut finished = false;
    while let Some(chunk) = run.next_chunk().await {
        match chunk? {
            Chunk::TextDelta(text) => deltas.take(&text.delta.to_string_lossy())?,
            Chunk::Finish(_) => finished = true,
            _ => {}
        }
    }
    deltas.end(finished)
}
