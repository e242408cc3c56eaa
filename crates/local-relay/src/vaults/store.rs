use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use twentyfirst_protocol::vaults::{Vault, VaultStatus};
use twentyfirst_protocol::{ErrorCode, VaultId};
use uuid::Uuid;

use super::refusals::{internal, not_found};
use crate::auth::Credential as Authorization;
use crate::request::Call;
use crate::responses::Refusal;
use crate::threads::failed_query;

/// All vaults, in the order of their creation.
#[derive(Default)]
pub(crate) struct Vaults(Mutex<Vec<Vault>>);

impl Vaults {
    pub(super) fn change<T>(&self, action: impl FnOnce(&mut Vec<Vault>) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether a run of this team can use the vault.
    pub(crate) fn is_usable(&self, id: &str, team: &str) -> bool {
        self.change(|vaults| {
            vaults.iter().any(|vault| {
                vault.id.as_str() == id && is_of(vault, team) && vault.status == VaultStatus::Active
            })
        })
    }
}

/// Returns the team of the key, and counts the request. Refuses tokens, and keys that have reached their limit.
pub(super) fn admit(call: &Call) -> Result<String, Refusal> {
    match &call.caller.credential {
        Authorization::Key(key) => key
            .count_vault_request()
            .map_err(Refusal::TooManyRequests)?,
        Authorization::Token(_) => {
            return Err(Refusal::Flat(
                StatusCode::FORBIDDEN,
                ErrorCode::ApiKeyRequired,
                "Vault management requires a server API key".to_owned(),
            ));
        }
    }
    Ok(call.caller.team.clone())
}

pub(super) fn vault_id(call: &Call) -> Result<VaultId, Refusal> {
    VaultId::new(call.segment(3)).map_err(|_| not_found("Vault"))
}

pub(super) fn with_vault<T>(
    call: &Call,
    id: &VaultId,
    team: &str,
    action: impl FnOnce(&mut Vault) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    check_uuid(id.as_str(), "an_mcp_vaults")?;
    call.relay.vaults.change(|vaults| {
        let vault = vaults
            .iter_mut()
            .find(|vault| vault.id == *id && is_of(vault, team))
            .ok_or_else(|| not_found("Vault"))?;
        action(vault)
    })
}

pub(super) fn check_uuid(id: &str, table: &str) -> Result<(), Refusal> {
    match Uuid::try_parse(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(internal(failed_query(id, table))),
    }
}

pub(super) fn is_of(vault: &Vault, team: &str) -> bool {
    vault.team_id.as_deref() == Some(team)
}

pub(super) fn is_active(vault: &Vault) -> Result<(), Refusal> {
    if vault.status == VaultStatus::Active {
        Ok(())
    } else {
        Err(not_found("Vault"))
    }
}
