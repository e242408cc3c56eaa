use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::route::Query;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, VaultId};

/// Archives a vault with its credentials, or deletes it permanently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct DeleteVault {
    /// The vault.
    pub vault_id: VaultId,
    /// Whether to delete the vault permanently. The relay refuses that (409) while it has active credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

impl DeleteVault {
    /// Creates the operation that archives this vault.
    pub fn new(vault_id: impl Into<VaultId>) -> Self {
        Self {
            vault_id: vault_id.into(),
            force: false,
        }
    }
}

setters! {
    DeleteVault, delete_vault_setters;

    /// Sets whether to delete the vault permanently. The relay refuses that (409) while it has active credentials.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
}

impl Endpoint for DeleteVault {
    const ROUTE: Route =
        Route::delete("/v1/mcp/vaults/{vaultId}").with_query(&[Query::Json("force")]);
}

impl Operation for DeleteVault {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
