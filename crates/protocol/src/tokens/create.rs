use http::response::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TokenLifetime;
use crate::error::{InvalidRequest, InvalidResponse, Problem, ResponseError};
use crate::operation::decode_with;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, Secret, Timestamp, tolerant};

/// Creates a token for a browser, or for any other party that must not have the key.
///
/// The agents of a token restrict chat only: any token can create and read sandboxes.
///
/// ```
/// use twentyfirst_protocol::tokens::CreateToken;
///
/// let create = CreateToken::new().agent("my-agent").user_id("user_123");
/// # let _ = create;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CreateToken {
    /// The agents that the token may chat with, by their slugs: at least one. Default: all agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<String>>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The end user for vaults: a run's `externalUserId` must be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user_id: Option<String>,
    /// Any values. Everyone who has the token can read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// The intended number of messages. The relay does not enforce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_messages: Option<u64>,
    /// The lifetime of the token. Default: one hour.
    #[serde(default = "hour")]
    pub expires_in: TokenLifetime,
}

fn hour() -> TokenLifetime {
    TokenLifetime::HOUR
}

impl Default for CreateToken {
    fn default() -> Self {
        Self {
            agents: None,
            user_id: None,
            end_user_id: None,
            metadata: None,
            max_messages: None,
            expires_in: TokenLifetime::HOUR,
        }
    }
}

impl CreateToken {
    /// Creates the operation for a token that is valid for all agents and one hour.
    pub fn new() -> Self {
        Self::default()
    }
}

setters! {
    CreateToken, create_token_setters;

    /// Adds an agent that the token may chat with, by its slug.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agents.get_or_insert_default().push(agent.into());
        self
    }

    /// Adds agents that the token may chat with, by their slugs. An empty list is refused: it does not mean all of them.
    pub fn agents(mut self, agents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.agents
            .get_or_insert_default()
            .extend(agents.into_iter().map(Into::into));
        self
    }

    /// Sets the user.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Sets the end user for vaults: a run's `externalUserId` must be the same.
    pub fn end_user_id(mut self, end_user_id: impl Into<String>) -> Self {
        self.end_user_id = Some(end_user_id.into());
        self
    }

    /// Sets the metadata: any values. Everyone who has the token can read them.
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Sets the intended number of messages. The relay does not enforce it.
    pub fn max_messages(mut self, max_messages: u64) -> Self {
        self.max_messages = Some(max_messages);
        self
    }

    /// Sets the lifetime of the token.
    pub fn expires_in(mut self, lifetime: TokenLifetime) -> Self {
        self.expires_in = lifetime;
        self
    }
}

impl Endpoint for CreateToken {
    const ROUTE: Route = Route::post("/v1/tokens");

    fn validate(&self) -> Result<(), InvalidRequest> {
        let wrong = |field, problem| Err(InvalidRequest::new(field, problem));
        match &self.agents {
            Some(agents) if agents.is_empty() => return wrong("agents", Problem::Empty),
            Some(agents) if agents.iter().any(String::is_empty) => {
                return wrong("agents", Problem::MustContain("no empty names"));
            }
            _ => {}
        }
        if self.user_id.as_ref().is_some_and(String::is_empty) {
            return wrong("user_id", Problem::Empty);
        }
        if self.end_user_id.as_ref().is_some_and(String::is_empty) {
            return wrong("end_user_id", Problem::Empty);
        }
        Ok(())
    }
}

impl Operation for CreateToken {
    type Output = Token;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Token, ResponseError> {
        decode_with(self, head, body, |body| {
            // An invalid response may still contain the token.
            tolerant::from_slice(body)
                .map_err(|error| InvalidResponse::new(head, error, body).without_content())
        })
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Token {
    /// The token itself: `an_t_` and a JWT.
    pub token: Secret,
    /// The time when the token expires.
    pub expires_at: Timestamp,
}

impl Token {
    /// Creates a token.
    pub fn new(token: impl Into<Secret>, expires_at: impl Into<Timestamp>) -> Self {
        Self {
            token: token.into(),
            expires_at: expires_at.into(),
        }
    }
}
