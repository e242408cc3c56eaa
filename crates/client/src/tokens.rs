use twentyfirst_protocol::tokens::{CreateToken, Token};

use crate::client::AgentClient;
use crate::error::Error;

/// Tokens for browsers: from [`AgentClient::tokens`].
#[derive(Debug, Clone)]
pub struct Tokens {
    client: AgentClient,
}

impl Tokens {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Creates a token: for which agents, for whom and for how long, [`CreateToken`] says.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, CreateToken};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let token = client.tokens().create(&CreateToken::new().agent("my-agent").user_id("user_123")).await?;
    /// # let _ = token;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 403 where the client itself holds a token, and all of [`Error`].
    pub async fn create(&self, create: &CreateToken) -> Result<Token, Error> {
        self.client.execute(create).await
    }
}
