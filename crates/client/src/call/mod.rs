//! Calls: the values that the short methods of the client return, to be completed with setters and awaited.
//!
//! ```text
//!   client.sandboxes().exec(&id, "ls")      Call<Exec, ExecOutput>: nothing is sent yet
//!                     .cwd("/srv")          the operation's own setters
//!                     .with_options(…)      timeouts and retries of this call
//!                     .await                checks the operation, sends it, and reads the response
//! ```

mod setters;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use twentyfirst_protocol::{CallOptions, InvalidRequest, Operation, Problem};

use crate::client::AgentClient;
use crate::error::Error;

/// A call that is ready to be made. Nothing is sent until it is awaited.
///
/// `O` is the [operation](crate::protocol::Operation) or the [run to start](crate::StartRun), with its setters available on the
/// call. `T` is the result. A call is a future that owns everything it needs, so it can be spawned, or collected with others.
///
/// ```no_run
/// use std::time::Duration;
/// use twentyfirst_client::AgentClient;
///
/// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
/// let sandbox = client.sandboxes().create("my-agent").env("CI", "1").setup(["npm install"]).await?;
/// let output = client.sandboxes().exec(&sandbox, "npm test").cwd("/home/user/repo").timeout(Duration::from_secs(300)).await?;
/// println!("{}", output.stdout);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Every kind of [`Error`]; each method lists its particular ones. Values that the relay would refuse anyway, such as a text that
/// cannot be an id, fail before anything is sent.
///
/// # Cancel safety
/// Dropping the future closes the exchange at once and sends nothing more. A request that was sent may still take effect on the
/// relay.
#[must_use = "nothing is sent until a call is awaited"]
pub struct Call<O, T> {
    client: AgentClient,
    state: State<O, T>,
}

enum State<O, T> {
    Ready(Result<O, InvalidRequest>, StartCall<O, T>),
    Running(RunningCall<T>),
    Done,
}

type StartCall<O, T> = Box<dyn FnOnce(AgentClient, O) -> RunningCall<T> + Send>;
type RunningCall<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Nothing in a call is structurally pinned: the future under way has its own box.
impl<O, T> Unpin for Call<O, T> {}

impl<O, T> Call<O, T> {
    /// Creates a call that `start` carries out.
    pub(crate) fn new<F>(
        client: AgentClient,
        operation: Result<O, InvalidRequest>,
        start: impl FnOnce(AgentClient, O) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let start =
            Box::new(|client, operation| Box::pin(start(client, operation)) as RunningCall<T>);
        Self {
            client,
            state: State::Ready(operation, start),
        }
    }

    /// Makes this call with other options than the client's. These options replace all of the client's: to change only some, start
    /// from [`AgentClient::options`]. Like all setters, this one has no effect once the call has been polled.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use twentyfirst_client::AgentClient;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let quick = client.options().deadline(Duration::from_secs(2));
    /// let vaults = client.vaults().list().with_options(quick).await?;
    /// # let _ = vaults;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.client = self.client.with_options(options);
        self
    }

    /// Returns the call itself: awaiting it is what sends it. For those who expect a builder to end with `send`.
    pub fn send(self) -> Self {
        self
    }

    /// Returns the operation. Returns `None` if it is invalid, for example because an id is empty, and once the call has been
    /// polled.
    pub fn operation(&self) -> Option<&O> {
        match &self.state {
            State::Ready(operation, _) => operation.as_ref().ok(),
            State::Running(_) | State::Done => None,
        }
    }

    /// Changes the operation.
    pub(crate) fn map(self, change: impl FnOnce(O) -> O) -> Self {
        self.and_then(|operation| Ok(change(operation)))
    }

    /// Changes the operation, with a change that may fail.
    pub(crate) fn and_then(mut self, change: impl FnOnce(O) -> Result<O, InvalidRequest>) -> Self {
        self.state = match self.state {
            State::Ready(operation, start) => State::Ready(operation.and_then(change), start),
            polled => polled,
        };
        self
    }

    /// Returns the same call, carried out by `start`.
    pub(crate) fn run_with<U, F>(
        self,
        start: impl FnOnce(AgentClient, O) -> F + Send + 'static,
    ) -> Call<O, U>
    where
        F: Future<Output = Result<U, Error>> + Send + 'static,
    {
        let operation = match self.state {
            State::Ready(operation, _) => operation,
            // The operation has been moved into the future under way, so there is nothing left to start anew.
            State::Running(_) | State::Done => {
                let begun = Problem::MustBe("changed before it is polled");
                Err(InvalidRequest::new("call", begun))
            }
        };
        Call::new(self.client, operation, start)
    }
}

impl<O> Call<O, O::Output>
where
    O: Operation + Send + Sync + 'static,
    O::Output: Send,
{
    /// Creates a call of an operation whose response is held in memory.
    pub(crate) fn of(client: &AgentClient, operation: Result<O, InvalidRequest>) -> Self {
        Self::new(client.clone(), operation, |client, operation| async move {
            client.execute(&operation).await
        })
    }
}

impl<O, T> Future for Call<O, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            // Taken out: `start` is consumed, and a future that has returned or panicked must not be polled again.
            match std::mem::replace(&mut self.state, State::Done) {
                State::Ready(Ok(operation), start) => {
                    self.state = State::Running(start(self.client.clone(), operation));
                }
                State::Ready(Err(invalid), _) => return Poll::Ready(Err(invalid.into())),
                State::Running(mut running) => {
                    let polled = running.as_mut().poll(cx);
                    if polled.is_pending() {
                        self.state = State::Running(running);
                    }
                    return polled;
                }
                // Polled after its end, which no caller should do. A library must not panic for it.
                State::Done => return Poll::Pending,
            }
        }
    }
}

impl<O: fmt::Debug, T> fmt::Debug for Call<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Ready(operation, _) => f.debug_tuple("Call").field(operation).finish(),
            State::Running(_) | State::Done => f.debug_struct("Call").finish_non_exhaustive(),
        }
    }
}
