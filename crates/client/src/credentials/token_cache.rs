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

/// Fetches a new token.
pub(crate) type Fetch = Box<dyn Fn() -> FetchFuture + Send + Sync>;
type FetchFuture = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send>>;

/// A token is renewed this long before it expires. One that is valid for less than twice this time is renewed at half of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// The age at which a token without a known expiry is renewed. If that fails, it is used until the relay rejects it.
const UNKNOWN_END: Duration = Duration::from_secs(4 * 60);

/// The longest time that fetching a token may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Holds the current token, and fetches the next one in time.
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
    /// The previous token. Requests with it may still be under way, and their responses may repeat it, so it is still masked.
    former: Option<ApiKey>,
    /// The refresh that is under way. Weak, so that it is dropped as soon as nobody waits for it.
    refresh: Option<WeakShared<Refresh>>,
}

// Used as a `Shared` future, which every waiting caller polls. If only the first caller polled it, the others would hang when that
// one is dropped, or is not polled because nobody reads its run at the moment. A task is not needed for this.
type Refresh = Pin<Box<dyn Future<Output = Result<ApiKey, TokenError>> + Send>>;

struct Held {
    token: ApiKey,
    /// The time at which it is renewed. `None` if that is beyond the range of the clock.
    due: Option<Now>,
    /// The time at which it expires, if known.
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

    /// Returns a token that is valid as far as the cache knows. Dropping the future does not affect other callers.
    pub(crate) async fn token(&self) -> Result<ApiKey, TokenError> {
        let refresh = {
            let mut state = self.inner.lock();
            match &state.current {
                Some(held) if !held.is_due(self.inner.now()) => return Ok(held.token.clone()),
                _ => self.refresh(&mut state),
            }
        };
        // A token is renewed before it expires. If renewing fails, the old one is used until then.
        refresh.await.or_else(|error| {
            let state = self.inner.lock();
            match &state.current {
                Some(held) if !held.has_ended(self.inner.now()) => Ok(held.token.clone()),
                _ => Err(error),
            }
        })
    }

    /// Returns a token to replace one that the relay rejected.
    pub(crate) async fn replace(&self, rejected: &ApiKey) -> Result<ApiKey, TokenError> {
        self.forget(rejected);
        self.token().await
    }

    /// Stops using a token that the relay rejected.
    pub(crate) fn forget(&self, rejected: &ApiKey) {
        let mut state = self.inner.lock();
        // Another call may have replaced it already. That call's token was not rejected.
        if let Some(held) = state.current.take_if(|held| held.token == *rejected) {
            state.former = Some(held.token);
        }
    }

    /// Returns the tokens that the relay may repeat in a response.
    pub(super) fn secrets(&self) -> Vec<ApiKey> {
        let state = self.inner.lock();
        let current = state.current.as_ref().map(|held| held.token.clone());
        current.into_iter().chain(state.former.clone()).collect()
    }

    /// Returns the refresh that is under way, or begins one.
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
        // Cleared in any case, so that the next call after a failure tries again.
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
        // No code panics half-way through a change of the state, so it is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Creates an entry for a token that was just fetched. If it seems to have expired already, the clocks of the two machines
    /// differ, so its expiry is taken as unknown.
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

/// Whether a time has passed by at least one of the clocks. Neither is enough alone: the wall clock can be set back, and the
/// monotonic one can stop while the machine sleeps.
fn is_over(moment: Now, now: Now) -> bool {
    now.mono >= moment.mono || now.wall >= moment.wall
}
