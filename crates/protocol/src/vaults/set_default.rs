use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::{Endpoint, Operation, Route, VaultId};

/// Makes a vault the default: runs use it if they name no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct SetDefaultVault {
    /// The vault.
    pub vault_id: VaultId,
}

impl SetDefaultVault {
    /// Creates the operation for this vault.
    pub fn new(vault_id: impl Into<VaultId>) -> Self {
        Self {
            vault_id: vault_id.into(),
        }
    }
}

impl Endpoint for SetDefaultVault {
    const ROUTE: Route = Route::post("/v1/mcp/vaults/{vaultId}/set-default");
}

impl Operation for SetDefaultVault {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
