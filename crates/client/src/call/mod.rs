//! Calls: what the short methods of the client return, to be completed and awaited.
//!
//! ```text
//!   client.sandboxes().exec(&id, "ls")      Call<Exec, ExecOutput>: nothing is sent yet
//!                     .cwd("/srv")          the operation's own setters
//!                     .with_options(…)      timeouts and retries of this call
//!                     .await                the operation is checked, sent, and its response read
//! ```

mod setters;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use twentyfirst_protocol::{CallOptions, InvalidRequest, Operation, Problem};

use crate::client::AgentClient;
use crate::error::Error;

/// A call that is ready to be made. Await it: until then nothing is sent.
///
/// `O` is what is called, an [operation](crate::protocol::Operation) or a [run to start](crate::StartRun), with whose setters the
/// call is completed; `T` is what it comes to. It is a future that holds all that it needs: it can be spawned, and collected with
/// others.
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
/// All of [`Error`]: each method says what is particular to it. What the relay would refuse anyway, as text that cannot be an id,
/// fails before anything is sent.
///
/// # Cancellation
/// Dropping the future gives the exchange up at once and sends nothing more. What was sent may still have its effect on the
/// relay.
#[must_use = "nothing is sent until a call is awaited"]
pub struct Call<O, T> {
    client: AgentClient,
    state: State<O, T>,
}

enum State<O, T> {
    Ready(Result<O, InvalidRequest>, Make<O, T>),
    Made(Made<T>),
    Done,
}

type Make<O, T> = Box<dyn FnOnce(AgentClient, O) -> Made<T> + Send>;
type Made<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Nothing in it is pinned: what is under way has a box of its own.
impl<O, T> Unpin for Call<O, T> {}

impl<O, T> Call<O, T> {
    /// A call that is made in this way.
    pub(crate) fn new<F>(
        client: AgentClient,
        operation: Result<O, InvalidRequest>,
        make: impl FnOnce(AgentClient, O) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let make = Box::new(|client, operation| Box::pin(make(client, operation)) as Made<T>);
        Self {
            client,
            state: State::Ready(operation, make),
        }
    }

    /// Makes this call with other options than the client's: they take the place of all that it has. To change some of them, begin
    /// with the client's own ([`AgentClient::options`]). As all setters, it changes nothing once the call has been polled.
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

    /// Returns the call, which is sent when it is awaited: for hands that are used to it, as awaiting the call does the same.
    pub fn send(self) -> Self {
        self
    }

    /// Returns what is called; `None` where that cannot be made, as with text that cannot be an id, and once the call has been polled.
    pub fn operation(&self) -> Option<&O> {
        match &self.state {
            State::Ready(operation, _) => operation.as_ref().ok(),
            State::Made(_) | State::Done => None,
        }
    }

    /// Changes what is called.
    pub(crate) fn map(self, change: impl FnOnce(O) -> O) -> Self {
        self.and_then(|operation| Ok(change(operation)))
    }

    /// Changes what is called, to what may not be possible.
    pub(crate) fn and_then(mut self, change: impl FnOnce(O) -> Result<O, InvalidRequest>) -> Self {
        self.state = match self.state {
            State::Ready(operation, make) => State::Ready(operation.and_then(change), make),
            polled => polled,
        };
        self
    }

    /// The same call, made in another way.
    pub(crate) fn made<U, F>(
        self,
        make: impl FnOnce(AgentClient, O) -> F + Send + 'static,
    ) -> Call<O, U>
    where
        F: Future<Output = Result<U, Error>> + Send + 'static,
    {
        let begun = Problem::MustBe("completed before it is polled");
        let operation = match self.state {
            State::Ready(operation, _) => operation,
            State::Made(_) | State::Done => Err(InvalidRequest::new("call", begun)),
        };
        Call::new(self.client, operation, make)
    }
}

impl<O> Call<O, O::Output>
where
    O: Operation + Send + Sync + 'static,
    O::Output: Send,
{
    /// A call of an operation whose response is held in memory.
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
            match std::mem::replace(&mut self.state, State::Done) {
                State::Ready(Ok(operation), make) => {
                    self.state = State::Made(make(self.client.clone(), operation));
                }
                State::Ready(Err(invalid), _) => return Poll::Ready(Err(invalid.into())),
                State::Made(mut made) => {
                    let polled = made.as_mut().poll(cx);
                    if polled.is_pending() {
                        self.state = State::Made(made);
                    }
                    return polled;
                }
                State::Done => return Poll::Pending,
            }
        }
    }
}

impl<O: fmt::Debug, T> fmt::Debug for Call<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Ready(operation, _) => f.debug_tuple("Call").field(operation).finish(),
            State::Made(_) | State::Done => f.debug_struct("Call").finish_non_exhaustive(),
        }
    }
}
