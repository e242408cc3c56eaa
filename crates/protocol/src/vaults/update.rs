use std::collections::BTreeMap;

use http::response::Parts;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Vault, VaultEnvelope, check_description, check_metadata, check_name};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, VaultId};

/// Changes a vault.
///
/// The relay clears the metadata if an update does not send it, so an update always contains the whole metadata. [`of`](Self::of)
/// takes it from a vault that was read before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct UpdateVault {
    /// The vault.
    pub vault_id: VaultId,
    /// The new name; `None` keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new description: `None` keeps it, `Some(None)` clears it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub description: Option<Option<String>>,
    /// The whole metadata after the update.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl UpdateVault {
    /// Creates an update of this vault. `metadata` is the whole metadata after the update.
    pub fn new(vault_id: impl Into<VaultId>, metadata: BTreeMap<String, String>) -> Self {
        Self {
            vault_id: vault_id.into(),
            name: None,
            description: None,
            metadata,
        }
    }

    /// Creates an update that keeps the metadata of this vault.
    pub fn of(vault: &Vault) -> Self {
        Self::new(&vault.id, vault.metadata.clone())
    }
}

setters! {
    UpdateVault, update_vault_setters;

    /// Sets the new name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the new description; `None` clears it.
    pub fn description(mut self, description: Option<String>) -> Self {
        self.description = Some(description);
        self
    }
}

impl From<&Vault> for UpdateVault {
    fn from(vault: &Vault) -> Self {
        Self::of(vault)
    }
}

/// Reads a member that may be `null`: `Some(None)` is `null`, and `None` is an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Endpoint for UpdateVault {
    const ROUTE: Route = Route::patch("/v1/mcp/vaults/{vaultId}");

    fn validate(&self) -> Result<(), InvalidRequest> {
        self.name.as_deref().map_or(Ok(()), check_name)?;
        check_description(self.description.as_ref().and_then(Option::as_deref))?;
        check_metadata(&self.metadata)
    }
}

impl Operation for UpdateVault {
    type Output = Vault;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Vault, ResponseError> {
        decode_json(self, head, body).map(|VaultEnvelope { vault }| vault)
    }
}
