use super::BodyError;
use super::json_body::{id_of, members, text};

/// The body that a page sends to get a token: `{"agent"?, "userId"?}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenBody {
    /// The slug of the agent that the page wants to chat with. Any client can ask for any agent.
    pub agent: Option<String>,
    /// The user, as claimed by the page. Any client can claim anything: take the user from your session instead.
    pub user_id: Option<String>,
}

impl TokenBody {
    /// Reads a body. An empty body counts as `{}`; any other invalid body is an error, because a token without an agent may be
    /// valid for all agents.
    ///
    /// # Errors
    /// The body is not a JSON object, or a member is not a well-formed string.
    pub fn read(body: impl Into<Vec<u8>>) -> Result<Self, BodyError> {
        let body = body.into();
        if body.is_empty() {
            return Ok(Self::default());
        }
        let text = text(body);
        let [agent, user_id] = members(&text, ["agent", "userId"])?;
        Ok(Self {
            agent: id_of("agent", agent)?,
            user_id: id_of("userId", user_id)?,
        })
    }
}
