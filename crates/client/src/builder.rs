use std::env;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use twentyfirst_protocol::tokens::Token;
use twentyfirst_protocol::{ApiKey, BaseUrl, CallOptions, InvalidRequest, Problem, RelayAccess};
use twentyfirst_transport::{Body, Runtime, SharedTransport, Transport, WithTimeouts};

use crate::client::AgentClient;
use crate::credentials::{Credential, Fetch, TokenCache, TokenError, TokenUrl, WithTokens};
use crate::error::Error;
use crate::relay::Relay;

/// A builder for an [`AgentClient`].
///
/// ```
/// use twentyfirst_client::AgentClient;
///
/// let client = AgentClient::builder()
///     .api_key("21st_sk_example")
///     .base_url("http://127.0.0.1:8080")
///     .build()?;
/// # let _ = client;
/// # Ok::<(), twentyfirst_client::Error>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct AgentClientBuilder {
    identity: Identity,
    base_url: Option<String>,
    plain_http: bool,
    transport: Option<SharedTransport>,
    runtime: Option<Arc<dyn Runtime>>,
    user_agent: Option<String>,
    response_limit: usize,
    options: CallOptions,
    #[cfg(feature = "tracing")]
    trace_contents: bool,
}

/// The source of the client's credential.
enum Identity {
    Key(Result<ApiKey, InvalidRequest>),
    Url(TokenUrl),
    Source(Fetch),
}

impl AgentClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            identity: Identity::Key(Err(InvalidRequest::new("api_key", NO_KEY))),
            base_url: None,
            plain_http: false,
            transport: None,
            runtime: None,
            user_agent: None,
            response_limit: Body::DEFAULT_LIMIT,
            options: CallOptions::new(),
            #[cfg(feature = "tracing")]
            trace_contents: false,
        }
    }

    /// Sets the key, `21st_sk_…` or `an_sk_…`, or a token that is never renewed. There is no default.
    ///
    /// It replaces a key or tokens set earlier by [`env`](Self::env), [`token_url`](Self::token_url) or
    /// [`token_source`](Self::token_source), and is replaced by them in turn.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.identity = Identity::Key(ApiKey::new(key));
        self
    }

    /// Sets the URL and the key of a relay that provides both, such as a local one.
    pub fn relay(self, relay: &impl RelayAccess) -> Self {
        self.api_key(relay.api_key()).base_url(relay.base_url())
    }

    /// Uses tokens from a URL in place of a key, as a browser does, for programs that must not have a key. The URL is called over
    /// the client's transport; see [`TokenUrl`] for headers.
    ///
    /// ```
    /// use twentyfirst_client::AgentClient;
    ///
    /// let client = AgentClient::builder().token_url("https://app.example/api/agent/token").build()?;
    /// # let _ = client;
    /// # Ok::<(), twentyfirst_client::Error>(())
    /// ```
    ///
    /// A token is fetched when the first call needs it. It is renewed 60 s before it expires or, if it is valid for less than two
    /// minutes, at half of its life. If several calls need it, one request fetches it and all wait for it, at most 30 s. Dropping
    /// one of them does not affect the others. If renewing fails while the old token is still valid, the old one is used.
    ///
    /// A call that the relay rejects with 401 had no effect. So a new token is fetched and the call is repeated once, unless it
    /// is an upload, whose body cannot be repeated.
    ///
    /// If no token can be fetched, nothing is sent to the relay. The call is retried as its [`RetryPolicy`](crate::RetryPolicy)
    /// says, but fails at once if the URL refuses for good. The error has a [`token_error`](Error::token_error).
    pub fn token_url(mut self, url: impl Into<TokenUrl>) -> Self {
        self.identity = Identity::Url(url.into());
        self
    }

    /// Uses tokens from an async closure in place of a key. They are fetched and renewed like those of a
    /// [`token_url`](Self::token_url).
    ///
    /// ```
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_client::protocol::tokens::CreateToken;
    ///
    /// // A client for one user, made from the one that holds the key.
    /// fn for_user(server: &AgentClient, user_id: &str) -> Result<AgentClient, twentyfirst_client::Error> {
    ///     let (server, create) = (server.clone(), CreateToken::new().agent("my-agent").user_id(user_id));
    ///     AgentClient::builder()
    ///         .token_source(move || {
    ///             let (server, create) = (server.clone(), create.clone());
    ///             async move { server.execute(&create).await }
    ///         })
    ///         .build()
    /// }
    /// ```
    ///
    /// The closure's future is dropped as soon as every call that waits for it is dropped.
    pub fn token_source<F, Fut, E>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Token, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.identity = Identity::Source(Box::new(move || {
            let token = source();
            Box::pin(async move { token.await.map_err(TokenError::source_failed) })
        }));
        self
    }

    /// Sets the URL of the relay; the default is `https://relay.an.dev`. A trailing slash is dropped. `http` is allowed for this
    /// machine only, unless [`dangerous_plain_http`](Self::dangerous_plain_http) is set.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Allows a base URL with `http://` for hosts other than this machine. The key and all data are then sent unencrypted.
    pub fn dangerous_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Uses the key in `API_KEY_21ST`, and the relay's URL in `RELAY_BASE_URL` if that is set and not empty.
    pub fn env(mut self) -> Self {
        let key = match env::var_os(KEY_VARIABLE) {
            Some(key) => {
                ApiKey::new(key.to_string_lossy()).map_err(|error| error.problem().clone())
            }
            None => Err(Problem::NotSet(
                "the key is taken from this variable of the environment",
            )),
        };
        self.identity =
            Identity::Key(key.map_err(|problem| InvalidRequest::new(KEY_VARIABLE, problem)));
        if let Some(url) = env::var_os("RELAY_BASE_URL").filter(|url| !url.is_empty()) {
            self.base_url = Some(url.to_string_lossy().into_owned());
        }
        self
    }

    /// Sets the transport that sends requests. The default is an [`HttpTransport`](crate::transport::HttpTransport) with the
    /// feature `http`; without that feature there is none, and you have to set one.
    ///
    /// With the feature `reqwest` you can use a `reqwest::Client`. The agents then share its proxies, certificates and
    /// connections:
    ///
    #[cfg_attr(feature = "reqwest", doc = "```")]
    #[cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_client::transport::ReqwestTransport;
    /// use twentyfirst_client::transport::reqwest::{self, redirect};
    ///
    /// let http = reqwest::Client::builder().redirect(redirect::Policy::none()).build()?;
    /// let client = AgentClient::builder()
    ///     .api_key("21st_sk_example")
    ///     .transport(ReqwestTransport::new(http))
    ///     .build()?;
    /// # let _ = client;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(SharedTransport::new(transport));
        self
    }

    /// Sets the runtime that provides timers and tasks, also for the default transport. The default is
    /// [`TokioRuntime`](crate::transport::TokioRuntime) with the feature `tokio`, which `http` enables; without that feature
    /// there is none, and you have to set one. For a runtime other than tokio, also set an
    /// [`HttpTransport`](crate::transport::HttpTransport) with a connector for that runtime.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Sets a transport and a runtime that need no async runtime, over `ureq` and threads: see the module
    /// [`blocking`](crate::blocking). Feature `blocking`.
    ///
    /// ```
    /// use twentyfirst_client::AgentClient;
    ///
    /// let client = AgentClient::builder().api_key("21st_sk_example").blocking().build()?;
    /// # let _ = client;
    /// # Ok::<(), twentyfirst_client::Error>(())
    /// ```
    ///
    /// For other settings of the transport, such as a proxy or certificates of your own, call this first, and then
    /// [`transport`](Self::transport) with a [`UreqTransport`](crate::transport::UreqTransport).
    #[cfg(feature = "blocking")]
    pub fn blocking(self) -> Self {
        self.transport(twentyfirst_transport::UreqTransport::new())
            .runtime(twentyfirst_transport::ThreadRuntime)
    }

    /// Sets a name that is put before the client's own in the header `user-agent`, such as `my-service/1.2`.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = Some(name.into());
        self
    }

    /// Sets the longest response that is held in memory, in bytes; the default is 32 MiB. Streams are not limited.
    ///
    /// The stored messages of a thread are read as one such response. So a run can be followed across a cut, or replayed beyond
    /// its log, only if its thread is within the limit.
    pub fn response_limit(mut self, limit: usize) -> Self {
        self.response_limit = limit;
        self
    }

    /// Sets the timeouts and retries of all calls, and how runs are followed. [`AgentClient::with_options`] changes them for some
    /// calls.
    pub fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds the contents of runs to their spans: the texts of users, agents and tools. See the module
    /// [`telemetry`](crate::telemetry#contents). Feature `tracing`. By default spans have no contents, because everybody with
    /// access to the spans could read them.
    ///
    /// The client's key or token is masked; other secrets in a conversation are not. An answer is added up to 1 MiB. The input or
    /// output of a tool is left out if it is longer than that, and so is the user's turn.
    #[cfg(feature = "tracing")]
    pub fn trace_contents(mut self) -> Self {
        self.trace_contents = true;
        self
    }

    /// Creates the client. It opens no connection yet. All it reads is the environment's proxies, for the default transport.
    ///
    /// # Errors
    /// If the key is missing or invalid; if the base URL or the token URL is not an absolute `http` or `https` URL, or is `http`
    /// for a host other than this machine; if the user agent cannot be a header value; or if the environment names an invalid
    /// [proxy](twentyfirst_transport::Proxy::from_env) and no [transport](Self::transport) is set.
    pub fn build(self) -> Result<AgentClient, Error> {
        let user_agent = match &self.user_agent {
            Some(name) => format!("{name} {USER_AGENT}"),
            None => USER_AGENT.to_owned(),
        };
        let user_agent = HeaderValue::from_str(&user_agent).map_err(|_| {
            InvalidRequest::new("user_agent", Problem::MustBe("visible characters only"))
        })?;
        let base_url = self
            .base_url
            .as_deref()
            .map(BaseUrl::new)
            .transpose()?
            .unwrap_or_default();
        if !(base_url.is_https() || base_url.is_loopback() || self.plain_http) {
            let rule = Problem::MustBe(
                "https, since the key would travel in clear, unless `dangerous_plain_http` is set",
            );
            return Err(InvalidRequest::new("base_url", rule).into());
        }
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => default_runtime()?,
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport(&runtime)?,
        };
        let transport = observed(WithTimeouts::new(transport, Arc::clone(&runtime)));
        let (credential, transport) = match self.identity {
            Identity::Key(key) => (Credential::Key(key?), transport),
            Identity::Url(url) => {
                let fetch = url.fetch(self.plain_http, transport.clone(), user_agent.clone())?;
                with_tokens(fetch, transport, &runtime)
            }
            Identity::Source(fetch) => with_tokens(fetch, transport, &runtime),
        };
        let relay = Relay {
            credential,
            base_url,
            transport,
            runtime,
            user_agent,
            response_limit: self.response_limit,
            #[cfg(feature = "tracing")]
            trace_contents: self.trace_contents,
            thread_lists: crate::thread_lists::ThreadLists::default(),
        };
        Ok(AgentClient::from_relay(relay, self.options))
    }
}

#[cfg(feature = "tokio")]
fn default_runtime() -> Result<Arc<dyn Runtime>, Error> {
    Ok(Arc::new(twentyfirst_transport::TokioRuntime))
}

#[cfg(not(feature = "tokio"))]
fn default_runtime() -> Result<Arc<dyn Runtime>, Error> {
    let problem = Problem::NotSet(match cfg!(feature = "blocking") {
        true => "call `blocking` or `runtime` of the builder, or turn on the feature `tokio`",
        false => "call `runtime` of the builder, or turn on the feature `tokio`",
    });
    Err(InvalidRequest::new("runtime", problem).into())
}

#[cfg(feature = "http")]
fn default_transport(runtime: &Arc<dyn Runtime>) -> Result<SharedTransport, Error> {
    let transport = twentyfirst_transport::HttpTransport::builder();
    let transport = transport.runtime(Arc::clone(runtime)).build()?;
    Ok(SharedTransport::new(transport))
}

#[cfg(not(feature = "http"))]
fn default_transport(_: &Arc<dyn Runtime>) -> Result<SharedTransport, Error> {
    let problem = Problem::NotSet(match cfg!(feature = "blocking") {
        true => "call `blocking` or `transport` of the builder, or turn on the feature `http`",
        false => "call `transport` of the builder, or turn on the feature `http`",
    });
    Err(InvalidRequest::new("transport", problem).into())
}

/// Wraps the transport with tokens. They go around the timeouts, because a request that is repeated with a new token is a second
/// exchange, with timeouts of its own.
fn with_tokens(
    fetch: Fetch,
    transport: SharedTransport,
    runtime: &Arc<dyn Runtime>,
) -> (Credential, SharedTransport) {
    let tokens = TokenCache::new(fetch, Arc::clone(runtime));
    let transport = SharedTransport::new(WithTokens::new(transport, tokens.clone()));
    (Credential::Tokens(tokens), transport)
}

/// Wraps the transport with spans. They go around the timeouts, so that a span shows that a timeout ended it.
fn observed(transport: impl Transport + Clone) -> SharedTransport {
    #[cfg(feature = "tracing")]
    let transport = twentyfirst_transport::WithTracing::new(transport);
    SharedTransport::new(transport)
}

const KEY_VARIABLE: &str = "API_KEY_21ST";

const NO_KEY: Problem =
    Problem::NotSet("call `api_key`, `env`, `token_url` or `token_source` of the builder");

const USER_AGENT: &str = concat!("twentyfirst-client/", env!("CARGO_PKG_VERSION"));

impl fmt::Debug for AgentClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An invalid URL may hold a password or a key.
        let base_url = self.base_url.as_deref();
        f.debug_struct("AgentClientBuilder")
            .field("base_url", &base_url.and_then(|url| BaseUrl::new(url).ok()))
            .field("user_agent", &self.user_agent)
            .field("response_limit", &self.response_limit)
            .finish_non_exhaustive()
    }
}
