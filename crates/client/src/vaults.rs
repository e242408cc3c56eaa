use twentyfirst_protocol::vaults::{
    CreateCredential, CreateVault, Credential, CredentialSettings, DeleteCredential, DeleteVault,
    GetVault, ListVaults, SetDefaultVault, UpdateCredential, UpdateVault, Vault, VaultDetail,
    VaultList,
};
use twentyfirst_protocol::{CredentialId, IntoId, VaultId};

use crate::call::Call;
use crate::client::AgentClient;

/// Vaults and the credentials in them: from [`AgentClient::vaults`]. They need a key; tokens are refused (403).
///
/// ```no_run
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::protocol::vaults::{CredentialAuth, CredentialSettings};
///
/// # async fn example(client: AgentClient, token: String) -> Result<(), twentyfirst_client::Error> {
/// let vault = client.vaults().create("tools").description("What the agents may use").await?;
/// let server = CredentialSettings::new("https://mcp.example.com", CredentialAuth::bearer(token)).name("search");
/// client.vaults().create_credential(&vault, server).await?;
/// client.vaults().set_default(&vault).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Vaults {
    client: AgentClient,
}

impl Vaults {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Lists the vaults, the default one first, archived ones too.
    pub fn list(&self) -> Call<ListVaults, VaultList> {
        self.client.call(ListVaults::new())
    }

    /// Creates a vault with this name.
    pub fn create(&self, name: impl Into<String>) -> Call<CreateVault, Vault> {
        self.client.call(CreateVault::new(name))
    }

    /// Reads a vault with its credentials.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub fn get(&self, vault_id: impl IntoId<VaultId>) -> Call<GetVault, VaultDetail> {
        Call::of(&self.client, vault_id.into_id().map(GetVault::new))
    }

    /// Changes a vault: one that was read, as `update(&vault).name("new")`, which keeps its metadata, or an [`UpdateVault`].
    ///
    /// # Errors
    /// 404 for an unknown or archived one.
    pub fn update(&self, update: impl Into<UpdateVault>) -> Call<UpdateVault, Vault> {
        self.client.call(update.into())
    }

    /// Archives a vault with its credentials; with [`force`](DeleteVault::force) it is deleted for good.
    ///
    /// # Errors
    /// 404 for an unknown or archived one.
    pub fn archive(&self, vault_id: impl IntoId<VaultId>) -> Call<DeleteVault, ()> {
        Call::of(&self.client, vault_id.into_id().map(DeleteVault::new))
    }

    /// Makes a vault the one that runs use when they name no other.
    ///
    /// # Errors
    /// 404 for an unknown or archived one.
    pub fn set_default(&self, vault_id: impl IntoId<VaultId>) -> Call<SetDefaultVault, ()> {
        Call::of(&self.client, vault_id.into_id().map(SetDefaultVault::new))
    }

    /// Puts a credential into a vault.
    ///
    /// # Errors
    /// 409 where the vault has one for this server, 422 where it is full.
    pub fn create_credential(
        &self,
        vault_id: impl IntoId<VaultId>,
        settings: CredentialSettings,
    ) -> Call<CreateCredential, Credential> {
        let create = vault_id
            .into_id()
            .map(|id| CreateCredential::new(id, settings));
        Call::of(&self.client, create)
    }

    /// Replaces a credential, whole.
    ///
    /// # Errors
    /// 404 for an unknown or archived one.
    pub fn update_credential(
        &self,
        vault_id: impl IntoId<VaultId>,
        credential_id: impl IntoId<CredentialId>,
        settings: CredentialSettings,
    ) -> Call<UpdateCredential, Credential> {
        let update = vault_id
            .into_id()
            .and_then(|vault| Ok((vault, credential_id.into_id()?)))
            .map(|(vault, credential)| UpdateCredential::new(vault, credential, settings));
        Call::of(&self.client, update)
    }

    /// Archives a credential; with [`force`](DeleteCredential::force) it is deleted for good.
    ///
    /// # Errors
    /// 404 for an unknown or archived one.
    pub fn archive_credential(
        &self,
        vault_id: impl IntoId<VaultId>,
        credential_id: impl IntoId<CredentialId>,
    ) -> Call<DeleteCredential, ()> {
        let delete = vault_id
            .into_id()
            .and_then(|vault| Ok((vault, credential_id.into_id()?)))
            .map(|(vault, credential)| DeleteCredential::new(vault, credential));
        Call::of(&self.client, delete)
    }
}
