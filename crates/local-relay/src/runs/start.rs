use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;
use twentyfirst_protocol::runs::RunOptions;
use twentyfirst_protocol::threads::{StoredMessage, ThreadStatus, Usage};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::ui::chunk::Error;
use twentyfirst_protocol::{ThreadId, Timestamp};
use uuid::Uuid;

use super::feed::{Event, RunMetadata, Subscription};
use super::journal::{Journal, Report};
use super::storage;
use crate::agents::{Agent, Run, RunRequest};
use crate::records::Record;
use crate::relay::Relay;

/// A thread's handle to its run, between start-up and end.
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) journal: Arc<Journal>,
    cancelled: Notify,
}

impl Stream {
    /// Ends the run. The caller updates the thread.
    pub(crate) fn cancel(&self) {
        self.cancelled.notify_one();
    }
}

/// A run that is about to start.
pub(crate) struct NewRun {
    pub(crate) relay: Arc<Relay>,
    pub(crate) record: Arc<Record>,
    pub(crate) thread_id: ThreadId,
    pub(crate) agent: Agent,
    pub(crate) message: UiMessage,
    pub(crate) text: String,
    pub(crate) options: Option<RunOptions>,
}

/// The first reader's part of a run, available after the start-up.
pub(crate) struct Started {
    pub(crate) subscription: Subscription,
    pub(crate) message_id: String,
}

/// Starts a run. It continues without readers.
pub(crate) fn start(run: NewRun) -> oneshot::Receiver<Started> {
    let (started, receiver) = oneshot::channel();
    let relay = Arc::clone(&run.relay);
    relay.spawn(run.drive(started));
    receiver
}

enum Outcome {
    Ended,
    Failed(String),
    Cancelled,
    /// The run writes nothing more, and only a cancellation ends it.
    Dead,
}

impl NewRun {
    async fn drive(self, started: oneshot::Sender<Started>) {
        tokio::select! {
            () = sleep(self.agent.start_up) => {}
            // The process that was starting the run is gone, so nobody ever ends the thread's `streaming` status.
            () = self.relay.restarted() => return,
        }
        let message_id = Uuid::new_v4().to_string();
        let journal = Arc::new(Journal::new(&message_id, &self.relay));
        let stream = Arc::new(Stream {
            id: format!("{}-{}", self.record.machine_id, Uuid::new_v4().simple()),
            journal: Arc::clone(&journal),
            cancelled: Notify::new(),
        });
        let (history, session) = self
            .record
            .with_thread(&self.thread_id, |thread| {
                thread.stream = Some(Arc::clone(&stream));
                let session = thread.session.clone();
                let history = thread.thread.ui_messages().cloned().collect();
                (history, session)
            })
            .unwrap_or_default();
        // Before the agent runs: the first reader misses no event.
        let subscription = journal.feed.join();
        started
            .send(Started {
                subscription,
                message_id,
            })
            .ok();

        let begun = Instant::now();
        let run = Run::new(
            RunRequest {
                message: self.message.clone(),
                history,
                options: self.options.clone(),
                sandbox: self.record.sandbox.clone(),
                pace: self.agent.pace,
            },
            self.text.clone(),
            Arc::clone(&journal),
        );
        // On a task of its own, and called there: a panic of the agent, even before it returns its future, fails only the run.
        let mut work = JoinSet::new();
        let agent = self.agent.clone();
        work.spawn(async move { agent.run(run).await });
        let mut outcome = tokio::select! {
            // A cancellation wins over everything else that is ready.
            biased;
            () = stream.cancelled.notified() => Outcome::Cancelled,
            never = journal.restart_in_time() => match never {},
            () = journal.death() => Outcome::Dead,
            ended = work.join_next() => match ended {
                Some(Ok(Ok(()))) => Outcome::Ended,
                Some(Ok(Err(error))) => Outcome::Failed(error.to_string()),
                Some(Err(_)) | None => Outcome::Failed("the agent panicked".to_owned()),
            },
        };
        // A fault may be due right after the agent's last chunk, when no further write would notice it.
        if !matches!(outcome, Outcome::Cancelled) && journal.is_dead().await {
            outcome = Outcome::Dead;
        }
        work.shutdown().await;
        if !matches!(outcome, Outcome::Cancelled) {
            journal.restart_at_end().await;
        }
        // After a restart without a new reader, nobody stores the end of the run: only a cancellation frees the thread.
        if matches!(outcome, Outcome::Ended | Outcome::Failed(_)) && journal.is_lost() {
            outcome = Outcome::Dead;
            journal.feed.close();
        }
        match outcome {
            Outcome::Cancelled => journal.feed.emit(Event::Cancelled).await,
            Outcome::Dead => {
                // `notify_one` leaves a permit, so a cancellation before this point counts.
                stream.cancelled.notified().await;
                journal.feed.emit(Event::Cancelled).await;
            }
            Outcome::Ended | Outcome::Failed(_) => {
                if let Outcome::Failed(text) = outcome {
                    journal.write(Error::new(text).into()).await;
                }
                let session = session.unwrap_or_else(|| Uuid::new_v4().to_string());
                self.end(&journal, begun, session, &stream).await;
            }
        }
        journal.feed.close();
        self.record.with_thread(&self.thread_id, |thread| {
            // Another run may have started in the thread since, and has its own stream there.
            if thread.is_streamed_by(&stream) {
                thread.stream = None;
            }
        });
    }

    /// Stores the turn and ends the streams.
    ///
    /// The order is the relay's: a thread is `completed` before `finish` arrives, but becomes `error` only before `[DONE]`.
    async fn end(&self, journal: &Journal, begun: Instant, session: String, stream: &Stream) {
        let ending = journal.end().await;
        let mut metadata = RunMetadata {
            session_id: Some(session.clone()),
            final_text_id: ending.final_text,
            ..RunMetadata::default()
        };
        if ending.error.is_none() {
            let Report {
                mut usage,
                result_subtype,
            } = journal.reported();
            let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            // An agent may report its own duration.
            usage.duration_ms = usage.duration_ms.or(Some(elapsed));
            metadata.result_subtype = Some(result_subtype);
            metadata.usage = usage;
            if let Some(own) = &ending.metadata {
                usage = own.deserialize().unwrap_or_default();
            }
            let turn = match journal.rival_message(&metadata).await {
                Some(answer) => vec![answer],
                None => vec![self.message.clone(), journal.message(&metadata).await],
            };
            if let Err(error) = storage::check(&turn, self.relay.faults.strikes_storing()) {
                journal.send_end(metadata).await;
                self.fail(&format!("sandbox_error: {error}"));
                return;
            }
            self.store(turn, usage, session);
        }
        journal.send_end(metadata).await;
        // A cancellation only shortens the delay: the turn is stored already, or has failed.
        tokio::select! {
            () = sleep(self.relay.done_delay) => {}
            () = stream.cancelled.notified() => {}
        }
        if let Some(error) = ending.error {
            self.fail(&format!("sandbox_error: {error}"));
        }
        journal.feed.emit(Event::Done).await;
    }

    /// Stores a turn, unless another run or a cancellation has ended the stream of this thread.
    ///
    /// The cost counts in any case: the run has spent it.
    fn store(&self, turn: Vec<UiMessage>, usage: Usage, session: String) {
        let now = Timestamp::from(SystemTime::now());
        let stored = self.record.with_thread(&self.thread_id, |thread| {
            let thread_was_streaming = thread.thread.status == ThreadStatus::Streaming;
            if thread_was_streaming {
                let messages = thread.thread.messages.get_or_insert_default();
                messages.extend(turn.into_iter().map(StoredMessage::Ui));
                thread.thread.status = ThreadStatus::Completed;
                thread.thread.usage = usage;
                thread.thread.error = None;
                thread.thread.updated_at = Some(now.clone());
                thread.thread.completed_at = Some(now.clone());
                thread.session = Some(session);
            }
            thread_was_streaming
        });
        self.record.change(|state| {
            state.spent_usd += usage.total_cost_usd.unwrap_or_default();
            if stored == Some(true) {
                state.error = None;
                state.updated_at = now;
            }
        });
    }

    fn fail(&self, error: &str) {
        let now = Timestamp::from(SystemTime::now());
        let failed = self.record.with_thread(&self.thread_id, |thread| {
            let thread_was_streaming = thread.thread.status == ThreadStatus::Streaming;
            if thread_was_streaming {
                thread.thread.status = ThreadStatus::Error;
                thread.thread.error = Some(error.to_owned());
                thread.thread.updated_at = Some(now.clone());
                thread.thread.completed_at = Some(now.clone());
            }
            thread_was_streaming
        });
        if failed == Some(true) {
            self.record.change(|state| {
                state.error = Some(error.to_owned());
                state.updated_at = now;
            });
        }
    }
}
