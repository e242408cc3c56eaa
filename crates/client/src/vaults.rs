use twentyfirst_protocol::vaults::{
    CreateCredential, CreateVault, Credential, DeleteCredential, DeleteVault, GetVault, ListVaults,
    SetDefaultVault, UpdateCredential, UpdateVault, Vault, VaultDetail, VaultList,
};
use twentyfirst_protocol::{CredentialId, VaultId};

use crate::client::AgentClient;
use crate::error::Error;

/// Vaults and the credentials in them: from [`AgentClient::vaults`]. They need a key; tokens are refused (403).
#[derive(Debug, Clone)]
pub struct Vaults {
    client: AgentClient,
}

impl Vaults {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Lists the vaults, the default one first, archived ones too.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn list(&self) -> Result<VaultList, Error> {
        self.client.execute(&ListVaults::new()).await
    }

    /// Creates a vault with this name. See [`CreateVault`] for more.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn create(&self, name: impl Into<String>) -> Result<Vault, Error> {
        self.client.execute(&CreateVault::new(name)).await
    }

    /// Reads a vault with its credentials.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown one, and all of [`Error`].
    pub async fn get(&self, vault_id: &VaultId) -> Result<VaultDetail, Error> {
        self.client.execute(&GetVault::new(vault_id)).await
    }

    /// Changes a vault.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown or archived one, and all of [`Error`].
    pub async fn update(&self, update: &UpdateVault) -> Result<Vault, Error> {
        self.client.execute(update).await
    }

    /// Archives a vault with its credentials. See [`DeleteVault`] to delete it for good.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown or archived one, and all of [`Error`].
    pub async fn archive(&self, vault_id: &VaultId) -> Result<(), Error> {
        self.client.execute(&DeleteVault::new(vault_id)).await
    }

    /// Makes a vault the one that runs use when they name no other.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown or archived one, and all of [`Error`].
    pub async fn set_default(&self, vault_id: &VaultId) -> Result<(), Error> {
        self.client.execute(&SetDefaultVault::new(vault_id)).await
    }

    /// Puts a credential into a vault.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 409 where the vault has one for this server, 422 where it is full, and all of [`Error`].
    pub async fn create_credential(&self, create: &CreateCredential) -> Result<Credential, Error> {
        self.client.execute(create).await
    }

    /// Replaces a credential.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown or archived one, and all of [`Error`].
    pub async fn update_credential(&self, update: &UpdateCredential) -> Result<Credential, Error> {
        self.client.execute(update).await
    }

    /// Archives a credential. See [`DeleteCredential`] to delete it for good.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown or archived one, and all of [`Error`].
    pub async fn archive_credential(
        &self,
        vault_id: &VaultId,
        credential_id: &CredentialId,
    ) -> Result<(), Error> {
        self.client
            .execute(&DeleteCredential::new(vault_id, credential_id))
            .await
    }
}
