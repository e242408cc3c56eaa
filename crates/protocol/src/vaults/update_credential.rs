use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{Credential, CredentialEnvelope, CredentialSettings};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::{CredentialId, Endpoint, Operation, Route, Secrets, VaultId};

/// Replaces a credential.
///
/// The relay replaces the whole credential: a name or metadata that is missing here is cleared. The URL of the server is required
/// and cannot change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct UpdateCredential {
    /// The vault.
    pub vault_id: VaultId,
    /// The credential.
    pub credential_id: CredentialId,
    /// The new settings, as a whole.
    #[serde(flatten)]
    pub settings: CredentialSettings,
}

impl UpdateCredential {
    /// Creates the operation for this credential.
    pub fn new(
        vault_id: impl Into<VaultId>,
        credential_id: impl Into<CredentialId>,
        settings: CredentialSettings,
    ) -> Self {
        Self {
            vault_id: vault_id.into(),
            credential_id: credential_id.into(),
            settings,
        }
    }
}

impl Endpoint for UpdateCredential {
    const ROUTE: Route = Route::patch("/v1/mcp/vaults/{vaultId}/credentials/{credentialId}");

    fn validate(&self) -> Result<(), InvalidRequest> {
        self.settings.validate()
    }

    fn secrets(&self) -> Secrets {
        self.settings.secrets()
    }
}

impl Operation for UpdateCredential {
    type Output = Credential;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Credential, ResponseError> {
        decode_json(self, head, body).map(|CredentialEnvelope { credential }| credential)
    }
}
