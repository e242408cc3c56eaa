//! A relay with an agent that tells a story, and a client that counts its requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;
use twentyfirst_client::protocol::runs::MessageState;
use twentyfirst_client::protocol::threads::{Thread, ThreadStatus};
use twentyfirst_client::protocol::ui::chunk::{TextDelta, TextEnd, TextStart};
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
    /// Starts a relay with the narrator.
    pub(crate) fn new(follow: FollowPolicy) -> Self {
        Self::with(narrator(), follow)
    }

    /// Starts a relay with this agent in place of the narrator.
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

    /// Adds a fault, and returns it, so that a test can see how often it struck.
    pub(crate) fn inject(&self, fault: Fault) -> Fault {
        self.relay.inject(fault.clone());
        fault
    }

    /// Starts a run in a new sandbox.
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

    /// Returns the last stored answer.
    pub(crate) async fn stored(&self, run: &Run) -> UiMessage {
        last_answer(self.thread(run).await)
    }

    /// Checks that the run has completed, that its message is the stored one, and that the client sent one chat POST and created one
    /// sandbox.
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

/// A relay that runs no commands, and sends a reader that joins a stream everything at once.
pub(crate) fn relay() -> LocalRelayBuilder {
    LocalRelay::builder()
        .isolation(Isolation::Unconfined)
        .hold_back(Duration::ZERO)
}

/// An agent that tells the story.
pub(crate) fn narrator() -> Agent {
    Agent::new(async |run: twentyfirst_local_relay::Run| {
        run.say(STORY).await;
        Ok(())
    })
    .pace(Duration::from_millis(15))
}

/// Holds back the last word of the story. So a run is certainly under way until the gate opens, however slow the machine is.
#[derive(Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Creates a closed gate.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn close(&self) {
        self.0.send_replace(false);
    }

    /// An agent that tells the story, but says its last word only when the gate is open.
    pub(crate) fn narrator(&self) -> Agent {
        let gate = self.clone();
        Agent::new(move |run: twentyfirst_local_relay::Run| {
            let gate = gate.clone();
            async move {
                // As long as the ids of `Run::say`, so that faults after some bytes strike in the same places.
                let id = "00000000-0000-4000-8000-000000000000";
                run.send(TextStart::new(id)).await;
                for word in STORY.split_inclusive(char::is_whitespace) {
                    pause(15).await;
                    if STORY.ends_with(word) {
                        gate.0.subscribe().wait_for(|is_open| *is_open).await?;
                    }
                    run.send(TextDelta::new(id, word)).await;
                }
                run.send(TextEnd::new(id)).await;
                Ok(())
            }
        })
    }

    /// Reads a run to its end, and opens the gate at the first event of this kind.
    pub(crate) async fn open_at(&self, run: &mut Run, kind: impl Fn(&RunEvent) -> bool) -> Told {
        let mut told = Told::default();
        while let Some(event) = run.next_event().await {
            if kind(&event) {
                self.open();
            }
            told.0.push(event);
        }
        told
    }
}

/// Creates a client that is another process, as far as the relay can tell.
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

/// The requests that a client has sent.
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

    /// Checks that there was one chat POST, and that one sandbox and one thread were created.
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
    while let Some(event) = run.next_event().await {
        told.0.push(event);
    }
    told
}

/// Reads a run until its text has this length in bytes.
pub(crate) async fn read_some(run: &mut Run, length: usize) -> Told {
    let mut told = Told::default();
    while told.text().len() < length {
        told.0.push(run.next_event().await.unwrap());
    }
    told
}

impl Told {
    /// The deltas of all texts, joined.
    pub(crate) fn text(&self) -> String {
        self.pieces().concat()
    }

    /// The texts before, between and after the gaps.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for event in &self.0 {
            match event {
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

    /// The ids of its text parts. A part that is continued after a cut has only one.
    pub(crate) fn text_ids(&self) -> Vec<String> {
        let deltas = self.0.iter().filter_map(|event| match event {
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
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events: Vec<String> = self.0.iter().map(event).collect();
        events.dedup();
        events
    }

    /// The kinds of events without those that depend on the speed of the machine.
    pub(crate) fn outline(&self) -> String {
        let mut events = self.events();
        events.retain(|event| !event.starts_with("asked"));
        events.dedup();
        events.join(", ")
    }

    pub(crate) fn asked(&self, status: ThreadStatus) -> usize {
        let asked = |event: &&RunEvent| matches!(event, RunEvent::Asked(asked) if *asked == status);
        self.0.iter().filter(asked).count()
    }

    /// Checks that the delivered texts are parts of the story in their order, that none came twice, and that parts are missing only at
    /// gaps.
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
        let starts = self.0.iter().filter(|one| event(one) == "start").count();
        assert!(starts <= 1, "the message began twice: {self:#?}");
    }
}

fn event(event: &RunEvent) -> String {
    match event {
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

/// Returns the reason why a run was lost.
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

/// Runs a test for each of these cases, all at once.
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
