use std::time::Duration;

use http::{Response, StatusCode};
use serde::Serialize;
use twentyfirst_protocol::runs::{Cancelled, RunRef};
use twentyfirst_transport::Body;

use crate::backend::Refusal;
use crate::backend::on_error::OnError;
use crate::backend::respond::json;
use crate::client::AgentClient;

/// How long it is tried to end a run that is still starting. Later, the thread could have begun another.
const LONGEST: Duration = Duration::from_secs(30);

/// Ends a run at the relay.
pub(super) async fn cancel(
    client: &AgentClient,
    on_error: &OnError,
    run: RunRef,
) -> Result<Cancelled, Refusal> {
    let client = client.with_options(client.options().deadline(LONGEST));
    let cancelled = client.threads().cancel(run).await;
    cancelled.map_err(|error| on_error.refuse(&error))
}

/// The response that tells a browser so.
pub(super) fn told(cancelled: Cancelled) -> Response<Body> {
    #[derive(Serialize)]
    struct Told {
        ok: bool,
        #[serde(flatten)]
        cancelled: Cancelled,
    }

    let ok = true;
    json(StatusCode::OK, &Told { ok, cancelled })
}
