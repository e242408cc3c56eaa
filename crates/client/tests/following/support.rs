//! A relay with a narrator, a client that counts what it sends, and the story that a run tells.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::LocalSet;
use twentyfirst_client::protocol::runs::MessageState;
use twentyfirst_client::protocol::threads::{Thread, ThreadStatus};
use twentyfirst_client::protocol::ui::{Role, UiMessage};
use twentyfirst_client::transport::{HttpTransport, Transport, from_fn};
use twentyfirst_client::{
    AgentClient, CallOptions, Chunk, FollowPolicy, Outcome, Run, RunEnd, RunEvent, SandboxId,
    StartRun, ThreadId,
};
use twentyfirst_local_relay::{Agent, Fault, Isolation, LocalRelay, LocalRelayBuilder};

/// The narrator's words, one every 15 ms. No two are the same, so that a repetition would be noticed.
pub(crate) const STORY: &str = "Once upon a time 👩‍🚀 an agent worked in the sandbox, far away; every second its connection broke off, \
    and somebody asked 🔭 what had become of that answer.";

/// A relay without faults, a client of it, and what the client has sent.
pub(crate) struct Scene {
    pub(crate) relay: LocalRelay,
    pub(crate) client: AgentClient,
    pub(crate) sent: Sent,
}

impl Scene {
    /// With the narrator. Who joins gets everything at once, without being held back.
    pub(crate) fn new(follow: FollowPolicy) -> Self {
        Self::with(narrator(), follow)
    }

    /// With another agent in the narrator's place.
    pub(crate) fn with(agent: Agent, follow: FollowPolicy) -> Self {
        Self::of(relay().agent("narrator", agent), follow)
    }

    pub(crate) fn of(relay: LocalRelayBuilder, follow: FollowPolicy) -> Self {
        let relay = relay.start().unwrap();
        let (client, sent) = client(&relay, follow);
        Self {
            relay,
            client,
            sent,
        }
    }

    /// Adds a fault, and hands it back to be asked how often it has struck.
    pub(crate) fn inject(&self, fault: Fault) -> Fault {
        self.relay.inject(fault.clone());
        fault
    }

    /// A run in a new sandbox.
    pub(crate) async fn run(&self) -> Run {
        let start = StartRun::new("narrator", "Tell me a story");
        self.client.threads().start(start).await.unwrap()
    }

    pub(crate) async fn thread(&self, run: &Run) -> Thread {
        self.thread_at(run.sandbox_id(), run.thread_id()).await
    }

    pub(crate) async fn thread_at(&self, sandbox: &SandboxId, thread: &ThreadId) -> Thread {
        let client = AgentClient::builder()
            .api_key(self.relay.api_key())
            .base_url(self.relay.url())
            .build()
            .unwrap();
        client.threads().get(sandbox, thread).await.unwrap()
    }

    /// Waits until the thread no longer streams.
    pub(crate) async fn over(&self, sandbox: &SandboxId, thread: &ThreadId) -> Thread {
        loop {
            let thread = self.thread_at(sandbox, thread).await;
            if !thread.is_streaming() {
                return thread;
            }
            pause(20).await;
        }
    }

    /// The answer that is stored last.
    pub(crate) async fn stored(&self, run: &Run) -> UiMessage {
        last_answer(self.thread(run).await)
    }

    /// The run has completed, its message is the stored one, whole, and the client sent one chat POST and made one sandbox.
    pub(crate) async fn assert_whole(&self, run: &mut Run) {
        let outcome = run.outcome().await;
        assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
        assert_eq!(outcome.message_state, MessageState::Whole);
        assert!(outcome.is_success());
        assert_eq!(outcome.result_subtype.as_deref(), Some("success"));
        let stored = self.stored(run).await;
        assert_eq!(run.message_so_far(), &stored);
        assert_eq!(run.message().await.unwrap(), stored);
        self.sent.assert_once();
    }
}

/// A relay that lets join at once, and runs no commands.
pub(crate) fn relay() -> LocalRelayBuilder {
    LocalRelay::builder()
        .isolation(Isolation::Unconfined)
        .hold_back(Duration::ZERO)
}

/// Says the story.
pub(crate) fn narrator() -> Agent {
    Agent::new(async |run: twentyfirst_local_relay::Run| {
        run.say(STORY).await;
        Ok(())
    })
    .pace(Duration::from_millis(15))
}

/// Another process, as far as the relay can tell.
pub(crate) fn client(relay: &LocalRelay, follow: FollowPolicy) -> (AgentClient, Sent) {
    let sent = Sent::default();
    let log = sent.clone();
    let http = HttpTransport::new().unwrap();
    let counting = from_fn(move |request| {
        log.push(request.method().as_str(), request.uri().path());
        let http = http.clone();
        async move { http.send(request).await }
    });
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .transport(counting)
        .options(CallOptions::new().follow(follow))
        .build();
    (client.unwrap(), sent)
}

/// The requests of a client, as they left it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<String>>>);

impl Sent {
    fn push(&self, method: &str, path: &str) {
        // Ids are of no interest.
        let path: Vec<&str> = path.split('/').skip(2).collect();
        let what = match path[..] {
            ["sandboxes"] => "sandbox",
            ["sandboxes", _] => "sandbox",
            ["sandboxes", _, "threads"] => "threads",
            ["sandboxes", _, "threads", _] => "thread",
            ["chat", _] => "chat",
            ["chat", _, _, "stream"] => "stream",
            _ => "other",
        };
        self.0.lock().unwrap().push(format!("{method} {what}"));
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        let sent = self.0.lock().unwrap();
        sent.iter().filter(|sent| *sent == what).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// One chat POST, and one sandbox and one thread made.
    pub(crate) fn assert_once(&self) {
        let counts = ["POST sandbox", "POST threads", "POST chat"].map(|what| self.count(what));
        assert_eq!(counts, [1, 1, 1], "{self:?}");
    }
}

/// The events of a run.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Vec<RunEvent>);

/// Reads a run to its end.
pub(crate) async fn read(run: &mut Run) -> Told {
    let mut told = Told::default();
    while let Some(moment) = run.next_event().await {
        told.0.push(moment);
    }
    told
}

/// Reads a run until its text is so long.
pub(crate) async fn read_some(run: &mut Run, length: usize) -> Told {
    let mut told = Told::default();
    while told.text().len() < length {
        told.0.push(run.next_event().await.unwrap());
    }
    told
}

impl Told {
    /// The deltas of all texts, one after the other.
    pub(crate) fn text(&self) -> String {
        self.pieces().concat()
    }

    /// The text between the places where something may be missing.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for moment in &self.0 {
            match moment {
                RunEvent::Chunk(Chunk::TextDelta(delta)) => {
                    let piece = pieces.last_mut().unwrap();
                    piece.push_str(&delta.delta.to_string_lossy());
                }
                RunEvent::Gap => pieces.push(String::new()),
                _ => {}
            }
        }
        pieces
    }

    /// The ids of its texts: one that went on in the middle has one.
    pub(crate) fn text_ids(&self) -> Vec<String> {
        let deltas = self.0.iter().filter_map(|moment| match moment {
            RunEvent::Chunk(Chunk::TextDelta(delta)) => {
                Some(delta.id.to_string_lossy().into_owned())
            }
            _ => None,
        });
        let mut ids: Vec<_> = deltas.collect();
        ids.dedup();
        ids
    }

    /// Returns the kinds of events in order. Repetitions in a row are listed once.
    pub(crate) fn moments(&self) -> Vec<String> {
        let mut moments: Vec<String> = self.0.iter().map(moment).collect();
        moments.dedup();
        moments
    }

    /// The story without what depends on how fast it went.
    pub(crate) fn outline(&self) -> String {
        let mut moments = self.moments();
        moments.retain(|moment| !moment.starts_with("asked"));
        moments.dedup();
        moments.join(", ")
    }

    pub(crate) fn asked(&self, status: ThreadStatus) -> usize {
        let asked =
            |moment: &&RunEvent| matches!(moment, RunEvent::Asked(asked) if *asked == status);
        self.0.iter().filter(asked).count()
    }

    /// Everything that was delivered is of the story, in its order, nothing twice, and what is missing is at a gap.
    pub(crate) fn assert_of(&self, story: &str) {
        let pieces = self.pieces();
        let mut rest = story;
        for (number, piece) in pieces.iter().enumerate() {
            let at = rest.find(piece.as_str());
            let is_there = match number {
                0 => at == Some(0),
                _ => at.is_some(),
            };
            assert!(is_there, "{piece:?} is not where it should be: {self:#?}");
            rest = &rest[at.unwrap() + piece.len()..];
        }
        let starts = self.0.iter().filter(|one| moment(one) == "start").count();
        assert!(starts <= 1, "the message began anew: {self:#?}");
    }
}

fn moment(moment: &RunEvent) -> String {
    match moment {
        RunEvent::Chunk(Chunk::Start(_)) => "start".to_owned(),
        RunEvent::Chunk(Chunk::Finish(_)) => "finish".to_owned(),
        RunEvent::Chunk(Chunk::Error(_)) => "error".to_owned(),
        RunEvent::Chunk(_) => "chunks".to_owned(),
        RunEvent::NotAChunk(_) => "not a chunk".to_owned(),
        RunEvent::Cut(Some(_)) => "cut".to_owned(),
        RunEvent::Cut(None) => "ended".to_owned(),
        RunEvent::Asked(status) => format!("asked: {status}"),
        RunEvent::Resumed => "resumed".to_owned(),
        RunEvent::Gap => "gap".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The text of a run that is lost; anything else has failed.
pub(crate) fn lost(outcome: &Outcome) -> twentyfirst_client::protocol::runs::Lost {
    match &outcome.end {
        RunEnd::Lost(lost) => lost.clone(),
        other => panic!("it is not lost: {other:?}"),
    }
}

pub(crate) fn last_answer(thread: Thread) -> UiMessage {
    let answers = thread.into_ui_messages().into_iter().rev();
    let mut answers = answers.filter(|message| message.role == Role::Assistant);
    answers.next().unwrap()
}

/// Tells a story for each of these cases, all at once.
pub(crate) async fn each<T, F>(cases: impl IntoIterator<Item = T>, story: impl Fn(T) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let local = LocalSet::new();
    let stories = cases.into_iter().map(|case| local.spawn_local(story(case)));
    let stories: Vec<_> = stories.collect();
    let all = async {
        for story in stories {
            story.await.unwrap();
        }
    };
    local.run_until(all).await;
}

pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
