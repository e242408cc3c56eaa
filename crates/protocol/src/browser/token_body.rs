use super::BodyError;
use super::json_body::{id_of, members, text};

/// What a page that asks for a token says: `{"agent"?, "userId"?}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenBody {
    /// The slug of the agent that it wants to chat with. Anybody can ask for any.
    pub agent: Option<String>,
    /// Who it says to be. Anybody can say anything: take the user from your session instead.
    pub user_id: Option<String>,
}

impl TokenBody {
    /// Reads a body. An empty one counts as `{}`, and nothing else that cannot be read: without an agent, a token may be good for all.
    ///
    /// # Errors
    /// If it is not a JSON object, or a member is there and no text.
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
