use http::Request;
use twentyfirst_protocol::ApiKey;

use super::TokenCache;

/// The identity of a client.
pub(crate) enum Credential {
    Key(ApiKey),
    /// Tokens, which [`WithTokens`](super::WithTokens) adds to requests.
    Tokens(TokenCache),
}

impl Credential {
    /// Adds the key to a request. A token is added later, because it may have to be fetched first.
    pub(crate) fn authorize<B>(&self, request: &mut Request<B>) {
        if let Self::Key(key) = self {
            key.authorize(request);
        }
    }

    /// Returns the secrets that the relay may repeat, and that must not be shown.
    pub(crate) fn secrets(&self) -> Vec<ApiKey> {
        match self {
            Self::Key(key) => vec![key.clone()],
            Self::Tokens(tokens) => tokens.secrets(),
        }
    }
}
