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
    /// Of this sandbox.
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
/// The answer to creating one has only `id`, `machine_id`, `status` and `created_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Sandbox {
    /// The id that every request takes.
    pub id: SandboxId,
    /// The provider's machine, for support requests. The relay calls it `sandboxId` here.
    #[serde(
        default,
        rename = "sandboxId",
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub machine_id: Option<MachineId>,
    /// Who runs the machine.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub provider: Option<String>,
    /// The state. One failed run can make it `error`, and the next run mend it.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: SandboxStatus,
    /// Why the status is `error`: a code, a colon and a text.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<String>,
    /// The agent that it was made for.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub agent: Option<SandboxAgent>,
    /// Its threads, the newest first.
    #[serde(default, deserialize_with = "tolerant::list")]
    pub threads: Vec<ThreadSummary>,
    /// When it was made.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated_at: Option<Timestamp>,
}

impl From<&Sandbox> for SandboxId {
    fn from(has: &Sandbox) -> Self {
        has.id.clone()
    }
}

impl Sandbox {
    /// A sandbox of which only the id and the status are known.
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

/// The agent that a sandbox was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxAgent {
    /// Its slug, as runs name it.
    pub slug: String,
    /// Its name for people.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
}

impl SandboxAgent {
    /// An agent.
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
