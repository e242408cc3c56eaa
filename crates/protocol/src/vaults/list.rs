use std::collections::BTreeMap;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::Credential;
use crate::error::ResponseError;
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::{Endpoint, Operation, Route, Timestamp, VaultId, tolerant};

/// Lists the vaults, the default one first. Archived ones are still listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ListVaults {}

impl ListVaults {
    /// Creates the operation.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Endpoint for ListVaults {
    const ROUTE: Route = Route::get("/v1/mcp/vaults");
}

impl Operation for ListVaults {
    type Output = VaultList;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<VaultList, ResponseError> {
        decode_json(self, head, body)
    }
}

/// The vaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VaultList {
    /// The vaults.
    #[serde(deserialize_with = "tolerant::elements")]
    pub vaults: Vec<Vault>,
    /// Well-known MCP servers, for a user to choose from.
    #[serde(default, deserialize_with = "tolerant::list")]
    pub suggestions: Vec<Suggestion>,
}

impl VaultList {
    /// Creates a list.
    pub fn new(vaults: Vec<Vault>, suggestions: Vec<Suggestion>) -> Self {
        Self {
            vaults,
            suggestions,
        }
    }
}

/// A well-known MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// The display name.
    pub name: String,
    /// The URL.
    pub url: String,
}

impl Suggestion {
    /// Creates a suggestion with this name and URL.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
        }
    }
}

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Vault {
    /// The id.
    pub id: VaultId,
    /// The team that owns it.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub team_id: Option<String>,
    /// The name.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub name: String,
    /// The description.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub description: Option<String>,
    /// The owner's own pairs.
    #[serde(default, deserialize_with = "tolerant::texts")]
    pub metadata: BTreeMap<String, String>,
    /// Whether runs use it if they name no other.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub is_default: bool,
    /// The state.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: VaultStatus,
    /// The time of creation.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub created_at: Option<Timestamp>,
    /// The time of the last change.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub updated_at: Option<Timestamp>,
    /// The time when it was archived.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub archived_at: Option<Timestamp>,
    /// The credentials, including archived ones.
    #[serde(default, deserialize_with = "tolerant::list")]
    pub credentials: Vec<Credential>,
}

impl From<&Vault> for VaultId {
    fn from(vault: &Vault) -> Self {
        vault.id.clone()
    }
}

impl Vault {
    /// Creates an active vault with this id and name, and nothing else.
    pub fn new(id: VaultId, name: impl Into<String>) -> Self {
        Self {
            id,
            team_id: None,
            name: name.into(),
            description: None,
            metadata: BTreeMap::new(),
            is_default: false,
            status: VaultStatus::Active,
            created_at: None,
            updated_at: None,
            archived_at: None,
            credentials: Vec::new(),
        }
    }
}

open_enum! {
    /// The state of a vault. The list is open: others are carried as `Other`.
    VaultStatus {
        /// Runs can use it.
        Active = "active",
        /// It is kept, and runs cannot use it.
        Archived = "archived",
    }
}
