//! What has to happen when a run ends happens, whoever is still there: on the same server, on another, after failures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use twentyfirst_client::AgentClient;
use twentyfirst_client::backend::{ChatHandler, ChatRun, EndedRun};
use twentyfirst_client::protocol::run_log::{Entry, Logged};
use twentyfirst_client::protocol::runs::RunEnd;
use twentyfirst_client::run_log::{LogId, MemoryLog, Position, RunLog};
use twentyfirst_client::{Session, StartRun};

use crate::store::{Fault, Store};
use crate::support::{
    Reading, STORY, chats, connect, conversation, logged, post, relay, resume, runtime, stop, text,
    whole,
};

const PACE: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(30);

/// The ends that were told.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<EndedRun>>>);

impl Ends {
    fn told(&self, chats: ChatHandler) -> ChatHandler {
        let ends = self.clone();
        chats.on_end(move |ended| {
            ends.0.lock().unwrap().push(ended);
            async { Ok::<(), std::io::Error>(()) }
        })
    }

    fn all(&self) -> Vec<EndedRun> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until so many have been told.
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
async fn an_end_is_told_with_the_message_and_what_it_cost() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let chats = ends.told(chats(&client, &session));
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
async fn a_turn_begins_without_a_browser_and_is_open_until_its_end_was_told() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let ends = Ends::default();
    let log = MemoryLog::new(tokio::time::sleep);
    let chats = ends.told(chats(&client, &session).run_log(log.clone()));
    let id = chats.begin("chat-1", run(&session, STORY)).await.unwrap();
    let other = self::chats(&client, &session).run_log(log);
    let open = other.open_runs().await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&*open[0].id, &*open[0].chat), (&*id, "chat-1"));
    // A browser sees it, too, and another turn is refused meanwhile.
    let refused = chats.begin("chat-1", run(&session, STORY)).await;
    assert_eq!(refused.unwrap_err().status(), StatusCode::CONFLICT);
    assert_eq!(text(&whole(chats.handle(resume()).await).await), STORY);
    let ended = ends.wait(1).await;
    assert_eq!(ended[0].id, id);
    none_open(&other).await;
    assert_eq!(ends.all().len(), 1);
}
