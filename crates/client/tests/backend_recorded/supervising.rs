//! Ends of runs are reported, whichever instance is left: on the same server, on another one, and after failures.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use twentyfirst_client::Session;
use twentyfirst_client::backend::{ChatHandler, ChatRun, EndedRun, Period, SpendingLimit};
use twentyfirst_client::protocol::run_log::Entry;
use twentyfirst_client::run_log::{LogId, MemoryLog, Position, RunLog};

use crate::store::{Fault, Store};
use crate::support::{
    Reading, STORY, chats, connect, conversation, kinds, logged, of_another_server, post, relay,
    resume, runtime, stop, text, whole,
};

const PACE: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(20);

/// The ends that were reported.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<EndedRun>>>);

impl Ends {
    fn reported_by(&self, chats: ChatHandler) -> ChatHandler {
        let ends = self.clone();
        chats.on_end(move |ended| {
            ends.0.lock().unwrap().push(ended);
            async { Ok::<(), std::io::Error>(()) }
        })
    }

    fn all(&self) -> Vec<EndedRun> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until this many ends were reported.
    async fn wait(&self, count: usize) -> Vec<EndedRun> {
        let begun = Instant::now();
        while self.all().len() < count {
            let left = self.all().len();
            assert!(
                begun.elapsed() < Duration::from_secs(100),
                "{left} of {count}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.all()
    }
}

async fn none_open(chats: &ChatHandler) {
    let begun = Instant::now();
    loop {
        let open = chats.open_runs().await.unwrap();
        if open.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{open:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run(session: &Session, text: &str) -> ChatRun {
    ChatRun::new(session.run(text)).owner("user-1")
}

#[tokio::test]
async fn an_end_is_reported_with_its_message_and_cost() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = ends.reported_by(chats(&client, &session));
    let response = chats.handle(post(STORY)).await;
    let id = response.headers()["x-workflow-run-id"].to_str().unwrap();
    let id = id.to_owned();
    whole(response).await;
    let ended = ends.wait(1).await.remove(0);
    assert_eq!(
        (ended.id, ended.owner, ended.chat),
        (id, "user-1".into(), "chat-1".into())
    );
    assert_eq!(ended.message.text(), STORY);
    assert!(ended.outcome.is_success());
    assert!(
        ended.outcome.usage.total_cost_usd.is_some(),
        "{:?}",
        ended.outcome
    );
    assert_eq!(ended.run.unwrap().thread_id, session.thread_id.unwrap());
}

#[tokio::test]
async fn a_turn_begins_without_a_browser_and_is_open_until_its_end_was_reported() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let log = MemoryLog::new(tokio::time::sleep);
    let chats = ends.reported_by(chats(&client, &session).run_log(log.clone()));
    let id = chats.begin("chat-1", run(&session, STORY)).await.unwrap();
    let other = self::chats(&client, &session).run_log(log);
    let open = other.open_runs().await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&*open[0].id, &*open[0].chat), (&*id, "chat-1"));
    // A browser sees the run, too, and another turn is refused as long as it goes on.
    let refused = chats.begin("chat-1", run(&session, STORY)).await;
    assert_eq!(refused.unwrap_err().status(), StatusCode::CONFLICT);
    assert_eq!(text(&whole(chats.handle(resume()).await).await), STORY);
    let ended = ends.wait(1).await;
    assert_eq!(ended[0].id, id);
    none_open(&other).await;
    assert_eq!(ends.all().len(), 1);
}

#[tokio::test]
async fn an_end_is_reported_again_after_on_end_failed() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let (tries, ends) = (Arc::new(Mutex::new(0)), Ends::default());
    let told = ends.clone();
    let (chats, errors) = logged(chats(&client, &session));
    let chats = chats.on_end(move |ended| {
        let (tries, told) = (Arc::clone(&tries), told.clone());
        async move {
            let tries = {
                let mut tries = tries.lock().unwrap();
                *tries += 1;
                *tries
            };
            match tries {
                1 => Err("the database is down"),
                2 => panic!("a function of the test's"),
                _ => {
                    told.0.lock().unwrap().push(ended);
                    Ok(())
                }
            }
        }
    });
    let id = chats.begin("chat-1", run(&session, STORY)).await.unwrap();
    let ended = ends.wait(1).await;
    assert_eq!(
        (&ended[0].id, ended[0].message.text().as_str()),
        (&id, STORY)
    );
    none_open(&chats).await;
    let errors = errors.lock().unwrap().clone();
    let failed = format!("on_end failed for {id} and will be called again <- the database is down");
    let panicked = format!("on_end panicked for {id} and will be called again");
    assert_eq!(errors, [failed, panicked]);
}

#[tokio::test]
async fn the_end_of_a_cancelled_run_is_reported_with_its_partial_message() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = ends.reported_by(chats(&client, &session));
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    assert_eq!(chats.handle(stop()).await.status(), 200);
    let seen = text(&first.whole().await);
    let ended = ends.wait(1).await.remove(0);
    assert_eq!(ended.outcome.end.as_str(), "cancelled");
    assert_eq!(ended.message.text(), seen);
}

#[tokio::test]
async fn a_run_refused_by_the_relay_has_an_end_without_a_run_ref() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = ends.reported_by(chats(&client, &session));
    let nowhere = ChatRun::new(crate::support::elsewhere().run(STORY)).owner("user-1");
    let refused = chats.begin("chat-1", nowhere).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let ended = ends.wait(1).await.remove(0);
    assert_eq!((ended.outcome.end.as_str(), ended.run), ("failed", None));
}

#[tokio::test]
async fn an_instance_reports_its_ends_while_the_store_is_down() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = chats(&client, &session).run_log(Store::new(Fault::Down));
    let (chats, errors) = logged(ends.reported_by(chats));
    let response = chats.handle(post(STORY)).await;
    assert_eq!(text(&whole(response).await), STORY);
    let ended = ends.wait(1).await.remove(0);
    assert_eq!(ended.message.text(), STORY);
    let errors = errors.lock().unwrap().clone();
    let unsupervised = errors
        .iter()
        .filter(|error| error.contains("no other instance would find them"));
    assert_eq!(unsupervised.count(), 1, "{errors:?}");
    assert!(chats.open_runs().await.is_err());
}

#[tokio::test]
async fn a_message_beyond_the_limit_gets_a_retry_after() {
    let relay = relay(Duration::from_millis(100));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = chats(&client, &session).run_limit(1);
    let first = Reading::new(chats.handle(post(STORY)).await);
    let refused = chats.handle(post("And then?")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    first.whole().await;
    let begun = Instant::now();
    while chats.handle(post("And now?")).await.status() != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(5), "there is room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn setting_a_log_later_keeps_the_supervision() {
    let relay = relay(Duration::from_millis(20));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = ends.reported_by(chats(&client, &session).without_log());
    let chats = chats.run_limit(1);
    let chats = chats.run_log(MemoryLog::new(tokio::time::sleep));
    let first = Reading::new(chats.handle(post(STORY)).await);
    let refused = chats.handle(post("And then?")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    first.whole().await;
    assert_eq!(ends.wait(1).await[0].message.text(), STORY);
}

/// Two tabs notice at the same time that nobody records the run, and both register it before one of them records it.
#[tokio::test]
async fn a_run_that_two_readers_take_over_at_once_is_not_open_after_its_end() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    of_another_server(&log, [Entry::Release]).await;
    let ends = Ends::default();
    let other = chats(&client, &session).run_log(log.clone());
    let chats = ends.reported_by(chats(&client, &session).run_log(log));
    let (one, two) = tokio::join!(chats.handle(resume()), chats.handle(resume()));
    let (one, two) = tokio::join!(whole(one), whole(two));
    assert_eq!(one, two);
    assert_eq!(ends.wait(1).await[0].id, "run-1");
    none_open(&other).await;
    assert_eq!(ends.all().len(), 1);
}

#[tokio::test]
async fn a_deploy_waits_no_longer_than_its_deadline() {
    let relay = relay(Duration::from_secs(2));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = chats(&client, &session);
    // With a log in memory, no other instance could take it over.
    let _first = Reading::new(chats.handle(post(STORY)).await);
    let begun = Instant::now();
    assert_eq!(chats.drain(Duration::from_secs(1)).await, 1);
    // The answer takes more than 30 s.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// With the log in memory there is no register to release, so nothing of the deadline is reserved for that.
#[tokio::test]
async fn a_deploy_without_a_store_waits_for_on_end_until_its_deadline() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let (called, calls) = tokio::sync::oneshot::channel();
    let called = Mutex::new(Some(called));
    let chats = chats(&client, &session).on_end(move |_| {
        let called = called.lock().unwrap().take();
        async move {
            called.unwrap().send(()).unwrap();
            tokio::time::sleep(Duration::from_millis(3500)).await;
            Ok::<(), std::io::Error>(())
        }
    });
    whole(chats.handle(post(STORY)).await).await;
    calls.await.unwrap();
    assert_eq!(chats.drain(Duration::from_secs(4)).await, 0);
}

/// Runs of one user, each in a chat and a sandbox of its own.
async fn begin_all(chats: &ChatHandler, sessions: &[Session], text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let chat = format!("chat-{number}");
        ids.push(chats.begin(&chat, run(session, text)).await.unwrap());
    }
    ids
}

fn ids(ended: &[EndedRun]) -> Vec<String> {
    let mut ids: Vec<_> = ended.iter().map(|ended| ended.id.clone()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn another_instance_takes_over_all_runs_of_one_that_died() {
    let relay = relay(Duration::from_millis(300));
    let (dying, living) = (runtime(), runtime());
    let client = connect(&relay);
    let log = MemoryLog::new(tokio::time::sleep);
    let (first, ends) = (Ends::default(), Ends::default());
    let (sessions, late) = living.block_on(async {
        let mut sessions = Vec::new();
        for _ in 0..6 {
            sessions.push(conversation(&client).await);
        }
        (sessions, conversation(&client).await)
    });
    let one = first.reported_by(chats(&connect(&relay), &late).run_log(log.clone()));
    let mut begun = dying.block_on(begin_all(&one, &sessions, STORY));
    dying.shutdown_background();
    let other = ends.reported_by(chats(&client, &late).run_log(log));
    living.block_on(async {
        let open = other.open_runs().await.unwrap();
        assert_eq!(open.len(), begun.len());
        assert!(open.iter().all(|open| open.run.is_some()));
        other.supervise();
        let ended = ends.wait(begun.len()).await;
        begun.sort_unstable();
        assert_eq!(ids(&ended), begun, "each once");
        for ended in &ended {
            assert_eq!(ended.message.text(), STORY);
            assert_eq!(ended.outcome.end.as_str(), "completed");
        }
        none_open(&other).await;
    });
    assert!(first.all().is_empty());
}

#[test]
fn a_run_whose_log_is_gone_is_followed_at_the_relay() {
    let relay = relay(PACE);
    let (dying, living) = (runtime(), runtime());
    let client = connect(&relay);
    let log = MemoryLog::new(tokio::time::sleep);
    let session = living.block_on(conversation(&client));
    let one = Ends::default().reported_by(chats(&connect(&relay), &session).run_log(log.clone()));
    let id = dying.block_on(async {
        let mut first = Reading::new(one.handle(post(STORY)).await);
        first.until("upon").await;
        one.open_runs().await.unwrap().remove(0).id
    });
    dying.shutdown_background();
    let ends = Ends::default();
    living.block_on(async {
        let store = Forgetful(log, LogId::run(&id));
        let limit = SpendingLimit::in_memory(Period::Day).per_owner(1.0);
        let chats = chats(&client, &session).run_log(store);
        let other = ends.reported_by(chats.budget(limit.clone()));
        other.supervise();
        let ended = ends.wait(1).await.remove(0);
        assert_eq!((&ended.id, ended.message.text().as_str()), (&id, STORY));
        assert_eq!(limit.spent_by("user-1").await.unwrap().runs, 1);
        assert_eq!(ended.outcome.end.as_str(), "completed");
        none_open(&other).await;
    });
}

/// A store that has lost a log.
struct Forgetful(MemoryLog, LogId);

impl RunLog for Forgetful {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: bytes::Bytes,
        keep: twentyfirst_client::run_log::Keep,
    ) -> Result<(), twentyfirst_client::run_log::AppendError> {
        if *log == self.1 {
            return Err(twentyfirst_client::run_log::AppendError::Missing);
        }
        self.0.append(log, at, entry, keep).await
    }

    async fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<twentyfirst_client::run_log::Page, twentyfirst_client::run_log::ReadError> {
        if *log == self.1 {
            return Err(twentyfirst_client::run_log::ReadError::Missing);
        }
        self.0.read(log, after, limit, wait).await
    }

    async fn last(
        &self,
        log: &LogId,
    ) -> Result<Option<(Position, bytes::Bytes)>, twentyfirst_client::run_log::ReadError> {
        if *log == self.1 {
            return Ok(None);
        }
        self.0.last(log).await
    }
}

#[tokio::test]
async fn a_deploy_hands_its_runs_over_at_once() {
    // The answer takes more than 5 s.
    let relay = relay(Duration::from_millis(300));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let (first, ends) = (Ends::default(), Ends::default());
    let one = first.reported_by(chats(&client, &session).run_log(log.clone()));
    let other = ends.reported_by(chats(&client, &session).run_log(log));
    other.supervise();
    let id = one.begin("chat-1", run(&session, STORY)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(one.drain(DEADLINE).await, 0);
    assert!(begun.elapsed() < Duration::from_secs(4));
    let ended = ends.wait(1).await.remove(0);
    assert_eq!((&ended.id, ended.message.text().as_str()), (&id, STORY));
    // The answer, and a look every 5 s, but not the 15 s of silence after which a register or a run is taken over otherwise.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert!(first.all().is_empty());
    let rest = whole(other.handle(resume()).await).await;
    assert_eq!(kinds(&rest).last(), Some(&"[DONE]"));
}
