//! Shares lists of a sandbox's threads among the runs that are followed there.
//!
//! A run that waits for its end lists the threads of its sandbox again and again. Without sharing, the number of requests would
//! grow with the number of runs, although each response has the state of all of them.
//!
//! ```text
//!   run 1 asks ─┐                 ┌─ waits until the previous request is over ─┐
//!   run 2 asks ─┼─► `next` ───────┤  and began at least 1 s ago                ├─► `under_way`: one request for runs 1 to 3
//!   run 3 asks ─┘                 └────────────────────────────────────────────┘
//!                                                                    run 4 asks ─► a new `next`
//! ```
//!
//! **A run never gets the response to a request that began before the run asked.** It wants to know whether it is still under way
//! now. An earlier request may have been processed before the events that the run has just read from its stream.
//!
//! A run that is alone in its sandbox sends its own request at once.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use http::Response;
use http::response::Parts;
use twentyfirst_protocol::flow::SendRequest;
use twentyfirst_protocol::threads::ListThreads;
use twentyfirst_protocol::{Endpoint as _, InvalidRequest, Route, SandboxId};
use twentyfirst_transport::{Body, Error, ResponseFuture};

use crate::relay::{ERROR_BODY, Relay};

/// The shortest time between the beginnings of two shared requests of a sandbox.
const PAUSE: Duration = Duration::from_secs(1);

/// The shared lists of threads, by sandbox. Only sandboxes in which a run is followed have an entry.
#[derive(Clone, Default)]
pub(crate) struct ThreadLists(Arc<Mutex<HashMap<SandboxId, Sandbox>>>);

#[derive(Default)]
struct Sandbox {
    /// The number of runs that are followed there.
    runs: usize,
    /// The time at which the last shared request began.
    begun: Option<Instant>,
    /// The last request that has begun. It may be over.
    under_way: Option<SharedList>,
    /// The request that is planned and has not begun yet. Only this one can be joined.
    next: Option<SharedList>,
}

/// The response to a shared request, for all runs that wait for it. The receiver fails if the task that sends the request is gone,
/// for example because its runtime was shut down.
type SharedList = Shared<oneshot::Receiver<Result<(Parts, Bytes), ListFailed>>>;

/// A run that is followed in a sandbox. Dropping it removes the run from the count.
pub(crate) struct Follower {
    lists: ThreadLists,
    sandbox: SandboxId,
}

impl ThreadLists {
    /// Adds a run that is followed in this sandbox.
    pub(crate) fn follow(&self, sandbox: &SandboxId) -> Follower {
        self.lock().entry(sandbox.clone()).or_default().runs += 1;
        Follower {
            lists: self.clone(),
            sandbox: sandbox.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, Sandbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Begins to send a request of a run. A list of threads is shared with the other runs of the sandbox; any other request is
    /// sent at once.
    pub(crate) fn begin(
        &self,
        relay: &Arc<Relay>,
        send: SendRequest,
    ) -> Result<ResponseFuture, InvalidRequest> {
        if send.request.extensions().get::<Route>() != Some(&ListThreads::ROUTE) {
            return relay.begin(send);
        }
        let list = {
            let mut sandboxes = self.lists.lock();
            match sandboxes.get_mut(&self.sandbox) {
                Some(sandbox) if sandbox.runs > 1 => match &sandbox.next {
                    // One that is over before it has begun has lost its task. Whoever joined it would never get a list.
                    Some(next) if next.peek().is_none() => next.clone(),
                    _ => self.plan(relay, send, sandbox)?,
                },
                // A run that is alone would only wait longer.
                _ => return relay.begin(send),
            }
        };
        // Timeouts of the request begin when it is sent, so the wait for it does not count.
        Ok(ResponseFuture::new(async move {
            let (head, body) = list.await.unwrap_or_else(|_| Err(ListFailed::gone()))?;
            Ok(Response::from_parts(head, Body::from(body)))
        }))
    }

    /// Plans the next shared request. It runs in a task of its own, because the run that asked first may be dropped.
    fn plan(
        &self,
        relay: &Arc<Relay>,
        send: SendRequest,
        sandbox: &mut Sandbox,
    ) -> Result<SharedList, InvalidRequest> {
        let (sender, receiver) = oneshot::channel();
        let list = receiver.shared();
        let runtime = Arc::clone(&relay.runtime);
        let begun = sandbox.begun;
        let pause = begun.map_or(Duration::ZERO, |begun| {
            PAUSE.saturating_sub(runtime.now().saturating_duration_since(begun))
        });
        let before = sandbox.under_way.take();
        sandbox.next = Some(list.clone());
        let (lists, id, relay) = (self.lists.clone(), self.sandbox.clone(), Arc::clone(relay));
        let clock = Arc::clone(&runtime);
        runtime.spawn(Box::pin(async move {
            if !pause.is_zero() {
                clock.sleep(pause).await;
            }
            // A relay that takes longer than the pause is not asked twice at the same time. How the previous request ended does not
            // matter here.
            if let Some(before) = before {
                let _ = before.await;
            }
            // Before the request is sent, so that no run joins it afterwards. Whoever asks from here on waits for the next one.
            if let Some(sandbox) = lists.lock().get_mut(&id) {
                sandbox.under_way = sandbox.next.take();
                sandbox.begun = Some(clock.now());
            }
            // Sending fails only if no run waits any more.
            let _ = sender.send(fetch(&relay, send).await.map_err(ListFailed::from));
        }));
        Ok(list)
    }
}

/// Sends the request and reads its response: whole if it succeeded, else only the beginning.
async fn fetch(relay: &Arc<Relay>, send: SendRequest) -> Result<(Parts, Bytes), Error> {
    let sent = relay.begin(send).map_err(Error::not_sent)?;
    let (head, body) = sent.await?.into_parts();
    // As the driver reads the response to a request of its own.
    let body = match head.status.is_success() {
        true => body.collect_up_to(relay.response_limit).await?,
        false => body.read_beginning(ERROR_BODY).await.bytes,
    };
    Ok((head, body))
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut sandboxes = self.lists.lock();
        if let Some(sandbox) = sandboxes.get_mut(&self.sandbox) {
            sandbox.runs = sandbox.runs.saturating_sub(1);
            // Otherwise the map would grow with every sandbox that was ever used.
            if sandbox.runs == 0 {
                sandboxes.remove(&self.sandbox);
            }
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

/// The failure of a shared request, with a copy for each run that waits for it.
#[derive(Clone)]
struct ListFailed {
    maybe_sent: bool,
    source: SharedError,
}

/// An error that several runs share.
#[derive(Debug, Clone)]
pub(crate) struct SharedError(Arc<Error>);

impl SharedError {
    /// Returns the original error if `error` is a shared one, or else `error` itself.
    pub(crate) fn of(error: &Error) -> &Error {
        let shared: Option<&Self> = error.source().and_then(|source| source.downcast_ref());
        shared.map_or(error, |shared| &shared.0)
    }
}

impl ListFailed {
    /// Creates the failure of a request whose task is gone.
    fn gone() -> Self {
        Self::from(Error::new(
            "the task that lists the threads for several runs is gone",
        ))
    }
}

impl From<Error> for ListFailed {
    fn from(error: Error) -> Self {
        Self {
            maybe_sent: error.maybe_sent(),
            source: SharedError(Arc::new(error)),
        }
    }
}

impl From<ListFailed> for Error {
    fn from(failed: ListFailed) -> Self {
        // Each run decides about retries on its own, so it has to know whether the request was sent.
        match failed.maybe_sent {
            true => Self::new(failed.source),
            false => Self::not_sent(failed.source),
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
