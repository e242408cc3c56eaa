use http::Request;
use twentyfirst_protocol::ApiKey;

use super::TokenCache;

/// Who a client is.
pub(crate) enum Credential {
    Key(ApiKey),
    /// [`WithTokens`](super::WithTokens) puts them into requests.
    Tokens(TokenCache),
}

impl Credential {
    /// Puts the key into a request. A token comes later, as it may have to be fetched.
    pub(crate) fn authorize<B>(&self, request: &mut Request<B>) {
        if let Self::Key(key) = self {
            key.authorize(request);
        }
    }

    /// What the relay may repeat, and nobody may see.
    pub(crate) fn secrets(&self) -> Vec<ApiKey> {
        match self {
            Self::Key(key) => vec![key.clone()],
            Self::Tokens(tokens) => tokens.secrets(),
        }
    }
}
