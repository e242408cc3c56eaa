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

    /// Creates a token: for which agents, for whom and for how long, [`CreateToken`] says; for one hour unless it does.
    ///
    /// This is the exchange of a key for a token, `exchangeToken` of `@21st-sdk/nextjs/server`. The route that browsers call
    /// for it is a [`TokenHandler`](crate::backend::TokenHandler).
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, CreateToken};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let create = CreateToken::new().agent("my-agent").user_id("user_123").expires_in("15m".parse()?);
    /// let token = client.tokens().create(&create).await?;
    /// println!("until {}: {}", token.expires_at, token.token.expose());
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
