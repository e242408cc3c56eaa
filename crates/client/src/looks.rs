//! One look at the threads of a sandbox for all of its runs.

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

/// How long it takes from the beginning of one look to that of the next, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// The looks at all sandboxes in which more than one run is followed.
///
/// ```text
///   run 1 ─ ask ─┐
///   run 2 ─ ask ─┤  wait: 1 s behind the look before, and until it is over ──► one request ──► all who had asked
///   run 3 ─ ask ─┘                                                 run 4 ─ ask ──► the next
/// ```
///
/// **An ask gets the response to a request that began after it**: what a run asks is whether it goes on now, and a response that was
/// under way may be older than what it has just heard elsewhere. A run that is alone in its sandbox asks by itself, at once.
#[derive(Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<HashMap<SandboxId, Sandbox>>>);

#[derive(Default)]
struct Sandbox {
    /// How many runs are followed there.
    runs: usize,
    /// When the last look began.
    begun: Option<Instant>,
    /// The last look that has begun.
    under_way: Option<Look>,
    /// The one that has not begun yet.
    next: Option<Look>,
}

/// What comes of a look, for all who wait for it. Its task may be gone with its runtime.
type Look = Shared<oneshot::Receiver<Result<(Parts, Bytes), Failed>>>;

/// A run that is followed in a sandbox, until it is dropped.
pub(crate) struct Follower {
    looks: Looks,
    sandbox: SandboxId,
}

impl Looks {
    /// Notes that a run is followed there.
    pub(crate) fn follow(&self, sandbox: &SandboxId) -> Follower {
        self.lock().entry(sandbox.clone()).or_default().runs += 1;
        Follower {
            looks: self.clone(),
            sandbox: sandbox.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, Sandbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Begins to send what a run asks, or has it asked together with others.
    pub(crate) fn begin(
        &self,
        relay: &Arc<Relay>,
        send: SendRequest,
    ) -> Result<ResponseFuture, InvalidRequest> {
        if send.request.extensions().get::<Route>() != Some(&ListThreads::ROUTE) {
            return relay.begin(send);
        }
        let look = {
            let mut sandboxes = self.looks.lock();
            match sandboxes.get_mut(&self.sandbox) {
                Some(sandbox) if sandbox.runs > 1 => match &sandbox.next {
                    Some(next) => next.clone(),
                    None => self.plan(relay, send, sandbox)?,
                },
                _ => return relay.begin(send),
            }
        };
        Ok(ResponseFuture::new(async move {
            let (head, body) = look.await.unwrap_or_else(|_| Err(Failed::gone()))?;
            Ok(Response::from_parts(head, Body::from(body)))
        }))
    }

    /// Plans the next look, in a task: whoever has asked first may leave.
    fn plan(
        &self,
        relay: &Arc<Relay>,
        send: SendRequest,
        sandbox: &mut Sandbox,
    ) -> Result<Look, InvalidRequest> {
        let (sender, receiver) = oneshot::channel();
        let look = receiver.shared();
        let runtime = Arc::clone(&relay.runtime);
        let begun = sandbox.begun;
        let pause = begun.map_or(Duration::ZERO, |begun| {
            PAUSE.saturating_sub(runtime.now().saturating_duration_since(begun))
        });
        let before = sandbox.under_way.take();
        sandbox.next = Some(look.clone());
        let (looks, id, relay) = (self.looks.clone(), self.sandbox.clone(), Arc::clone(relay));
        let clock = Arc::clone(&runtime);
        runtime.spawn(Box::pin(async move {
            if !pause.is_zero() {
                clock.sleep(pause).await;
            }
            if let Some(before) = before {
                let _ = before.await;
            }
            if let Some(sandbox) = looks.lock().get_mut(&id) {
                // Who asks from now on asks for the next.
                sandbox.under_way = sandbox.next.take();
                sandbox.begun = Some(clock.now());
            }
            // Where nobody waits any more, nobody hears it.
            let _ = sender.send(ask(&relay, send).await.map_err(Failed::from));
        }));
        Ok(look)
    }
}

/// What the relay responds, read as far as it is needed.
async fn ask(relay: &Arc<Relay>, send: SendRequest) -> Result<(Parts, Bytes), Error> {
    let sent = relay.begin(send).map_err(Error::not_sent)?;
    let (head, body) = sent.await?.into_parts();
    let body = match head.status.is_success() {
        true => body.collect_up_to(relay.answer_limit).await?,
        false => body.read_beginning(ERROR_BODY).await.bytes,
    };
    Ok((head, body))
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut sandboxes = self.looks.lock();
        if let Some(sandbox) = sandboxes.get_mut(&self.sandbox) {
            sandbox.runs = sandbox.runs.saturating_sub(1);
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

/// Why a look has no response, for each who waits for it.
#[derive(Clone)]
struct Failed {
    maybe_sent: bool,
    source: Common,
}

/// A failure that several have.
#[derive(Debug, Clone)]
pub(crate) struct Common(Arc<Error>);

impl Common {
    /// The failure itself, where this is one of several.
    pub(crate) fn of(error: &Error) -> &Error {
        let common: Option<&Self> = error.source().and_then(|source| source.downcast_ref());
        common.map_or(error, |common| &common.0)
    }
}

impl Failed {
    /// Its task is gone.
    fn gone() -> Self {
        Self::from(Error::new("the task that asks for several runs is gone"))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            maybe_sent: error.maybe_sent(),
            source: Common(Arc::new(error)),
        }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed.maybe_sent {
            true => Self::new(failed.source),
            false => Self::not_sent(failed.source),
        }
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Common {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
