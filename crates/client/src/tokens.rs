use twentyfirst_protocol::tokens::{CreateToken, Token};

use crate::call::Call;
use crate::client::AgentClient;

/// Tokens for browsers: from [`AgentClient::tokens`].
#[derive(Debug, Clone)]
pub struct Tokens {
    client: AgentClient,
}

impl Tokens {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Creates a token, for all agents and for one hour unless its setters say otherwise.
    ///
    /// This is the exchange of a key for a token, `exchangeToken` of `@21st-sdk/nextjs/server`. The route that browsers call
    /// for it is a [`TokenHandler`](crate::backend::TokenHandler).
    ///
    /// ```no_run
    /// use twentyfirst_client::AgentClient;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let token = client.tokens().create().agent("my-agent").user_id("user_123").expires_in("15m".parse()?).await?;
    /// println!("until {}: {}", token.expires_at, token.token.expose());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// 403 where the client itself holds a token.
    pub fn create(&self) -> Call<CreateToken, Token> {
        self.client.call(CreateToken::new())
    }
}
