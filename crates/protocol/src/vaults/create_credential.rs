use std::collections::BTreeMap;
use std::fmt;

use http::Uri;
use http::response::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CredentialEnvelope, check_metadata};
use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::secret::{Secrets, mask_url};
use crate::{CredentialId, Endpoint, Operation, Route, Secret, Timestamp, VaultId, tolerant};

/// Creates a credential for an MCP server in a vault. A vault holds at most 20 active credentials, one for each server.
///
/// ```
/// use twentyfirst_protocol::VaultId;
/// use twentyfirst_protocol::vaults::{CreateCredential, CredentialAuth, CredentialSettings};
///
/// let settings = CredentialSettings::new("https://mcp.linear.app/mcp", CredentialAuth::bearer("lin_…"));
/// let create = CreateCredential::new(VaultId::new("vault_1")?, settings.name("Linear"));
/// # let _ = create;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CreateCredential {
    /// The vault.
    pub vault_id: VaultId,
    /// The credential.
    #[serde(flatten)]
    pub settings: CredentialSettings,
}

impl CreateCredential {
    /// Creates the operation for this vault.
    pub fn new(vault_id: impl Into<VaultId>, settings: CredentialSettings) -> Self {
        Self {
            vault_id: vault_id.into(),
            settings,
        }
    }
}

impl Endpoint for CreateCredential {
    const ROUTE: Route = Route::post("/v1/mcp/vaults/{vaultId}/credentials");

    fn validate(&self) -> Result<(), InvalidRequest> {
        self.settings.validate()
    }

    fn secrets(&self) -> Secrets {
        self.settings.secrets()
    }
}

impl Operation for CreateCredential {
    type Output = Credential;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Credential, ResponseError> {
        decode_json(self, head, body).map(|CredentialEnvelope { credential }| credential)
    }
}

/// The settings of a credential, for creating and for replacing one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use]
pub struct CredentialSettings {
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The URL of the MCP server: `http` or `https`, without user and password.
    pub server_url: String,
    /// The authentication at the server.
    pub auth: CredentialAuth,
    /// The place of the token in requests to the server; an `Authorization: Bearer` header by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Inject>,
    /// Your own pairs: at most 16, with keys of at most 64 and values of at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl CredentialSettings {
    /// Creates settings for this server.
    pub fn new(server_url: impl Into<String>, auth: impl Into<CredentialAuth>) -> Self {
        Self {
            name: None,
            server_url: server_url.into(),
            auth: auth.into(),
            inject: None,
            metadata: None,
        }
    }

    /// Sets the display name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the place of the token in requests to the server.
    pub fn inject(mut self, inject: Inject) -> Self {
        self.inject = Some(inject);
        self
    }

    /// Adds a pair of metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata
            .get_or_insert_default()
            .insert(key.into(), value.into());
        self
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRequest> {
        let wrong = |rule| InvalidRequest::new("server_url", Problem::MustBe(rule));
        let uri: Uri = self
            .server_url
            .parse()
            .map_err(|_| wrong("an http or https URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("an http or https URL"));
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(wrong("a URL without user and password"));
        }
        self.metadata.as_ref().map_or(Ok(()), check_metadata)?;
        self.auth.validate()
    }

    pub(super) fn secrets(&self) -> Secrets {
        let mut secrets = self.auth.secrets();
        // Some servers take a key in their URL.
        secrets.add_url(&self.server_url);
        secrets
    }
}

impl fmt::Debug for CredentialSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSettings")
            .field("name", &self.name)
            .field("server_url", &mask_url(&self.server_url))
            .field("auth", &self.auth)
            .field("inject", &self.inject)
            .field("metadata", &self.metadata)
            .finish()
    }
}

/// The authentication at an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum CredentialAuth {
    /// A constant token.
    #[non_exhaustive]
    Bearer {
        /// The token.
        token: Secret,
    },
    /// OAuth 2.
    Oauth(Box<Oauth>),
}

/// The values of an OAuth 2 grant: an access token, the values to get a new one, or both.
///
/// To refresh, the relay needs `refresh_token`, `token_endpoint` and `client_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use]
pub struct Oauth {
    /// The access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Secret>,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// The URL at which tokens are refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// The authentication of the client at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth: Option<TokenEndpointAuth>,
    /// The type of the token, usually `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// The time when the access token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The resource: RFC 8707.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl Oauth {
    /// Creates a grant with an access token and without refresh.
    pub fn new(access_token: impl Into<Secret>) -> Self {
        Self {
            access_token: Some(access_token.into()),
            ..Self::default()
        }
    }

    /// Sets the values that the relay needs to refresh the access token.
    pub fn refresh(
        mut self,
        refresh_token: impl Into<Secret>,
        token_endpoint: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        self.refresh_token = Some(refresh_token.into());
        self.token_endpoint = Some(token_endpoint.into());
        self.client_id = Some(client_id.into());
        self
    }
}

impl CredentialAuth {
    /// Creates an authentication by a constant token.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRequest> {
        let blank = |secret: &Option<Secret>| {
            secret
                .as_ref()
                .is_none_or(|secret| secret.expose().trim().is_empty())
        };
        match self {
            Self::Bearer { token } if token.expose().trim().is_empty() => {
                Err(InvalidRequest::new("auth.token", Problem::Empty))
            }
            Self::Bearer { .. } => Ok(()),
            Self::Oauth(oauth) if blank(&oauth.access_token) && blank(&oauth.refresh_token) => {
                Err(InvalidRequest::new("auth.access_token", Problem::Empty))
            }
            Self::Oauth(oauth) if oauth.refresh_token.is_some() => {
                let needs = |name| {
                    Err(InvalidRequest::new(
                        "auth.refresh_token",
                        Problem::Needs(name),
                    ))
                };
                match (&oauth.client_id, &oauth.token_endpoint) {
                    (None, _) => needs("auth.client_id"),
                    (_, None) => needs("auth.token_endpoint"),
                    _ => Ok(()),
                }
            }
            Self::Oauth(_) => Ok(()),
        }
    }

    fn secrets(&self) -> Secrets {
        match self {
            Self::Bearer { token } => std::iter::once(token).cloned().collect(),
            Self::Oauth(oauth) => [
                &oauth.access_token,
                &oauth.refresh_token,
                &oauth.client_secret,
            ]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        }
    }
}

impl From<Oauth> for CredentialAuth {
    fn from(oauth: Oauth) -> Self {
        Self::Oauth(Box::new(oauth))
    }
}

open_enum! {
    /// The authentication of an OAuth client at its token endpoint.
    TokenEndpointAuth {
        /// No authentication.
        None = "none",
        /// HTTP Basic.
        ClientSecretBasic = "client_secret_basic",
        /// Members of the posted form.
        ClientSecretPost = "client_secret_post",
    }
}

/// The place of the token in requests to an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because users write it by hand with all its fields.
pub enum Inject {
    /// In a header.
    Header {
        /// Its name.
        header: String,
        /// The text before the token, such as `Bearer ` with its space.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
    },
    /// In a query parameter.
    Query {
        /// Its name.
        param: String,
    },
    /// As the password of HTTP Basic.
    Basic {
        /// The user.
        username: String,
    },
}

/// A credential. Responses never contain its secret values; they only list the ones that exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Credential {
    /// The id.
    pub id: CredentialId,
    /// The vault that holds it, if the response names it.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub vault_id: Option<VaultId>,
    /// The display name.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub name: Option<String>,
    /// The MCP server.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub server_url: String,
    /// The URL in the form that the relay compares.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub server_url_normalized: Option<String>,
    /// The hosts that it is used for.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub host_pattern: Option<String>,
    /// The place of the token, as raw JSON: an unknown kind must not hide the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Value>,
    /// `bearer` or `oauth`.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_type: Option<String>,
    /// The values that exist, as flags: `hasToken`, `hasRefreshToken`, …
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth: Option<Map<String, Value>>,
    /// The owner's own pairs.
    #[serde(default, deserialize_with = "tolerant::texts")]
    pub metadata: BTreeMap<String, String>,
    /// The state.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: CredentialStatus,
    /// The error of its last use.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub last_error: Option<String>,
    /// The time of its last use.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub last_resolved_at: Option<Timestamp>,
    /// The time of creation.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub created_at: Option<Timestamp>,
    /// The time of the last change.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub updated_at: Option<Timestamp>,
    /// The time when it was archived.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub archived_at: Option<Timestamp>,
}

impl From<&Credential> for CredentialId {
    fn from(credential: &Credential) -> Self {
        credential.id.clone()
    }
}

impl Credential {
    /// Creates an active credential with this id and server, and nothing else.
    pub fn new(id: CredentialId, server_url: impl Into<String>) -> Self {
        Self {
            id,
            vault_id: None,
            name: None,
            server_url: server_url.into(),
            server_url_normalized: None,
            host_pattern: None,
            inject: None,
            auth_type: None,
            auth: None,
            metadata: BTreeMap::new(),
            status: CredentialStatus::Active,
            last_error: None,
            last_resolved_at: None,
            created_at: None,
            updated_at: None,
            archived_at: None,
        }
    }
}

open_enum! {
    /// The state of a credential. The list is open: others are carried as `Other`.
    CredentialStatus {
        /// Runs can use it.
        Active = "active",
        /// It is kept without its values, and runs cannot use it.
        Archived = "archived",
    }
}
