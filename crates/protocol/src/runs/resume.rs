use http::StatusCode;
use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::send::{NOT_AN_EVENT_STREAM, is_readable_event_stream};
use crate::error::ResponseError;
use crate::operation::{Head, Safety, StreamingOperation, decode_no_stream};
use crate::{Endpoint, Route, SandboxId, Timeouts};

/// A request to join the stream of the run that is under way in a sandbox.
///
/// The request names a sandbox, not a run. If several threads are streaming, the relay opens the stream of the newest one. It
/// does not replay what was streamed before, and a second reader can cost stored history. It responds with 204 when nothing is
/// streaming, also while a run is still starting. If the sandbox belongs to another agent, the response is a 404 with the code
/// `sandbox_not_found`, and nothing is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ResumeStream {
    /// The slug of the agent that the sandbox belongs to.
    pub agent: String,
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl ResumeStream {
    /// Creates the request for this agent and this sandbox.
    pub fn new(agent: impl Into<String>, sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: sandbox_id.into(),
        }
    }
}

impl Endpoint for ResumeStream {
    const ROUTE: Route = Route::get("/v1/chat/{agent}/{sandboxId}/stream");

    fn timeouts(&self) -> Timeouts {
        Timeouts::stream()
    }

    fn safety(&self) -> Safety {
        Safety::FlowOnly
    }
}

impl StreamingOperation for ResumeStream {
    type Output = Resumed;

    fn decode_head(&self, head: &Parts) -> Head<Resumed> {
        match head.status {
            StatusCode::NO_CONTENT => Head::Open(Resumed::Nothing),
            StatusCode::OK if is_readable_event_stream(&head.headers) => {
                Head::Open(Resumed::Streaming)
            }
            _ => Head::Read,
        }
    }

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Resumed, ResponseError> {
        Err(decode_no_stream(self, head, body, NOT_AN_EVENT_STREAM))
    }
}

/// The relay's response to a request to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumed {
    /// The body is the stream.
    Streaming,
    /// Nothing is streaming.
    Nothing,
}
