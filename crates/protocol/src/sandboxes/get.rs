use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::threads::ThreadSummary;
use crate::{Endpoint, MachineId, Operation, Route, SandboxId, Timestamp, tolerant};

/// Reads a sandbox: its status, its agent and its threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct GetSandbox {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl GetSandbox {
    /// Creates the operation for this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
        }
    }
}

impl Endpoint for GetSandbox {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}");
}

impl Operation for GetSandbox {
    type Output = Sandbox;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Sandbox, ResponseError> {
        decode_json(self, head, body)
    }
}

/// A sandbox.
///
/// The response to creating one has only `id`, `machine_id`, `status` and `created_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Sandbox {
    /// The id, as requests name it.
    pub id: SandboxId,
    /// The provider's machine, for support requests. The relay calls it `sandboxId` here.
    #[serde(
        default,
        rename = "sandboxId",
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub machine_id: Option<MachineId>,
    /// The provider of the machine.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub provider: Option<String>,
    /// The state. A failed run can set it to `error`, and the next run can clear that.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: SandboxStatus,
    /// The reason for the status `error`: a code, a colon and a text.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<String>,
    /// The agent that it was created for.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub agent: Option<SandboxAgent>,
    /// The threads, newest first.
    #[serde(default, deserialize_with = "tolerant::list")]
    pub threads: Vec<ThreadSummary>,
    /// The time of creation.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// The time of the last change.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated_at: Option<Timestamp>,
}

impl From<&Sandbox> for SandboxId {
    fn from(sandbox: &Sandbox) -> Self {
        sandbox.id.clone()
    }
}

impl Sandbox {
    /// Creates a sandbox with only its id and status known.
    pub fn new(id: SandboxId, status: SandboxStatus) -> Self {
        Self {
            id,
            machine_id: None,
            provider: None,
            status,
            error: None,
            agent: None,
            threads: Vec::new(),
            created_at: None,
            updated_at: None,
        }
    }
}

/// The agent that a sandbox was created for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxAgent {
    /// The slug, as runs name it.
    pub slug: String,
    /// The display name.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
}

impl SandboxAgent {
    /// Creates an agent.
    pub fn new(slug: impl Into<String>, name: Option<String>) -> Self {
        Self {
            slug: slug.into(),
            name,
        }
    }
}

open_enum! {
    /// The state of a sandbox. The list is open: others are carried as `Other`.
    SandboxStatus {
        /// It can be used.
        Active = "active",
        /// Its last run or its provider failed; `error` says why.
        Error = "error",
    }
}
