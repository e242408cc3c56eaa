use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Poll, ready};

use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body::Body as _;
use twentyfirst_protocol::flow::{ExecuteFlow, Flow, OpenFlow};
use twentyfirst_protocol::runs::{Messages, StartRun};
use twentyfirst_protocol::{
    BaseUrl, CallOptions, IntoId, Operation, Route, SandboxId, StreamingOperation, Timeouts,
    UploadOperation,
};
use twentyfirst_transport::Body;

use crate::builder::AgentClientBuilder;
use crate::call::Call;
use crate::driver::{Driver, Event};
use crate::error::Error;
use crate::relay::{ERROR_BODY, Relay};
use crate::run::Run;
use crate::sandboxes::{SandboxHandle, Sandboxes};
use crate::threads::Threads;
use crate::tokens::Tokens;
use crate::trace;
use crate::vaults::Vaults;

/// A client of the relay. Cloning it is cheap, and the clones share their connections.
///
/// # Cancel safety
/// Dropping the future of a call closes the exchange at once and sends nothing more. A request that was sent may still take
/// effect on the relay.
///
/// ```no_run
/// use twentyfirst_client::AgentClient;
///
/// # async fn example() -> Result<(), twentyfirst_client::Error> {
/// let client = AgentClient::from_env()?;
/// let sandbox = client.sandboxes().create("my-agent").await?;
/// let output = client.sandboxes().exec(&sandbox, "ls -la").await?;
/// println!("{}", output.stdout);
/// client.sandboxes().delete(&sandbox).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AgentClient {
    relay: Arc<Relay>,
    options: Arc<CallOptions>,
}

impl AgentClient {
    /// Creates a client with this key for the relay of 21st Agents.
    ///
    /// # Errors
    /// If the key is empty, or contains a space or a line break.
    #[cfg(feature = "http")]
    pub fn new(key: impl Into<String>) -> Result<Self, Error> {
        Self::builder().api_key(key).build()
    }

    /// Creates a client of a relay that provides its own URL and key, such as the local relay of a test.
    ///
    /// ```
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_local_relay::LocalRelay;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let relay = LocalRelay::start()?;
    /// let client = AgentClient::of(&relay)?;
    /// # let _ = client;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For further settings see [`AgentClientBuilder::relay`].
    ///
    /// # Errors
    /// If the key or the URL is invalid.
    #[cfg(feature = "http")]
    pub fn of(relay: &impl twentyfirst_protocol::RelayAccess) -> Result<Self, Error> {
        Self::builder().relay(relay).build()
    }

    /// Creates a client with the key in `API_KEY_21ST`, for the relay in `RELAY_BASE_URL` if that is set.
    ///
    /// # Errors
    /// If the key is missing or invalid, or the URL is invalid.
    #[cfg(feature = "http")]
    pub fn from_env() -> Result<Self, Error> {
        Self::builder().env().build()
    }

    /// Creates a builder with the defaults.
    pub fn builder() -> AgentClientBuilder {
        AgentClientBuilder::new()
    }

    pub(crate) fn from_relay(relay: Relay, options: CallOptions) -> Self {
        Self {
            relay: Arc::new(relay),
            options: Arc::new(options),
        }
    }

    /// Returns the same client with other options, for some calls or for one. These options replace all of the client's: to change
    /// only some, start from its own [`options`](Self::options).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use twentyfirst_client::{AgentClient, RetryPolicy};
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let quick = client.options().deadline(Duration::from_secs(2)).retry(RetryPolicy::never());
    /// let vaults = client.with_options(quick).vaults().list().await?;
    /// # let _ = vaults;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        Self {
            relay: Arc::clone(&self.relay),
            options: Arc::new(options),
        }
    }

    /// Runs an agent, and returns when its answer begins. This is short for [`Threads::run`], which has the details.
    ///
    /// ```no_run
    /// use twentyfirst_client::AgentClient;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// println!("{}", client.run("my-agent", "Find bugs in /src").await?.text().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as for [`Threads::run`].
    pub fn run(
        &self,
        agent: impl Into<String>,
        messages: impl Into<Messages>,
    ) -> Call<StartRun, Run> {
        self.threads().run(agent, messages)
    }

    /// Returns the calls on sandboxes, their files and their git repositories.
    pub fn sandboxes(&self) -> Sandboxes {
        Sandboxes::new(self.clone())
    }

    /// Returns the calls on one sandbox, so that its id need not be repeated.
    pub fn sandbox(&self, sandbox_id: impl IntoId<SandboxId>) -> SandboxHandle {
        SandboxHandle::new(self, sandbox_id)
    }

    /// Returns the calls on threads, and on the runs of agents in them.
    pub fn threads(&self) -> Threads {
        Threads::new(self.clone())
    }

    /// Returns the calls that create tokens for browsers.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.clone())
    }

    /// Returns the calls on vaults and the credentials in them.
    pub fn vaults(&self) -> Vaults {
        Vaults::new(self.clone())
    }

    /// Returns the base URL of the relay.
    pub fn base_url(&self) -> &BaseUrl {
        &self.relay.base_url
    }

    /// Calls any operation: one of [`protocol`](crate::protocol), or one of your own.
    ///
    /// ```no_run
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_client::protocol::sandboxes::CreateSandbox;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let create = CreateSandbox::new("my-agent").env("CI", "true").setup(["npm install"]);
    /// let sandbox = client.call(create).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Every kind of [`Error`]. A response that is held in memory is limited to 32 MiB, unless the builder sets another limit.
    pub fn call<O>(&self, operation: O) -> Call<O, O::Output>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send,
    {
        Call::of(self, Ok(operation))
    }

    /// Calls any operation by reference. Unlike [`call`](Self::call), it lets you use the operation again.
    ///
    /// # Errors
    /// The same as for [`call`](Self::call).
    pub async fn execute<O: Operation>(&self, operation: &O) -> Result<O::Output, Error> {
        let flow = ExecuteFlow::new(operation, &self.options, seed())?;
        let (output, _) = self.drive(&O::ROUTE, flow).await?;
        Ok(output)
    }

    /// Calls an operation and leaves the body of the response open, for example to read a large file. For the answers of agents,
    /// see [`Threads::run`](crate::Threads::run).
    ///
    /// # Errors
    /// Every kind of [`Error`]. Later failures, while the body is read, are errors of the body.
    pub async fn open<O: StreamingOperation>(
        &self,
        operation: &O,
    ) -> Result<(O::Output, Body), Error> {
        let flow = OpenFlow::new(operation, &self.options, seed())?;
        let (output, stream) = self.drive(&O::ROUTE, flow).await?;
        Ok((output, stream.into_body()))
    }

    /// Calls an operation whose request body is not held in memory, for example to write a large file. The request is sent only
    /// once, because a streaming body cannot be repeated.
    ///
    /// # Errors
    /// Every kind of [`Error`]. Also if `body` is longer or shorter than it should be: than the operation's length, or, if the
    /// operation has none, than the exact size that `body` itself states.
    pub async fn upload<O: UploadOperation>(
        &self,
        operation: &O,
        body: impl Into<Body>,
    ) -> Result<O::Output, Error> {
        let mut request = operation.to_request()?.map(|_| body.into());
        let own = request.body().size_hint().exact();
        if let Some(length) = operation.length().or(own) {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
            // HTTP alone would cut a body that is too long, and the upload would look like a success.
            request = request.map(|body| body.with_exact_length(length));
        }
        let timeouts = self.options.timeouts(operation.timeouts());
        let response = trace::operation(&O::ROUTE, self.relay.exchange(request, timeouts)).await?;
        let (head, body) = response.into_parts();
        let body = if head.status.is_success() {
            body.collect_up_to(self.relay.response_limit).await?
        } else {
            body.read_beginning(ERROR_BODY).await.bytes
        };
        operation
            .decode(&head, &body)
            .map_err(|error| Error::from(error).redacted(&self.relay))
    }

    /// Sends any request to the relay, only once and with the timeouts of a stream. Path and query are appended to the base URL,
    /// and the key is added. Returns the response, whatever its status.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        self.relay
            .exchange(request, self.options.timeouts(Timeouts::stream()))
            .await
    }

    /// Drives a flow to its end and ignores its items. Returns its output, and the stream that is open then.
    pub(crate) async fn drive<F, T, E>(
        &self,
        route: &Route,
        flow: F,
    ) -> Result<(T, Response<Body>), Error>
    where
        F: Flow<Output = Result<T, E>>,
        Error: From<E>,
    {
        self.finish(route, Driver::new(&self.relay, flow)).await
    }

    /// Drives a flow that has already begun to its end.
    pub(crate) async fn finish<F, T, E>(
        &self,
        route: &Route,
        mut driver: Driver<F>,
    ) -> Result<(T, Response<Body>), Error>
    where
        F: Flow<Output = Result<T, E>>,
        Error: From<E>,
    {
        let done = poll_fn(|cx| {
            loop {
                if let Event::Done(result) = ready!(driver.poll_event(cx)) {
                    return Poll::Ready(result);
                }
            }
        });
        match trace::operation(route, done).await {
            Ok(output) => Ok((output, driver.into_stream())),
            Err(error) => Err(Error::from(error).redacted(&self.relay)),
        }
    }

    /// Returns the options of this client's calls: timeouts, retries, and how runs are followed. Change a copy of them for
    /// [`with_options`](Self::with_options).
    pub fn options(&self) -> &CallOptions {
        &self.options
    }

    pub(crate) fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }
}

/// Returns a number that differs between calls and between processes. It spreads delays and names messages. It is not random
/// enough for secrets.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(())
}

impl fmt::Debug for AgentClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentClient")
            .field("base_url", &self.relay.base_url)
            .finish_non_exhaustive()
    }
}
