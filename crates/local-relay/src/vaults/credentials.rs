use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Map, Value, json};
use twentyfirst_protocol::vaults::{
    Credential, CredentialAuth, CredentialStatus, Inject, Oauth, Vault,
};
use twentyfirst_protocol::{CredentialId, ErrorCode, Secret, Timestamp};
use uuid::Uuid;

use super::check::Check;
use super::refusals::{conflict, internal, invalid, not_found};
use super::routes::success;
use super::server_url::ServerUrl;
use super::store::{admit, check_uuid, is_active, vault_id, with_vault};
use crate::request::{Call, member, text};
use crate::responses::{Refusal, RelayResponse, json_response};

/// The maximum number of active credentials in a vault.
const MAX_ACTIVE: usize = 20;

/// `POST /v1/mcp/vaults/{vaultId}/credentials`
pub(crate) async fn create(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let draft = Draft::read(&call)?;
    let vault_id = vault_id(&call)?;
    let credential = with_vault(&call, &vault_id, &team, |vault| {
        is_active(vault)?;
        let url = draft.check()?;
        check_free(vault, &url, None)?;
        let active = vault
            .credentials
            .iter()
            .filter(|credential| credential.status == CredentialStatus::Active)
            .count();
        if active >= MAX_ACTIVE {
            return Err(Refusal::Flat(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::CredentialCapExceeded,
                format!("A vault holds at most {MAX_ACTIVE} active credentials"),
            ));
        }
        let id = CredentialId::new(Uuid::new_v4().to_string()).map_err(|_| Refusal::crash())?;
        let mut credential = Credential::new(id, draft.server_url.clone());
        credential.server_url_normalized = Some(url.normalized);
        credential.host_pattern = Some(url.host);
        credential.created_at = Some(Timestamp::from(SystemTime::now()));
        draft.apply(&mut credential);
        credential.updated_at.clone_from(&credential.created_at);
        vault.credentials.push(credential.clone());
        Ok(credential)
    })?;
    let credential = json!({ "credential": credential });
    Ok(json_response(StatusCode::CREATED, &credential))
}

/// `PATCH /v1/mcp/vaults/{vaultId}/credentials/{credentialId}`
pub(crate) async fn update(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let draft = Draft::read(&call)?;
    let id = credential_id(&call)?;
    let vault_id = vault_id(&call)?;
    let credential = with_vault(&call, &vault_id, &team, |vault| {
        let at = vault
            .credentials
            .iter()
            .position(|credential| {
                credential.id == id && credential.status == CredentialStatus::Active
            })
            .ok_or_else(|| not_found("Credential"))?;
        let url = draft.check()?;
        check_free(vault, &url, Some(&id))?;
        let credential = &mut vault.credentials[at];
        if credential.server_url_normalized.as_ref() != Some(&url.normalized) {
            return Err(invalid(
                "MCP server URL is immutable; archive this credential and create a new one",
            ));
        }
        draft.apply(credential);
        credential.updated_at = Some(Timestamp::from(SystemTime::now()));
        Ok(credential.clone())
    })?;
    let credential = json!({ "credential": credential });
    Ok(json_response(StatusCode::OK, &credential))
}

/// `DELETE /v1/mcp/vaults/{vaultId}/credentials/{credentialId}`
pub(crate) async fn delete(call: Call) -> Result<RelayResponse, Refusal> {
    let team = admit(&call)?;
    let force = call.query("force").as_deref() == Some("true");
    let id = credential_id(&call)?;
    let vault_id = vault_id(&call)?;
    with_vault(&call, &vault_id, &team, |vault| {
        let at = vault
            .credentials
            .iter()
            .position(|credential| credential.id == id)
            .ok_or_else(|| not_found("Credential"))?;
        let is_active = vault.credentials[at].status == CredentialStatus::Active;
        match (force, is_active) {
            (true, true) => Err(conflict("Credential must be archived before hard delete")),
            (true, false) => {
                vault.credentials.remove(at);
                Ok(())
            }
            (false, true) => {
                let now = Timestamp::from(SystemTime::now());
                archive(&mut vault.credentials[at], &now);
                Ok(())
            }
            (false, false) => Err(not_found("Credential")),
        }
    })?;
    Ok(success())
}

/// Archives a credential, which drops its values.
pub(super) fn archive(credential: &mut Credential, now: &Timestamp) {
    let mut auth = Map::new();
    auth.insert("type".to_owned(), json!(credential.auth_type));
    auth.insert("archived".to_owned(), true.into());
    credential.auth = Some(auth);
    credential.status = CredentialStatus::Archived;
    credential.updated_at = Some(now.clone());
    credential.archived_at = Some(now.clone());
}

/// A credential in a request.
struct Draft {
    name: Option<String>,
    server_url: String,
    auth: CredentialAuth,
    inject: Inject,
    metadata: std::collections::BTreeMap<String, String>,
}

impl Draft {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let members = call.members().unwrap_or_default();
        let mut check = Check::default();
        let server_url = check.server_url(&members);
        check.one_of(&members, "auth", "type", &["bearer", "oauth"]);
        if members.contains_key("inject") {
            check.one_of(&members, "inject", "kind", &["header", "query", "basic"]);
        }
        let metadata = check.metadata(&members);
        check.finish()?;
        let auth = member(&members, "auth").ok_or_else(|| invalid("Invalid input"))?;
        let inject = match members.contains_key("inject") {
            true => member(&members, "inject").ok_or_else(|| invalid("Invalid input"))?,
            false => Inject::Header {
                header: "Authorization".to_owned(),
                prefix: Some("Bearer ".to_owned()),
            },
        };
        Ok(Self {
            name: text(&members, "name"),
            server_url: server_url.unwrap_or_default(),
            auth,
            inject,
            metadata,
        })
    }

    /// Checks the rules that the relay's schema does not cover. The relay notices these violations later, and fails with 500.
    fn check(&self) -> Result<ServerUrl, Refusal> {
        let url = ServerUrl::parse(&self.server_url)?;
        let blank = |secret: &Option<Secret>| secret.as_ref().is_none_or(is_blank);
        match &self.auth {
            CredentialAuth::Bearer { token, .. } if is_blank(token) => {
                Err(internal("Bearer token is required"))
            }
            CredentialAuth::Oauth(oauth) if **oauth == Oauth::default() => {
                Err(internal("OAuth credential needs at least one value"))
            }
            CredentialAuth::Oauth(oauth)
                if !blank(&oauth.refresh_token)
                    && (oauth.token_endpoint.is_none() || oauth.client_id.is_none()) =>
            {
                Err(internal(
                    "OAuth refresh requires refreshToken, tokenEndpoint, and clientId",
                ))
            }
            _ => Ok(url),
        }
    }

    fn apply(&self, credential: &mut Credential) {
        let (auth_type, auth) = flags(&self.auth);
        credential.name.clone_from(&self.name);
        credential.auth_type = Some(auth_type.to_owned());
        credential.auth = Some(auth);
        credential.inject = Some(shown(&self.inject));
        credential.metadata.clone_from(&self.metadata);
    }
}

/// Returns flags for the existing values, never the values themselves.
fn flags(auth: &CredentialAuth) -> (&'static str, Map<String, Value>) {
    let (auth_type, flags) = match auth {
        CredentialAuth::Oauth(oauth) => (
            "oauth",
            json!({
                "type": "oauth",
                "hasAccessToken": oauth.access_token.is_some(),
                "hasRefreshToken": oauth.refresh_token.is_some(),
                "hasClientId": oauth.client_id.is_some(),
                "hasClientSecret": oauth.client_secret.is_some(),
                "hasTokenEndpoint": oauth.token_endpoint.is_some(),
                "tokenEndpointAuth": oauth.token_endpoint_auth,
                "tokenType": oauth.token_type,
                "expiresAt": oauth.expires_at,
                "scope": oauth.scope,
                "resource": oauth.resource,
            }),
        ),
        _ => ("bearer", json!({ "type": "bearer", "hasToken": true })),
    };
    match flags {
        Value::Object(flags) => (auth_type, flags),
        _ => (auth_type, Map::new()),
    }
}

fn shown(inject: &Inject) -> Value {
    match inject {
        Inject::Header { header, prefix } => json!({
            "kind": "header",
            "header": header,
            "prefix": prefix.as_deref().unwrap_or_default(),
        }),
        other => json!(other),
    }
}

fn is_blank(secret: &Secret) -> bool {
    secret.expose().trim().is_empty()
}

/// Refuses a second active credential for the same server.
fn check_free(
    vault: &Vault,
    url: &ServerUrl,
    except: Option<&CredentialId>,
) -> Result<(), Refusal> {
    let is_taken = vault.credentials.iter().any(|credential| {
        credential.status == CredentialStatus::Active
            && Some(&credential.id) != except
            && credential.server_url_normalized.as_ref() == Some(&url.normalized)
    });
    if is_taken {
        Err(conflict(
            "A credential for this MCP server already exists in the vault",
        ))
    } else {
        Ok(())
    }
}

fn credential_id(call: &Call) -> Result<CredentialId, Refusal> {
    let id = call.segment(5);
    check_uuid(&id, "an_mcp_credentials")?;
    CredentialId::new(id).map_err(|_| not_found("Credential"))
}
