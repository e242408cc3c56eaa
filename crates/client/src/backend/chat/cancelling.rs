use std::time::Duration;

use http::{Response, StatusCode};
use serde::Serialize;
use twentyfirst_protocol::runs::{Cancelled, RunRef};
use twentyfirst_transport::Body;

use crate::backend::Refusal;
use crate::backend::on_error::OnError;
use crate::backend::respond::json;
use crate::client::AgentClient;

/// The deadline for cancelling a run that is still starting. Any later, the thread could have begun another run.
const LONGEST: Duration = Duration::from_secs(30);

/// Cancels a run at the relay.
pub(super) async fn cancel(
    client: &AgentClient,
    on_error: &OnError,
    run: RunRef,
) -> Result<Cancelled, Refusal> {
    let client = client.with_options(client.options().deadline(LONGEST));
    let cancelled = client.threads().cancel(run).await;
    cancelled.map_err(|error| on_error.refuse(&error))
}

/// Creates the response for a browser after a cancellation.
pub(super) fn response(cancelled: Cancelled) -> Response<Body> {
    #[derive(Serialize)]
    struct Content {
        ok: bool,
        #[serde(flatten)]
        cancelled: Cancelled,
    }

    let ok = true;
    json(StatusCode::OK, &Content { ok, cancelled })
}
