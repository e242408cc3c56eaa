use std::collections::BTreeMap;
use std::fmt;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::create_credential::check;
use super::{Credential, CredentialAnswer, CredentialAuth, Inject};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::secret::mask_user_info;
use crate::{CredentialId, Endpoint, Operation, Route, VaultId};

/// Replaces a credential.
///
/// The relay takes it whole: a name or metadata left out are cleared. The server's URL has to be sent and cannot change.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UpdateCredential {
    /// The vault.
    pub vault_id: VaultId,
    /// The credential.
    pub credential_id: CredentialId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The MCP server, as it was.
    pub server_url: String,
    /// How to authenticate there.
    pub auth: CredentialAuth,
    /// Where the token goes in requests to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Inject>,
    /// Pairs of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl UpdateCredential {
    /// Of this credential.
    pub fn new(
        vault_id: impl Into<VaultId>,
        credential_id: impl Into<CredentialId>,
        server_url: impl Into<String>,
        auth: CredentialAuth,
    ) -> Self {
        Self {
            vault_id: vault_id.into(),
            credential_id: credential_id.into(),
            name: None,
            server_url: server_url.into(),
            auth,
            inject: None,
            metadata: None,
        }
    }

    /// A name for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where the token goes.
    #[must_use]
    pub fn inject(mut self, inject: Inject) -> Self {
        self.inject = Some(inject);
        self
    }

    /// Adds a pair.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata
            .get_or_insert_default()
            .insert(key.into(), value.into());
        self
    }
}

impl Endpoint for UpdateCredential {
    const ROUTE: Route = Route::patch("/v1/mcp/vaults/{vaultId}/credentials/{credentialId}");

    fn validate(&self) -> Result<(), InvalidRequest> {
        check(&self.server_url, self.metadata.as_ref())?;
        self.auth.validate()
    }

    fn secrets(&self) -> Vec<&str> {
        self.auth.secrets()
    }
}

impl fmt::Debug for UpdateCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateCredential")
            .field("vault_id", &self.vault_id)
            .field("credential_id", &self.credential_id)
            .field("name", &self.name)
            .field("server_url", &mask_user_info(&self.server_url))
            .field("auth", &self.auth)
            .field("inject", &self.inject)
            .field("metadata", &self.metadata)
            .finish()
    }
}

impl Operation for UpdateCredential {
    type Output = Credential;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Credential, ResponseError> {
        decode_json(self, head, body).map(|CredentialAnswer { credential }| credential)
    }
}
