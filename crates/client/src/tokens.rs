use twentyfirst_protocol::tokens::{CreateToken, Token};

use crate::call::Call;
use crate::client::AgentClient;

/// The calls on tokens for browsers. [`AgentClient::tokens`] returns it.
#[derive(Debug, Clone)]
pub struct Tokens {
    client: AgentClient,
}

impl Tokens {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Creates a token. By default it is valid for all agents and for one hour.
    ///
    /// The call exchanges a key for a token, like `exchangeToken` of `@21st-sdk/nextjs/server`. For the route from which browsers
    /// get their tokens, see [`TokenHandler`](crate::backend::TokenHandler).
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
    /// 403 if the client itself uses a token.
    pub fn create(&self) -> Call<CreateToken, Token> {
        self.client.call(CreateToken::new())
    }
}
