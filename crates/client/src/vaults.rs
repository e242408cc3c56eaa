use twentyfirst_protocol::vaults::{
    CreateCredential, CreateVault, Credential, CredentialSettings, DeleteCredential, DeleteVault,
    GetVault, ListVaults, SetDefaultVault, UpdateCredential, UpdateVault, Vault, VaultDetail,
    VaultList,
};
use twentyfirst_protocol::{CredentialId, IntoId, VaultId};

use crate::call::Call;
use crate::client::AgentClient;

/// The calls on vaults and their credentials. [`AgentClient::vaults`] returns it. They need a key; tokens are rejected with 403.
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

    /// Lists the vaults, including archived ones. The default vault comes first.
    pub fn list(&self) -> Call<ListVaults, VaultList> {
        self.client.call(ListVaults::new())
    }

    /// Creates a vault with this name.
    pub fn create(&self, name: impl Into<String>) -> Call<CreateVault, Vault> {
        self.client.call(CreateVault::new(name))
    }

    /// Returns a vault with its credentials.
    ///
    /// # Errors
    /// 404 for an unknown vault.
    pub fn get(&self, vault_id: impl IntoId<VaultId>) -> Call<GetVault, VaultDetail> {
        Call::of(&self.client, vault_id.into_id().map(GetVault::new))
    }

    /// Changes a vault. Pass a vault that was read, as in `update(&vault).name("new")`, which keeps its metadata, or an
    /// [`UpdateVault`].
    ///
    /// # Errors
    /// 404 for an unknown or archived vault.
    pub fn update(&self, update: impl Into<UpdateVault>) -> Call<UpdateVault, Vault> {
        self.client.call(update.into())
    }

    /// Archives a vault and its credentials. With [`force`](DeleteVault::force) they are deleted permanently.
    ///
    /// # Errors
    /// 404 for an unknown or archived vault.
    pub fn archive(&self, vault_id: impl IntoId<VaultId>) -> Call<DeleteVault, ()> {
        Call::of(&self.client, vault_id.into_id().map(DeleteVault::new))
    }

    /// Makes a vault the default, which runs use if they name no other.
    ///
    /// # Errors
    /// 404 for an unknown or archived vault.
    pub fn set_default(&self, vault_id: impl IntoId<VaultId>) -> Call<SetDefaultVault, ()> {
        Call::of(&self.client, vault_id.into_id().map(SetDefaultVault::new))
    }

    /// Adds a credential to a vault.
    ///
    /// # Errors
    /// 409 if the vault already has one for this server, 422 if the vault is full.
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

    /// Replaces a credential as a whole.
    ///
    /// # Errors
    /// 404 for an unknown or archived credential.
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

    /// Archives a credential. With [`force`](DeleteCredential::force) it is deleted permanently.
    ///
    /// # Errors
    /// 404 for an unknown or archived credential.
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
