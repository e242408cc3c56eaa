//! Vaults: credentials for the MCP servers that agents use. A key can manage them, a token cannot.

mod create;
mod create_credential;
mod delete;
mod delete_credential;
mod get;
mod list;
mod set_default;
mod update;
mod update_credential;

pub use create::CreateVault;
pub use create_credential::{
    CreateCredential, Credential, CredentialAuth, CredentialSettings, CredentialStatus, Inject,
    Oauth, TokenEndpointAuth,
};
pub use delete::DeleteVault;
pub use delete_credential::DeleteCredential;
pub use get::{GetVault, VaultDetail};
pub use list::{ListVaults, Suggestion, Vault, VaultList, VaultStatus};
pub use set_default::SetDefaultVault;
pub use update::UpdateVault;
pub use update_credential::UpdateCredential;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{InvalidRequest, Problem};

/// A response body that wraps a vault.
#[derive(Deserialize)]
struct VaultEnvelope {
    vault: Vault,
}

/// A response body that wraps a credential.
#[derive(Deserialize)]
struct CredentialEnvelope {
    credential: Credential,
}

fn check_name(name: &str) -> Result<(), InvalidRequest> {
    match name.trim() {
        "" => Err(InvalidRequest::new("name", Problem::Empty)),
        name if utf16_length(name) > 200 => Err(InvalidRequest::new(
            "name",
            Problem::MustBe("at most 200 characters long"),
        )),
        _ => Ok(()),
    }
}

fn check_description(description: Option<&str>) -> Result<(), InvalidRequest> {
    if description.is_some_and(|description| utf16_length(description) > 500) {
        return Err(InvalidRequest::new(
            "description",
            Problem::MustBe("at most 500 characters long"),
        ));
    }
    Ok(())
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), InvalidRequest> {
    let rule = if metadata.len() > 16 {
        "at most 16 pairs"
    } else if metadata.keys().any(|key| utf16_length(key) > 64) {
        "no key longer than 64 characters"
    } else if metadata.values().any(|value| utf16_length(value) > 512) {
        "no value longer than 512 characters"
    } else {
        return Ok(());
    };
    Err(InvalidRequest::new("metadata", Problem::MustContain(rule)))
}

/// Returns the length as the relay counts it: in UTF-16 code units, like JavaScript.
fn utf16_length(text: &str) -> usize {
    text.encode_utf16().count()
}
