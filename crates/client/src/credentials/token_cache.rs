use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use twentyfirst_protocol::ApiKey;
use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::tokens::Token;
use twentyfirst_transport::Runtime;

use super::TokenError;

/// Gets a new token.
pub(crate) type Fetch = Box<dyn Fn() -> FetchFuture + Send + Sync>;
type FetchFuture = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send>>;

/// A token is renewed so long before its end; one that is valid for less than twice that, when half of it is over.
const MARGIN: Duration = Duration::from_secs(60);

/// A token whose end is not known is renewed after so long, and used until the relay rejects it or another has come.
const UNKNOWN_END: Duration = Duration::from_secs(4 * 60);

/// How long getting a token may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Holds the token that is valid now, and gets the next one in time.
#[derive(Clone)]
pub(crate) struct TokenCache {
    inner: Arc<Inner>,
}

struct Inner {
    fetch: Fetch,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Held>,
    /// The one before, which may still be on its way and be repeated by an answer.
    former: Option<ApiKey>,
    /// Under way, as long as somebody waits for it.
    refresh: Option<WeakShared<Refresh>>,
}

// Shared, so that it is polled by whoever waits for it and not by whoever came first: that one may have been dropped, or
// rest unpolled in a run that nobody reads at the moment. It needs no task.
type Refresh = Pin<Box<dyn Future<Output = Result<ApiKey, TokenError>> + Send>>;

struct Held {
    token: ApiKey,
    /// When it is to be renewed. A moment that no clock will ever show is none.
    due: Option<Now>,
    /// When it ends, if that is known.
    end: Option<Now>,
}

impl TokenCache {
    pub(crate) fn new(fetch: Fetch, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            inner: Arc::new(Inner {
                fetch,
                runtime,
                state: Mutex::default(),
            }),
        }
    }

    /// A token that is valid, as far as one can know. Dropping the future does not disturb others that wait.
    pub(crate) async fn token(&self) -> Result<ApiKey, TokenError> {
        let refresh = {
            let mut state = self.inner.lock();
            match &state.current {
                Some(held) if !held.is_due(self.inner.now()) => return Ok(held.token.clone()),
                _ => self.refresh(&mut state),
            }
        };
        refresh.await.or_else(|error| {
            let state = self.inner.lock();
            match &state.current {
                Some(held) if !held.has_ended(self.inner.now()) => Ok(held.token.clone()),
                _ => Err(error),
            }
        })
    }

    /// A token instead of one that the relay has rejected.
    pub(crate) async fn replace(&self, rejected: &ApiKey) -> Result<ApiKey, TokenError> {
        self.forget(rejected);
        self.token().await
    }

    /// Does not use a token again that the relay has rejected.
    pub(crate) fn forget(&self, rejected: &ApiKey) {
        let mut state = self.inner.lock();
        // Another call may have replaced it meanwhile.
        if let Some(held) = state.current.take_if(|held| held.token == *rejected) {
            state.former = Some(held.token);
        }
    }

    pub(super) fn secrets(&self) -> Vec<ApiKey> {
        let state = self.inner.lock();
        let current = state.current.as_ref().map(|held| held.token.clone());
        current.into_iter().chain(state.former.clone()).collect()
    }

    fn refresh(&self, state: &mut State) -> Shared<Refresh> {
        if let Some(refresh) = state.refresh.as_ref().and_then(WeakShared::upgrade) {
            return refresh;
        }
        let inner = Arc::clone(&self.inner);
        let refresh: Refresh = Box::pin(async move { inner.renew().await });
        let refresh = refresh.shared();
        state.refresh = refresh.downgrade();
        refresh
    }
}

impl Inner {
    async fn renew(&self) -> Result<ApiKey, TokenError> {
        let result = self.fetch().await.and_then(|token| {
            let key = ApiKey::new(token.token.expose()).map_err(|_| TokenError::unusable())?;
            Ok((key, token.expires_at.to_system_time()))
        });
        let mut state = self.lock();
        state.refresh = None;
        let (token, end) = result?;
        let held = Held::new(token.clone(), self.now(), end);
        if let Some(former) = state.current.replace(held) {
            state.former = Some(former.token);
        }
        Ok(token)
    }

    async fn fetch(&self) -> Result<Token, TokenError> {
        let mut fetch = (self.fetch)();
        let mut limit = self.runtime.sleep(LIMIT);
        poll_fn(|cx| match fetch.as_mut().poll(cx) {
            Poll::Pending => limit
                .as_mut()
                .poll(cx)
                .map(|()| Err(TokenError::timed_out(LIMIT))),
            ready => ready,
        })
        .await
    }

    fn now(&self) -> Now {
        Now {
            mono: self.runtime.now(),
            wall: SystemTime::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can be left half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A token that has just come. One that has ended before it came was made by another clock: when it ends is not known.
    fn new(token: ApiKey, now: Now, end: Option<SystemTime>) -> Self {
        let left = end.and_then(|end| end.duration_since(now.wall).ok());
        let due = left.map_or(UNKNOWN_END, |left| left - MARGIN.min(left / 2));
        let at = |after| {
            Some(Now {
                mono: now.mono.checked_add(after)?,
                wall: now.wall.checked_add(after)?,
            })
        };
        Self {
            token,
            due: at(due),
            end: left.and_then(at),
        }
    }

    fn is_due(&self, now: Now) -> bool {
        self.due.is_some_and(|due| is_over(due, now))
    }

    fn has_ended(&self, now: Now) -> bool {
        self.end.is_some_and(|end| is_over(end, now))
    }
}

/// By either clock: one can be set back, and the other stand still while the machine sleeps.
fn is_over(moment: Now, now: Now) -> bool {
    now.mono >= moment.mono || now.wall >= moment.wall
}
