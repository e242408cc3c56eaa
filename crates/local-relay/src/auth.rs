use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};

use crate::relay::Relay;
use crate::responses::Refusal;
use crate::tokens::Claims;

/// An API key of a [`LocalRelay`](crate::LocalRelay).
///
/// A key gives access to the sandboxes and vaults of its team, and to no others. `Debug` does not show the key.
///
/// ```
/// use twentyfirst_local_relay::{Key, LocalRelay};
///
/// let relay = LocalRelay::builder()
///     .key("an_sk_owner")
///     .key(Key::new("21st_sk_neighbour").team("neighbours"))
///     .key(Key::new("21st_sk_old").expired())
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    pub(crate) text: String,
    team: String,
    state: KeyState,
    vault_requests: Option<u32>,
    used_vault_requests: Arc<AtomicU32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyState {
    Active,
    Inactive,
    Expired,
}

impl Key {
    /// Creates a valid key of the default team. Only `an_sk_…` keys may cap the cost of a sandbox.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            text: key.into(),
            team: "team_local".to_owned(),
            state: KeyState::Active,
            vault_requests: None,
            used_vault_requests: Arc::default(),
        }
    }

    /// Sets the team of the key.
    #[must_use]
    pub fn team(mut self, team: impl Into<String>) -> Self {
        self.team = team.into();
        self
    }

    /// Makes the relay refuse the key with 403 `API key is inactive`.
    #[must_use]
    pub fn inactive(mut self) -> Self {
        self.state = KeyState::Inactive;
        self
    }

    /// Makes the relay refuse the key with 403 `API key has expired`.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.state = KeyState::Expired;
        self
    }

    /// Limits the number of requests to vaults with this key. Later ones fail with 429. There is no limit by default.
    #[must_use]
    pub fn vault_requests(mut self, requests: u32) -> Self {
        self.vault_requests = Some(requests);
        self
    }
}

impl Key {
    /// Counts a request to a vault.
    ///
    /// # Errors
    /// Returns the limit if it is exceeded.
    pub(crate) fn count_vault_request(&self) -> Result<(), u32> {
        let used = self.used_vault_requests.fetch_add(1, Ordering::Relaxed);
        match self.vault_requests {
            Some(limit) if used >= limit => Err(limit),
            _ => Ok(()),
        }
    }
}

impl<T: Into<String>> From<T> for Key {
    fn from(key: T) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

/// The sender of a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) team: String,
    pub(crate) credential: Credential,
}

#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Key(Key),
    Token(Claims),
}

impl Caller {
    /// Identifies the sender of a request by its `Authorization` header.
    pub(crate) fn identify(headers: &HeaderMap, relay: &Relay) -> Result<Self, Refusal> {
        let unauthorized = |text: &str| Refusal::Text(StatusCode::UNAUTHORIZED, text.to_owned());
        let forbidden = |text: &str| Err(Refusal::Text(StatusCode::FORBIDDEN, text.to_owned()));
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            // In exactly this case, as at the relay.
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| unauthorized("Missing or invalid Authorization header"))?;
        if let Some(token) = given.strip_prefix("an_t_") {
            let claims = relay
                .signer
                .verify(token, SystemTime::now())
                .ok_or_else(|| unauthorized("Invalid or expired token"))?;
            return Ok(Self {
                team: claims.team_id.clone(),
                credential: Credential::Token(claims),
            });
        }
        let key = relay
            .keys
            .iter()
            .find(|key| key.text == given)
            .ok_or_else(|| unauthorized("Invalid API key"))?;
        match key.state {
            KeyState::Active => Ok(Self {
                team: key.team.clone(),
                credential: Credential::Key(key.clone()),
            }),
            KeyState::Inactive => forbidden("API key is inactive"),
            KeyState::Expired => forbidden("API key has expired"),
        }
    }

    /// Refuses a token that is not for this agent. Keys are for all agents.
    pub(crate) fn may_chat_with(&self, agent: &str) -> Result<(), Refusal> {
        match &self.credential {
            Credential::Token(claims) if !claims.allows(agent) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                twentyfirst_protocol::ErrorCode::InvalidRequest,
                format!("Token is not authorized for agent \"{agent}\""),
            )),
            _ => Ok(()),
        }
    }

    /// Returns whether the caller may cap the cost of a sandbox, which takes an `an_sk_…` key.
    pub(crate) fn may_cap_sandboxes(&self) -> bool {
        matches!(&self.credential, Credential::Key(key) if key.text.starts_with("an_sk_"))
    }
}
