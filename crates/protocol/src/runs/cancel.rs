use http::StatusCode;
use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::{InvalidResponse, ResponseError};
use crate::open::open_enum;
use crate::operation::{Operation, Safety, decode_with};
use crate::{Endpoint, Route, SandboxId, tolerant};

/// A request to end the run that is under way in a sandbox.
///
/// The request names a sandbox, not a run. If several threads are streaming, the relay ends the run of the newest one. While a
/// run is still starting, the relay responds with [`CancelStatus::Idle`] and cancels nothing. If the sandbox belongs to another
/// agent, the response is a 404 with the code `sandbox_not_found`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CancelStream {
    /// The slug of the agent that the sandbox belongs to.
    pub agent: String,
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl CancelStream {
    /// Creates the request for this agent and this sandbox.
    pub fn new(agent: impl Into<String>, sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: sandbox_id.into(),
        }
    }
}

impl Endpoint for CancelStream {
    const ROUTE: Route = Route::delete("/v1/chat/{agent}/{sandboxId}/stream");

    fn safety(&self) -> Safety {
        Safety::FlowOnly
    }
}

impl Operation for CancelStream {
    type Output = Cancelled;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Cancelled, ResponseError> {
        decode_with(self, head, body, |body| {
            if head.status == StatusCode::NO_CONTENT {
                // The relay's reference documents a 204; the relay itself responds with JSON.
                return Ok(Cancelled {
                    status: CancelStatus::Cancelled,
                    stream_id: None,
                });
            }
            tolerant::from_slice(body).map_err(|error| InvalidResponse::new(head, error, body))
        })
    }
}

/// The relay's response to a cancellation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Cancelled {
    /// The result: a run was ended, or there was none.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: CancelStatus,
    /// The stream that was ended.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub stream_id: Option<String>,
}

impl Cancelled {
    /// Creates a response.
    pub fn new(status: CancelStatus, stream_id: Option<String>) -> Self {
        Self { status, stream_id }
    }
}

open_enum! {
    /// The result of a cancellation. The list is open: other values are carried as `Other`.
    CancelStatus {
        /// A run was ended.
        Cancelled = "cancelled",
        /// Nothing was streaming, or a run was still starting and goes on.
        Idle = "idle",
    }
}
