use std::time::SystemTime;

use http::StatusCode;
use serde_json::json;
use twentyfirst_protocol::vaults::{
    Credential, CredentialStatus, GetVault, Suggestion, Vault, VaultDetail, VaultList, VaultStatus,
};
use twentyfirst_protocol::{Timestamp, VaultId};
use uuid::Uuid;

use super::check::Check;
use super::credentials;
use super::refusals::conflict;
use super::store::{admit, is_active, is_of, vault_id, with_vault};
use crate::request::Call;
use crate::responses::{Refusal, RelayResponse, json_response};

/// `GET /v1/mcp/vaults`
pub(crate) async fn list(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let mut vaults: Vec<Vault> = call.relay.vaults.change(|vaults| {
        let of_team = vaults.iter().filter(|vault| is_of(vault, &team));
        of_team.map(shown).collect()
    });
    vaults.sort_by(|a, b| {
        let changed = |vault: &Vault| vault.updated_at.as_ref().map(Timestamp::to_string);
        b.is_default
            .cmp(&a.is_default)
            .then_with(|| changed(b).cmp(&changed(a)))
    });
    Ok(json_response(
        StatusCode::OK,
        &VaultList::new(vaults, suggestions()),
    ))
}

/// `POST /v1/mcp/vaults`
pub(crate) async fn create(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let members = call.members().unwrap_or_default();
    let mut check = Check::default();
    let name = check.name(&members, true);
    let description = check.description(&members);
    let metadata = check.metadata(&members);
    check.finish()?;
    let now = Timestamp::from(SystemTime::now());
    let id = VaultId::new(Uuid::new_v4().to_string()).map_err(|_| Refusal::crash())?;
    let mut vault = Vault::new(id, name.unwrap_or_default());
    vault.team_id = Some(team);
    vault.description = description.flatten();
    vault.metadata = metadata;
    vault.created_at = Some(now.clone());
    vault.updated_at = Some(now);
    call.relay
        .vaults
        .change(|vaults| vaults.push(vault.clone()));
    Ok(json_response(
        StatusCode::CREATED,
        &json!({ "vault": vault }),
    ))
}

/// `GET /v1/mcp/vaults/{vaultId}`
pub(crate) async fn get(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let GetVault { vault_id, .. } = call.operation()?;
    let vault = with_vault(&call, &vault_id, &team, |vault| Ok(shown(vault)))?;
    let extra = [
        ("agents".to_owned(), json!([])),
        ("suggestions".to_owned(), json!(suggestions())),
    ];
    let detail = VaultDetail::new(vault, extra.into_iter().collect());
    Ok(json_response(StatusCode::OK, &detail))
}

/// `PATCH /v1/mcp/vaults/{vaultId}`
pub(crate) async fn update(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let members = call.members().unwrap_or_default();
    let mut check = Check::default();
    let name = check.name(&members, false);
    let description = check.description(&members);
    // The relay clears metadata that the request leaves out.
    let metadata = check.metadata(&members);
    check.finish()?;
    let vault_id = vault_id(&call)?;
    let vault = with_vault(&call, &vault_id, &team, |vault| {
        is_active(vault)?;
        if let Some(name) = name {
            vault.name = name;
        }
        if let Some(description) = description {
            vault.description = description;
        }
        vault.metadata = metadata;
        vault.updated_at = Some(Timestamp::from(SystemTime::now()));
        Ok(shown(vault))
    })?;
    Ok(json_response(StatusCode::OK, &json!({ "vault": vault })))
}

/// `DELETE /v1/mcp/vaults/{vaultId}`
pub(crate) async fn delete(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let force = call.query("force").as_deref() == Some("true");
    let vault_id = vault_id(&call)?;
    with_vault(&call, &vault_id, &team, |vault| {
        if force {
            let is_used = vault
                .credentials
                .iter()
                .any(|credential| credential.status == CredentialStatus::Active);
            if vault.status == VaultStatus::Active && is_used {
                return Err(conflict(
                    "Vault must be archived or have zero active credentials before hard delete",
                ));
            }
            return Ok(());
        }
        is_active(vault)?;
        let now = Timestamp::from(SystemTime::now());
        vault.status = VaultStatus::Archived;
        vault.is_default = false;
        vault.updated_at = Some(now.clone());
        vault.archived_at = Some(now.clone());
        for credential in &mut vault.credentials {
            if credential.status == CredentialStatus::Active {
                credentials::archive(credential, &now);
            }
        }
        Ok(())
    })?;
    if force {
        let vaults = &call.relay.vaults;
        vaults.change(|vaults| vaults.retain(|vault| vault.id != vault_id));
    }
    Ok(success())
}

/// `POST /v1/mcp/vaults/{vaultId}/set-default`
pub(crate) async fn set_default(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let vault_id = vault_id(&call)?;
    with_vault(&call, &vault_id, &team, |vault| is_active(vault))?;
    let now = Timestamp::from(SystemTime::now());
    call.relay.vaults.change(|vaults| {
        for vault in vaults.iter_mut().filter(|vault| is_of(vault, &team)) {
            let is_default = vault.id == vault_id;
            if vault.is_default != is_default {
                vault.is_default = is_default;
                vault.updated_at = Some(now.clone());
            }
        }
    });
    Ok(success())
}

/// Returns a vault for a response: its credentials are sorted by their last change, the latest first.
fn shown(vault: &Vault) -> Vault {
    let mut vault = vault.clone();
    let changed =
        |credential: &Credential| credential.updated_at.as_ref().map(Timestamp::to_string);
    // The sort is stable: of credentials that changed in the same millisecond, the one created last comes first.
    vault.credentials.reverse();
    vault
        .credentials
        .sort_by_key(|credential| std::cmp::Reverse(changed(credential)));
    vault
}

fn suggestions() -> Vec<Suggestion> {
    [
        ("Canva", "https://mcp.canva.com/mcp"),
        ("Figma", "https://mcp.figma.com/mcp"),
        ("Notion", "https://mcp.notion.com/mcp"),
        ("Atlassian Rovo", "https://mcp.atlassian.com/v1/mcp"),
        ("Slack", "https://mcp.slack.com/mcp"),
        ("HubSpot", "https://mcp.hubspot.com/anthropic"),
        ("Linear", "https://mcp.linear.app/mcp"),
        ("Monday.com", "https://mcp.monday.com/mcp"),
        ("Microsoft 365", "https://microsoft365.mcp.claude.com/mcp"),
    ]
    .map(|(name, url)| Suggestion::new(name, url))
    .into()
}

pub(super) fn success() -> RelayResponse {
    json_response(StatusCode::OK, &json!({ "success": true }))
}
