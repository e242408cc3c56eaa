use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::route::Query;
use crate::setters::setters;
use crate::{CredentialId, Endpoint, Operation, Route, VaultId};

/// Archives a credential, or deletes an archived one permanently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct DeleteCredential {
    /// The vault.
    pub vault_id: VaultId,
    /// The credential.
    pub credential_id: CredentialId,
    /// Whether to delete the credential permanently. The relay refuses that (409) while it is active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

impl DeleteCredential {
    /// Creates the operation that archives this credential.
    pub fn new(vault_id: impl Into<VaultId>, credential_id: impl Into<CredentialId>) -> Self {
        Self {
            vault_id: vault_id.into(),
            credential_id: credential_id.into(),
            force: false,
        }
    }
}

setters! {
    DeleteCredential, delete_credential_setters;

    /// Sets whether to delete the credential permanently. The relay refuses that (409) while it is active.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
}

impl Endpoint for DeleteCredential {
    const ROUTE: Route = Route::delete("/v1/mcp/vaults/{vaultId}/credentials/{credentialId}")
        .with_query(&[Query::Json("force")]);
}

impl Operation for DeleteCredential {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
