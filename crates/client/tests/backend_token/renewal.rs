//! Renewal of tokens, for any lifetime, any order of calls and any runtime.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as StdInstant};

use http::{Request, Response};
use proptest::prelude::*;
use tokio::time::Instant;
use twentyfirst_client::protocol::tokens::Token;
use twentyfirst_client::transport::{Body, Runtime, from_fn};
use twentyfirst_client::{AgentClient, CallOptions, Error, RetryPolicy, SandboxId};

use crate::support::{json, token};

const FETCHING: Duration = Duration::from_millis(100);

/// The times at which tokens were fetched.
type Fetched = Arc<Mutex<Vec<Instant>>>;

async fn get(client: &AgentClient) -> Result<(), Error> {
    let id = SandboxId::new("sb_1").unwrap();
    client.sandboxes().get(&id).await.map(drop)
}

/// Calls after each of these pauses, with tokens that are valid for this time.
async fn calls(lifetime: u64, pauses: Vec<u64>) {
    let lifetime_long = Duration::from_secs(lifetime);
    let due = lifetime_long - Duration::from_secs(60).min(lifetime_long / 2);
    // Instants come from the test's clock, but a token's end from the machine's clock, which hardly moves meanwhile.
    let slack = Duration::from_secs(1);

    let fetched_at = Fetched::default();
    let (fetched, used) = (Arc::clone(&fetched_at), Arc::clone(&fetched_at));
    let relay = from_fn(move |request: Request<Body>| {
        let bearer = request.headers()["authorization"].to_str().unwrap();
        let number: usize = bearer.rsplit_once('-').unwrap().1.parse().unwrap();
        let age = used.lock().unwrap()[number].elapsed();
        assert!(
            age < due + slack,
            "a token of {age:?} should have been renewed"
        );
        async { Ok(json(200, r#"{"id":"sb_1","status":"active"}"#)) }
    });
    let client = AgentClient::builder()
        .transport(relay)
        .token_source(move || {
            let fetched_at = Arc::clone(&fetched);
            async move {
                if let Some(last) = fetched_at.lock().unwrap().last() {
                    let age = last.elapsed();
                    assert!(age + slack >= due, "a token of {age:?} was good enough");
                }
                tokio::time::sleep(FETCHING).await;
                let mut fetched_at = fetched_at.lock().unwrap();
                fetched_at.push(Instant::now());
                Ok::<_, Error>(token(&format!("token-{}", fetched_at.len() - 1), lifetime))
            }
        })
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build()
        .unwrap();
    for pause in pauses {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        get(&client).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_renewed_when_it_is_due_and_not_before(
        lifetime in 4..10_000_u64,
        pauses in prop::collection::vec(0..4_000_u64, 1..20),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(calls(lifetime, pauses));
    }
}

/// The monotonic clock of a machine that sleeps: it stops, while the wall clock goes on.
#[derive(Clone)]
struct Asleep(StdInstant);

impl Runtime for Asleep {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn now(&self) -> StdInstant {
        self.0
    }
}

#[tokio::test]
async fn a_token_expires_even_while_the_machine_sleeps() {
    let used = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&used);
    let relay = from_fn(move |request: Request<Body>| {
        let bearer = request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        seen.lock().unwrap().push(bearer);
        async { Ok(json(200, r#"{"id":"sb_1","status":"active"}"#)) }
    });
    let count = AtomicUsize::new(0);
    let client = AgentClient::builder()
        .transport(relay)
        .runtime(Asleep(StdInstant::now()))
        .token_source(move || {
            let name = match count.fetch_add(1, Ordering::SeqCst) {
                // Due after 2 s.
                0 => Ok(token("first", 4)),
                // It cannot be renewed before it has expired.
                1 | 2 => Err("the network is down"),
                _ => Ok(token("second", 3600)),
            };
            async move { name }
        })
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build()
        .unwrap();
    get(&client).await.unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    // Due, but still valid.
    get(&client).await.unwrap();
    std::thread::sleep(Duration::from_millis(2_000));
    get(&client).await.unwrap_err();
    get(&client).await.unwrap();
    let used = used.lock().unwrap();
    assert_eq!(*used, ["Bearer first", "Bearer first", "Bearer second"]);
}

struct Smol;

impl Runtime for Smol {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(async move {
            smol::Timer::after(duration).await;
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        smol::spawn(task).detach();
    }

    fn now(&self) -> StdInstant {
        StdInstant::now()
    }
}

#[test]
fn tokens_need_no_tokio() {
    let relay = from_fn(async |request: Request<Body>| {
        let response: Response<Body> = match request.headers()["authorization"].to_str() {
            Ok("Bearer second") => json(200, r#"{"id":"sb_1","status":"active"}"#),
            _ => json(401, "{}"),
        };
        Ok(response)
    });
    let tokens = Mutex::new(vec!["second", "first"]);
    let client = AgentClient::builder()
        .transport(relay)
        .runtime(Smol)
        .token_source(move || {
            let name = tokens.lock().unwrap().pop().unwrap();
            async move {
                smol::Timer::after(Duration::from_millis(5)).await;
                Ok::<Token, Error>(token(name, 3600))
            }
        })
        .build()
        .unwrap();
    // Calls on threads of their own, which wait for each other's tokens.
    let calls = (0..8).map(|_| {
        let client = client.clone();
        std::thread::spawn(move || smol::block_on(get(&client)))
    });
    let mut calls: Vec<_> = calls.collect();
    while let Some(call) = calls.pop() {
        call.join().unwrap().unwrap();
    }
}
