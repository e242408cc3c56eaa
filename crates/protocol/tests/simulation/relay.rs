//! A simulated relay without sockets: sandboxes, threads, runs and their readers, as they were recorded.
//!
//! It handles requests and alarms, and leaves its output ([`Said`]) and its next alarms ([`Alarm`]) to be collected. It has the
//! habits of the relay, the bad ones too:
//!
//! - A run goes on without readers. At its end it is stored, with the user's message, under the message id that its first reader
//!   saw. A run that failed or was cancelled is not stored.
//! - While a run is starting its thread streams already, but there is no stream: resuming is 204, cancelling is `idle` and
//!   cancels nothing.
//! - Resuming and cancelling mean the newest created thread of the sandbox that streams.
//! - A resumed stream begins with a `start` of its own. Either it joins in the middle: everything is held back until 5 s pass
//!   without news, and the outputs of tools announced before are missing. Or it replays from the beginning, cut differently. Text
//!   ids are new either way.
//! - Either of two readers may store the run. The one that resumed stores what it saw, and the user's message is lost.
//! - The thread is `completed` when `finish` is sent; `[DONE]` comes later.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use twentyfirst_protocol::runs::{CancelStream, Mode, ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::{CreateSandbox, DeleteSandbox, GetSandbox};
use twentyfirst_protocol::threads::{CreateThread, GetThread, ListThreads, Usage};
use twentyfirst_protocol::ui::chunk::{
    Error, Finish, MessageMetadata, ReasoningDelta, ReasoningStart, Start, TextDelta, TextStart,
    ToolInputDelta,
};
use twentyfirst_protocol::ui::{Chunk, RawJson, Role, Text, UiMessage, encode_done};
use twentyfirst_protocol::{Body, Endpoint, InvalidRequest, Timestamp};

use crate::faults::{Fault, Tally};
use crate::rng::Rng;
use crate::truth::{End, Truth, assembled};
use crate::world::Asks;

/// Time since the simulation began.
pub(crate) type At = Duration;

/// A connection: one request, and its response.
pub(crate) type Conn = usize;

/// One of the runs.
pub(crate) type RunId = usize;

pub(crate) const AGENT: &str = "my-agent";

/// The time for which a reader that joined in the middle waits after the last news.
const HOLD: Duration = Duration::from_secs(5);

/// The differences between relays, in percent of the cases.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// A resumed stream replays from the beginning, instead of joining in the middle.
    pub(crate) replays: usize,
    /// Resuming is 204 although something streams.
    pub(crate) denies: usize,
    /// The reader that resumed stores the run.
    pub(crate) resumed_stores: usize,
    /// A cancelled reader gets `error "cancelled"`, metadata, `finish` and `[DONE]`, instead of `[DONE]` alone.
    pub(crate) tells_cancelled: usize,
}

#[derive(Debug)]
pub(crate) struct Relay {
    habits: Habits,
    rng: Rng,
    sandboxes: Vec<Sandbox>,
    threads: Vec<Thread>,
    runs: Vec<Run>,
    readers: Vec<Reader>,
    /// The script of the run that a chat POST starts.
    script: Option<Script>,
    /// The turn that somebody else begins in our thread when our run has completed, and the delay before it.
    next_turn: Option<(Duration, Script)>,
    ours: Option<RunId>,
    said: Vec<(Conn, Said)>,
    alarms: Vec<(At, Alarm)>,
    pub(crate) facts: Facts,
}

#[derive(Debug)]
struct Sandbox {
    id: String,
    deleted: bool,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) id: String,
    sandbox: usize,
    created: At,
    pub(crate) status: &'static str,
    messages: Vec<Value>,
    usage: Usage,
    pub(crate) error: Option<String>,
    pub(crate) deleted: bool,
}

/// The script of a run.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) truth: Rc<Truth>,
    pub(crate) starting: Duration,
    pub(crate) fails_to_start: bool,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) thread: usize,
    pub(crate) truth: Rc<Truth>,
    fails_to_start: bool,
    user: Option<Value>,
    phase: Phase,
    /// The connection that waits for its stream while it is starting.
    waiting: Option<Conn>,
    /// The number of chunks that were sent.
    said: usize,
    message_id: String,
    pub(crate) stored: Option<Stored>,
}

/// The stored answer.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: UiMessage,
    /// Whether it is complete.
    pub(crate) whole: bool,
    pub(crate) with_user_message: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Live,
    /// `finish` was sent, and storing it is about to fail.
    Storing,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Debug)]
struct Reader {
    run: RunId,
    /// `None` for a foreign reader, which matters only for what it stores.
    conn: Option<Conn>,
    view: View,
    message_id: String,
    left: bool,
}

#[derive(Debug)]
enum View {
    /// The reader that sent the messages.
    First,
    /// Resumed, from the beginning.
    Replay,
    /// Resumed, from the middle.
    Joined(Joined),
}

#[derive(Debug, Default)]
struct Joined {
    /// The number of chunks that had been sent before.
    missed: usize,
    /// Text and reasoning parts that have begun here.
    opened: Vec<Text<'static>>,
    /// Calls whose input began here.
    begun: Vec<Text<'static>>,
    /// Calls that were announced here.
    announced: Vec<Text<'static>>,
    /// The chunks that are held back.
    held: Option<Vec<Chunk<'static>>>,
    last_news: At,
    /// Everything for this reader so far, which is what it would store.
    seen: Vec<Chunk<'static>>,
}

/// The output of the relay on a connection.
#[derive(Debug)]
pub(crate) enum Said {
    Response {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Value,
    },
    /// The head of an event stream.
    Opened,
    Event(Bytes, Mark),
    Ended,
}

/// The kind of an event, as far as it matters to the judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    Start(String),
    Error,
    Finish,
    Done,
    Other,
}

/// An event that the relay schedules for itself.
#[derive(Debug, Clone)]
pub(crate) enum Alarm {
    Started(RunId),
    Says(RunId),
    /// Storing the run fails.
    FailsToStore(RunId),
    /// Chunks that were held back are released.
    Release(usize),
    /// `[DONE]` is sent.
    Done(usize),
    /// Somebody starts a run in a thread, or in a new one.
    Begin {
        thread: Option<String>,
        script: Script,
        user: Option<Value>,
        ours: bool,
    },
    /// Somebody else resumes our run.
    ForeignReader,
    DeleteThread,
    DeleteSandbox,
}

/// The facts for the judge.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Chat POSTs that took effect.
    pub(crate) posts: usize,
    pub(crate) sandboxes_created: Vec<String>,
    pub(crate) sandboxes_deleted: Vec<String>,
    pub(crate) threads_created: Vec<String>,
    /// Runs that a request ended, in order.
    pub(crate) cancelled: Vec<RunId>,
    /// Requests that no flow should send.
    pub(crate) unexpected: Vec<String>,
}

impl Relay {
    pub(crate) fn new(habits: Habits, rng: Rng) -> Self {
        Self {
            habits,
            rng,
            sandboxes: Vec::new(),
            threads: Vec::new(),
            runs: Vec::new(),
            readers: Vec::new(),
            script: None,
            next_turn: None,
            ours: None,
            said: Vec::new(),
            alarms: Vec::new(),
            facts: Facts::default(),
        }
    }

    /// Sets the turn that somebody else begins in our thread this long after our run has completed.
    pub(crate) fn set_next_turn(&mut self, after: Duration, script: Script) {
        self.next_turn = Some((after, script));
    }

    /// Sets the script that the next chat POST starts.
    pub(crate) fn set_script(&mut self, script: Script) {
        self.script = Some(script);
    }

    pub(crate) fn create_sandbox(&mut self) -> usize {
        let id = format!("sb_{}", self.sandboxes.len() + 1);
        self.sandboxes.push(Sandbox { id, deleted: false });
        self.sandboxes.len() - 1
    }

    pub(crate) fn sandbox_id(&self, sandbox: usize) -> String {
        self.sandboxes[sandbox].id.clone()
    }

    /// Creates a thread with these stored messages.
    pub(crate) fn create_thread(&mut self, now: At, sandbox: usize, history: Vec<Value>) -> String {
        let id = format!("th_{}", self.threads.len() + 1);
        self.threads.push(Thread {
            id: id.clone(),
            sandbox,
            created: now,
            status: if history.is_empty() {
                "idle"
            } else {
                "completed"
            },
            messages: history,
            usage: Usage::default(),
            error: None,
            deleted: false,
        });
        id
    }

    pub(crate) fn ours(&self) -> Option<&Run> {
        self.ours.map(|run| &self.runs[run])
    }

    pub(crate) fn our_id(&self) -> Option<RunId> {
        self.ours
    }

    /// Returns the run that is read on this connection.
    pub(crate) fn run_on(&self, conn: Conn) -> Option<RunId> {
        let reader = self.readers.iter().find(|reader| reader.conn == Some(conn));
        reader.map(|reader| reader.run)
    }

    pub(crate) fn our_phase(&self) -> Option<Phase> {
        self.ours().map(|run| run.phase)
    }

    pub(crate) fn our_thread(&self) -> Option<&Thread> {
        self.ours().map(|run| &self.threads[run.thread])
    }

    pub(crate) fn our_sandbox_is_deleted(&self) -> bool {
        self.our_thread()
            .is_some_and(|thread| thread.deleted || self.sandboxes[thread.sandbox].deleted)
    }

    /// Returns whether another thread of our sandbox streams, so that the end of our run would make it the newest one.
    pub(crate) fn another_streams(&self) -> bool {
        let Some(run) = self.ours() else { return false };
        let sandbox = self.threads[run.thread].sandbox;
        self.threads.iter().enumerate().any(|(index, thread)| {
            index != run.thread
                && thread.sandbox == sandbox
                && thread.status == "streaming"
                && !thread.deleted
        })
    }

    /// Returns whether this alarm would end our run.
    pub(crate) fn would_end_ours(&self, alarm: &Alarm) -> bool {
        match alarm {
            Alarm::Says(run) => {
                let says = &self.runs[*run];
                Some(*run) == self.ours
                    && matches!(
                        says.truth.beats.get(says.said).map(|beat| &beat.chunk),
                        Some(Chunk::Finish(_))
                    )
            }
            Alarm::Started(run) => Some(*run) == self.ours && self.runs[*run].fails_to_start,
            Alarm::FailsToStore(run) => Some(*run) == self.ours,
            Alarm::DeleteThread | Alarm::DeleteSandbox => true,
            _ => false,
        }
    }

    /// Takes the output since the last call.
    pub(crate) fn take_said(&mut self) -> Vec<(Conn, Said)> {
        std::mem::take(&mut self.said)
    }

    /// Takes the alarms since the last call.
    pub(crate) fn take_alarms(&mut self) -> Vec<(At, Alarm)> {
        std::mem::take(&mut self.alarms)
    }

    /// Disconnects a reader: the run goes on.
    pub(crate) fn leave(&mut self, conn: Conn) {
        for reader in &mut self.readers {
            if reader.conn == Some(conn) {
                reader.left = true;
            }
        }
        for run in &mut self.runs {
            run.waiting = run.waiting.filter(|waiting| *waiting != conn);
        }
    }

    // ---- Requests

    /// Handles a request, whose path names the operation.
    pub(crate) fn handle(
        &mut self,
        now: At,
        conn: Conn,
        asks: Asks,
        request: &Request<Body>,
        tally: &mut Tally,
    ) {
        if self.try_to_handle(now, conn, asks, request, tally).is_err() {
            let line = format!("{} {}", request.method(), request.uri());
            self.facts.unexpected.push(line);
            self.respond(conn, 404, Value::Null);
        }
    }

    fn try_to_handle(
        &mut self,
        now: At,
        conn: Conn,
        asks: Asks,
        request: &Request<Body>,
        tally: &mut Tally,
    ) -> Result<(), InvalidRequest> {
        match asks {
            Asks::SendMessages => {
                self.send_messages(now, conn, SendMessages::from_request(request)?);
            }
            Asks::Resume => {
                let resume = ResumeStream::from_request(request)?;
                self.resume(now, conn, resume.sandbox_id.as_str(), tally);
            }
            Asks::Cancel => {
                let cancel = CancelStream::from_request(request)?;
                self.cancel(now, conn, cancel.sandbox_id.as_str(), tally);
            }
            Asks::Look => {
                let look = GetSandbox::from_request(request)?;
                self.look(conn, look.sandbox_id.as_str());
            }
            Asks::List => {
                let list = ListThreads::from_request(request)?;
                self.list(conn, list.sandbox_id.as_str());
            }
            Asks::Get => {
                let get = GetThread::from_request(request)?;
                self.get(conn, get.sandbox_id.as_str(), get.thread_id.as_str());
            }
            Asks::CreateSandbox => {
                let _ = CreateSandbox::from_request(request)?;
                let sandbox = self.create_sandbox();
                let id = self.sandbox_id(sandbox);
                self.facts.sandboxes_created.push(id.clone());
                let body = json!({"id": id, "sandboxId": format!("e2b_{id}"), "status": "active"});
                self.respond(conn, 201, body);
            }
            Asks::DeleteSandbox => {
                let delete = DeleteSandbox::from_request(request)?;
                let Some(sandbox) = self.find_sandbox(delete.sandbox_id.as_str()) else {
                    self.no_sandbox(conn);
                    return Ok(());
                };
                self.sandboxes[sandbox].deleted = true;
                let id = self.sandbox_id(sandbox);
                self.facts.sandboxes_deleted.push(id);
                self.respond(conn, 204, Value::Null);
            }
            Asks::CreateThread => {
                let create = CreateThread::from_request(request)?;
                let Some(sandbox) = self.find_sandbox(create.sandbox_id.as_str()) else {
                    self.no_sandbox(conn);
                    return Ok(());
                };
                let id = self.create_thread(now, sandbox, Vec::new());
                self.facts.threads_created.push(id.clone());
                self.respond(conn, 201, json!({"id": id, "name": null, "status": "idle"}));
            }
        }
        Ok(())
    }

    fn respond(&mut self, conn: Conn, status: u16, body: Value) {
        let headers = Vec::new();
        self.said.push((
            conn,
            Said::Response {
                status,
                headers,
                body,
            },
        ));
    }

    fn refuse(&mut self, conn: Conn, status: u16, code: &str, message: &str) {
        self.respond(
            conn,
            status,
            json!({"error": {"code": code, "message": message}}),
        );
    }

    fn no_sandbox(&mut self, conn: Conn) {
        self.refuse(conn, 404, "sandbox_not_found", "Sandbox not found");
    }

    fn find_sandbox(&self, id: &str) -> Option<usize> {
        self.sandboxes
            .iter()
            .position(|sandbox| sandbox.id == id && !sandbox.deleted)
    }

    fn find_thread(&self, sandbox: usize, id: &str) -> Option<usize> {
        self.threads
            .iter()
            .position(|thread| thread.sandbox == sandbox && thread.id == id && !thread.deleted)
    }

    fn send_messages(&mut self, now: At, conn: Conn, send: SendMessages) {
        let Some(sandbox) = self.find_sandbox(send.sandbox_id.as_str()) else {
            // The relay would create a sandbox of this name. No flow may rely on that.
            self.facts
                .unexpected
                .push("a chat in an unknown sandbox".to_owned());
            return self.no_sandbox(conn);
        };
        let thread = send
            .thread_id
            .and_then(|id| self.find_thread(sandbox, id.as_str()));
        let Some(thread) = thread else {
            return self.refuse(conn, 404, "thread_not_found", "Thread not found");
        };
        self.facts.posts += 1;
        let Some(script) = self.script.take() else {
            return self.refuse(conn, 409, "stream_active", "A run is streaming already");
        };
        let mut messages = send.messages.as_slice().iter().rev();
        let user = messages.find(|message| message.role == Role::User);
        let user = user.map(|message| serde_json::to_value(message).unwrap());
        let background = matches!(send.mode, Some(Mode::Background));
        let run = self.begin(now, thread, script, user);
        self.ours = Some(run);
        if background {
            let ids = (&self.threads[thread].id, &self.sandboxes[sandbox].id);
            let body = json!({"threadId": ids.0, "sandboxId": ids.1, "status": "running"});
            self.respond(conn, 202, body);
        } else {
            self.runs[run].waiting = Some(conn);
        }
    }

    fn begin(&mut self, now: At, thread: usize, script: Script, user: Option<Value>) -> RunId {
        let run = self.runs.len();
        self.threads[thread].status = "streaming";
        self.threads[thread].error = None;
        self.runs.push(Run {
            thread,
            truth: script.truth,
            fails_to_start: script.fails_to_start,
            user,
            phase: Phase::Starting,
            waiting: None,
            said: 0,
            message_id: format!("msg_{run}"),
            stored: None,
        });
        self.alarms
            .push((now + script.starting, Alarm::Started(run)));
        run
    }

    /// Returns the run of the thread that resuming and cancelling mean.
    fn newest_streaming(&self, sandbox: usize) -> Option<RunId> {
        let streaming = |thread: &Thread| {
            thread.sandbox == sandbox && thread.status == "streaming" && !thread.deleted
        };
        let (newest, _) = self
            .threads
            .iter()
            .enumerate()
            .filter(|(_, thread)| streaming(thread))
            .max_by_key(|(index, thread)| (thread.created, *index))?;
        self.runs.iter().rposition(|run| run.thread == newest)
    }

    fn resume(&mut self, now: At, conn: Conn, sandbox: &str, tally: &mut Tally) {
        let Some(sandbox) = self.find_sandbox(sandbox) else {
            return self.no_sandbox(conn);
        };
        let found = self.newest_streaming(sandbox);
        let Some(run) = found.filter(|run| self.runs[*run].phase == Phase::Live) else {
            if found.is_some() {
                tally.struck(Fault::ResumedWhileStarting);
            }
            return self.respond(conn, 204, Value::Null);
        };
        if self.rng.percent(self.habits.denies) {
            tally.struck(Fault::Denied);
            return self.respond(conn, 204, Value::Null);
        }
        self.said.push((conn, Said::Opened));
        let replays = self.rng.percent(self.habits.replays);
        if self.runs[run].said > 0 {
            tally.struck(if replays {
                Fault::Replay
            } else {
                Fault::JoinInTheMiddle
            });
        }
        self.join(now, run, Some(conn), replays);
    }

    /// Adds a second reader of a run.
    fn join(&mut self, now: At, run: RunId, conn: Option<Conn>, replays: bool) {
        let said = self.runs[run].said;
        let message_id = format!("msg_{run}_{}", self.readers.len());
        let held = (said > 0).then(Vec::new);
        let view = if replays {
            View::Replay
        } else {
            View::Joined(Joined {
                missed: said,
                held,
                ..Joined::default()
            })
        };
        let reader = self.readers.len();
        self.readers.push(Reader {
            run,
            conn,
            view,
            message_id,
            left: false,
        });
        self.say_start(reader);
        if replays {
            let truth = Rc::clone(&self.runs[run].truth);
            let past: Vec<_> = truth.chunks().take(said).cloned().collect();
            for chunk in recut(&past, &mut self.rng) {
                self.tell(now, reader, &chunk);
            }
        }
    }

    fn cancel(&mut self, now: At, conn: Conn, sandbox: &str, tally: &mut Tally) {
        let Some(sandbox) = self.find_sandbox(sandbox) else {
            return self.no_sandbox(conn);
        };
        let idle = json!({"ok": true, "status": "idle"});
        let Some(run) = self.newest_streaming(sandbox) else {
            return self.respond(conn, 200, idle);
        };
        if self.runs[run].phase != Phase::Live {
            tally.struck(Fault::CancelledWhileStarting);
            return self.respond(conn, 200, idle);
        }
        tally.struck(Fault::CancelledWhileStreaming);
        self.facts.cancelled.push(run);
        self.runs[run].phase = Phase::Cancelled;
        let thread = &mut self.threads[self.runs[run].thread];
        thread.status = "cancelled";
        thread.error = Some("cancelled: cancelled by user".to_owned());
        for reader in 0..self.readers.len() {
            if self.readers[reader].run == run {
                self.say_cancelled(now, reader, tally);
            }
        }
        if self.rng.percent(20) {
            self.respond(conn, 204, Value::Null);
        } else {
            let stream_id = format!("stream_{run}");
            self.respond(
                conn,
                200,
                json!({"ok": true, "status": "cancelled", "streamId": stream_id}),
            );
        }
    }

    fn say_cancelled(&mut self, now: At, reader: usize, tally: &mut Tally) {
        // Chunks that are held back are lost.
        self.readers[reader].view = View::First;
        if self.rng.percent(self.habits.tells_cancelled) {
            tally.struck(Fault::CancelledInWords);
            let metadata = MessageMetadata::new().message_metadata(RawJson::from(json!({})));
            for chunk in [
                Error::new("cancelled").into(),
                metadata.into(),
                Finish::new().into(),
            ] {
                self.tell(now, reader, &chunk);
            }
        } else {
            tally.struck(Fault::CancelledByDone);
        }
        self.alarms.push((now, Alarm::Done(reader)));
    }

    fn look(&mut self, conn: Conn, id: &str) {
        let Some(sandbox) = self.find_sandbox(id) else {
            return self.no_sandbox(conn);
        };
        let threads = self.listed(sandbox);
        let agent = json!({"slug": AGENT, "name": null});
        let body = json!({"id": id, "status": "active", "agent": agent, "threads": threads});
        self.respond(conn, 200, body);
    }

    fn list(&mut self, conn: Conn, sandbox: &str) {
        let Some(sandbox) = self.find_sandbox(sandbox) else {
            return self.no_sandbox(conn);
        };
        let list = self.listed(sandbox);
        self.respond(conn, 200, list);
    }

    /// Returns the threads of a sandbox, newest first.
    fn listed(&self, sandbox: usize) -> Value {
        let mut threads: Vec<_> = self
            .threads
            .iter()
            .enumerate()
            .filter(|(_, thread)| thread.sandbox == sandbox && !thread.deleted)
            .collect();
        threads.sort_by_key(|(index, thread)| std::cmp::Reverse((thread.created, *index)));
        let list = threads.into_iter().map(|(_, thread)| {
            json!({"id": thread.id, "name": null, "status": thread.status, "createdAt": timestamp(thread.created)})
        });
        list.collect()
    }

    fn get(&mut self, conn: Conn, sandbox: &str, thread: &str) {
        let Some(sandbox) = self.find_sandbox(sandbox) else {
            return self.no_sandbox(conn);
        };
        let Some(thread) = self.find_thread(sandbox, thread) else {
            return self.refuse(conn, 404, "thread_not_found", "Thread not found");
        };
        let thread = &self.threads[thread];
        let messages = match &*thread.messages {
            [] => Value::Null,
            messages => messages.into(),
        };
        let body = json!({
            "id": thread.id, "name": null, "status": thread.status, "messages": messages, "usage": thread.usage,
            "error": thread.error, "createdAt": timestamp(thread.created),
        });
        self.respond(conn, 200, body);
    }

    // ---- What happens by itself

    pub(crate) fn wake(&mut self, now: At, alarm: Alarm, tally: &mut Tally) {
        match alarm {
            Alarm::Started(run) => self.started(now, run),
            Alarm::Says(run) => self.says(now, run, tally),
            Alarm::FailsToStore(run) => self.fails_to_store(run),
            Alarm::Release(reader) => self.release(now, reader),
            Alarm::Done(reader) => {
                self.say(reader, encode_done(), Mark::Done);
                self.say_end(reader);
            }
            Alarm::Begin {
                thread,
                script,
                user,
                ours,
            } => {
                let thread = match thread {
                    // In the first sandbox, which is ours.
                    None => self.create_thread(now, 0, Vec::new()),
                    Some(thread) => thread,
                };
                let found = self.threads.iter().position(|other| other.id == thread);
                let idle = |thread: &usize| self.threads[*thread].status != "streaming";
                if let Some(thread) = found.filter(idle) {
                    let run = self.begin(now, thread, script, user);
                    let is_next = self
                        .ours
                        .is_some_and(|ours| self.runs[ours].thread == thread);
                    match (ours, is_next) {
                        (true, _) => self.ours = Some(run),
                        (false, true) => tally.struck(Fault::NextTurn),
                        (false, false) => tally.struck(Fault::AnotherRun),
                    }
                }
            }
            Alarm::ForeignReader => {
                if let Some(run) = self.ours.filter(|run| self.runs[*run].phase == Phase::Live) {
                    tally.struck(Fault::ForeignReader);
                    self.join(now, run, None, false);
                }
            }
            Alarm::DeleteThread => {
                if let Some(run) = self.ours {
                    tally.struck(Fault::ThreadDeleted);
                    let thread = self.runs[run].thread;
                    self.threads[thread].deleted = true;
                }
            }
            Alarm::DeleteSandbox => {
                if let Some(run) = self.ours {
                    tally.struck(Fault::SandboxDeleted);
                    let sandbox = self.threads[self.runs[run].thread].sandbox;
                    self.sandboxes[sandbox].deleted = true;
                }
            }
        }
    }

    fn started(&mut self, now: At, run: RunId) {
        let waiting = self.runs[run].waiting.take();
        if self.runs[run].fails_to_start {
            self.runs[run].phase = Phase::Failed;
            let thread = &mut self.threads[self.runs[run].thread];
            thread.status = "error";
            thread.error = Some(
                "sandbox_error: Runtime did not start: failed to load agent bundle".to_owned(),
            );
            if let Some(conn) = waiting {
                self.refuse(
                    conn,
                    502,
                    "sandbox_error",
                    "Runtime did not start: failed to load agent bundle",
                );
            }
            return;
        }
        self.runs[run].phase = Phase::Live;
        if let Some(conn) = waiting {
            let message_id = self.runs[run].message_id.clone();
            self.said.push((conn, Said::Opened));
            self.readers.push(Reader {
                run,
                conn: Some(conn),
                view: View::First,
                message_id,
                left: false,
            });
            self.say_start(self.readers.len() - 1);
        }
        self.schedule_next(now, run);
    }

    fn schedule_next(&mut self, now: At, run: RunId) {
        let next = &self.runs[run];
        if let Some(beat) = next.truth.beats.get(next.said) {
            self.alarms.push((now + beat.after, Alarm::Says(run)));
        }
    }

    fn says(&mut self, now: At, run: RunId, tally: &mut Tally) {
        if self.runs[run].phase != Phase::Live {
            return;
        }
        let truth = Rc::clone(&self.runs[run].truth);
        let Some(beat) = truth.beats.get(self.runs[run].said) else {
            return;
        };
        self.runs[run].said += 1;
        let is_last = matches!(beat.chunk, Chunk::Finish(_));
        if is_last && truth.end == End::Completes {
            self.store(run, tally);
            self.schedule_next_turn(now, run);
        }
        for reader in 0..self.readers.len() {
            if self.readers[reader].run == run {
                self.tell(now, reader, &beat.chunk);
            }
        }
        if is_last {
            self.finished(now, run);
        } else {
            self.schedule_next(now, run);
            if self.runs[run].said == truth.beats.len() {
                tally.struck(Fault::DeadRuntime);
            }
        }
    }

    /// Schedules the next turn. A run that was stored with its question is recognized by it, whatever follows in its thread.
    /// Others cannot be.
    fn schedule_next_turn(&mut self, now: At, run: RunId) {
        let stored = self.runs[run].stored.as_ref();
        if Some(run) != self.ours || !stored.is_some_and(|stored| stored.with_user_message) {
            return;
        }
        if let Some((after, script)) = self.next_turn.take() {
            let thread = self.threads[self.runs[run].thread].id.clone();
            let user = json!({"id": "next", "role": "user", "parts": [{"type": "text", "text": "And now?"}]});
            let begin = Alarm::Begin {
                thread: Some(thread),
                script,
                user: Some(user),
                ours: false,
            };
            self.alarms.push((now + after, begin));
        }
    }

    /// Handles the sending of `finish`.
    fn finished(&mut self, now: At, run: RunId) {
        let truth = Rc::clone(&self.runs[run].truth);
        match &truth.end {
            End::Completes | End::Dies => {}
            End::Fails { thread_error, .. } => {
                self.runs[run].phase = Phase::Failed;
                let thread = &mut self.threads[self.runs[run].thread];
                thread.status = "error";
                thread.error = Some(thread_error.clone());
            }
            End::FailsInStorage { .. } => {
                self.runs[run].phase = Phase::Storing;
                let at = now + self.rng.millis(0, 1500);
                self.alarms.push((at, Alarm::FailsToStore(run)));
                return;
            }
        }
        for reader in 0..self.readers.len() {
            let holds =
                matches!(&self.readers[reader].view, View::Joined(joined) if joined.held.is_some());
            if self.readers[reader].run == run && !holds {
                let delay = match self.readers[reader].view {
                    View::Joined(_) => self.rng.millis(0, 10),
                    _ => self.rng.millis(0, 1500),
                };
                self.alarms.push((now + delay, Alarm::Done(reader)));
            }
        }
    }

    fn fails_to_store(&mut self, run: RunId) {
        if self.runs[run].phase != Phase::Storing {
            return;
        }
        self.runs[run].phase = Phase::Failed;
        if let End::FailsInStorage { thread_error } = &self.runs[run].truth.end {
            let thread = &mut self.threads[self.runs[run].thread];
            thread.status = "error";
            thread.error = Some(thread_error.clone());
        }
        for reader in 0..self.readers.len() {
            if self.readers[reader].run == run {
                self.say_end(reader);
            }
        }
    }

    /// Completes the run: one of its readers stores it.
    fn store(&mut self, run: RunId, tally: &mut Tally) {
        self.runs[run].phase = Phase::Completed;
        let thread = self.runs[run].thread;
        self.threads[thread].status = "completed";
        let truth = Rc::clone(&self.runs[run].truth);
        if Some(run) != self.ours {
            // It has no readers.
            let message_id = self.runs[run].message_id.clone();
            let user = self.runs[run].user.clone();
            let answer =
                json!({"id": message_id, "role": "assistant", "parts": truth.message.parts});
            let thread = &mut self.threads[thread];
            thread.usage = truth.usage;
            thread.messages.extend(user);
            thread.messages.push(answer);
            return;
        }
        let resumed = self.readers.iter().rposition(|reader| {
            reader.run == run && !reader.left && !matches!(reader.view, View::First)
        });
        let winner = resumed.filter(|_| self.rng.percent(self.habits.resumed_stores));
        let finish: Chunk<'static> = Finish::new().into();
        let (mut message, id, whole) = match winner.map(|reader| &self.readers[reader]) {
            None => (
                truth.message.clone(),
                self.runs[run].message_id.clone(),
                true,
            ),
            Some(reader) => match &reader.view {
                View::Joined(joined) => (
                    assembled(joined.seen.iter().chain([&finish])),
                    reader.message_id.clone(),
                    joined.missed == 0,
                ),
                _ => {
                    let chunks: Vec<_> = truth
                        .chunks()
                        .map(|chunk| renamed(chunk.clone(), &reader.message_id))
                        .collect();
                    (assembled(&chunks), reader.message_id.clone(), true)
                }
            },
        };
        message.id = Some(id.into());
        if winner.is_some() {
            tally.struck(if whole {
                Fault::UserMessageLost
            } else {
                Fault::StoredTail
            });
        }
        let user = self.runs[run].user.clone().filter(|_| winner.is_none());
        let thread = &mut self.threads[thread];
        thread.usage = truth.usage;
        let with_user_message = user.is_some();
        thread.messages.extend(user);
        thread
            .messages
            .push(serde_json::to_value(&message).unwrap());
        self.runs[run].stored = Some(Stored {
            message,
            whole,
            with_user_message,
        });
    }

    // ---- What readers hear

    fn say(&mut self, reader: usize, event: Bytes, mark: Mark) {
        let reader = &self.readers[reader];
        if let Some(conn) = reader.conn.filter(|_| !reader.left) {
            self.said.push((conn, Said::Event(event, mark)));
        }
    }

    fn say_start(&mut self, reader: usize) {
        let id = self.readers[reader].message_id.clone();
        let start: Chunk<'static> = Start::new().message_id(id.clone()).into();
        self.say(reader, start.encode_event(), Mark::Start(id));
    }

    fn say_chunk(&mut self, reader: usize, chunk: &Chunk<'static>) {
        let mark = match chunk {
            Chunk::Finish(_) => Mark::Finish,
            Chunk::Error(_) => Mark::Error,
            _ => Mark::Other,
        };
        self.say(reader, chunk.encode_event(), mark);
    }

    fn say_end(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        if let Some(conn) = reader.conn.filter(|_| !reader.left) {
            self.said.push((conn, Said::Ended));
        }
        reader.left = true;
    }

    /// Sends a chunk to a reader, with the reader's own ids.
    fn tell(&mut self, now: At, reader: usize, chunk: &Chunk<'static>) {
        if self.readers[reader].left {
            return;
        }
        let id = self.readers[reader].message_id.clone();
        match &mut self.readers[reader].view {
            View::First => self.say_chunk(reader, chunk),
            View::Replay => self.say_chunk(reader, &renamed(chunk.clone(), &id)),
            View::Joined(joined) => {
                let heard: Vec<_> = joined
                    .hear(chunk)
                    .into_iter()
                    .map(|chunk| renamed(chunk, &id))
                    .collect();
                joined.seen.extend(heard.iter().cloned());
                joined.last_news = now;
                match &mut joined.held {
                    Some(held) => {
                        held.extend(heard);
                        self.alarms.push((now + HOLD, Alarm::Release(reader)));
                    }
                    None => {
                        for chunk in &heard {
                            self.say_chunk(reader, chunk);
                        }
                    }
                }
            }
        }
    }

    fn release(&mut self, now: At, reader: usize) {
        let View::Joined(joined) = &mut self.readers[reader].view else {
            return;
        };
        if now < joined.last_news + HOLD {
            return;
        }
        let Some(held) = joined.held.take() else {
            return;
        };
        let is_last = matches!(held.last(), Some(Chunk::Finish(_)));
        for chunk in &held {
            self.say_chunk(reader, chunk);
        }
        if is_last {
            let fails = self.runs[self.readers[reader].run].truth.end.clone();
            if matches!(fails, End::FailsInStorage { .. }) {
                self.say_end(reader);
            } else {
                self.alarms.push((now, Alarm::Done(reader)));
            }
        }
    }
}

impl Joined {
    /// Returns the part of a chunk that a reader that joined in the middle gets.
    fn hear(&mut self, chunk: &Chunk<'static>) -> Vec<Chunk<'static>> {
        let mut heard = Vec::with_capacity(2);
        match chunk {
            Chunk::TextStart(start) => self.opened.push(start.id.clone()),
            Chunk::ReasoningStart(start) => self.opened.push(start.id.clone()),
            Chunk::TextDelta(delta) if !self.opened.contains(&delta.id) => {
                self.opened.push(delta.id.clone());
                heard.push(TextStart::new(delta.id.clone()).into());
            }
            Chunk::ReasoningDelta(delta) if !self.opened.contains(&delta.id) => {
                self.opened.push(delta.id.clone());
                heard.push(ReasoningStart::new(delta.id.clone()).into());
            }
            Chunk::TextEnd(end) if !self.opened.contains(&end.id) => return heard,
            Chunk::ReasoningEnd(end) if !self.opened.contains(&end.id) => return heard,
            Chunk::ToolInputStart(start) => self.begun.push(start.tool_call_id.clone()),
            Chunk::ToolInputDelta(delta) if !self.begun.contains(&delta.tool_call_id) => {
                return heard;
            }
            Chunk::ToolInputAvailable(input) => self.announced.push(input.tool_call_id.clone()),
            Chunk::ToolOutputAvailable(output)
                if !self.announced.contains(&output.tool_call_id) =>
            {
                return heard;
            }
            Chunk::ToolOutputError(output) if !self.announced.contains(&output.tool_call_id) => {
                return heard;
            }
            _ => {}
        }
        heard.push(chunk.clone());
        heard
    }
}

/// Returns a chunk with the text ids of another reader.
fn renamed(mut chunk: Chunk<'static>, reader: &str) -> Chunk<'static> {
    let rename = |id: &mut Text<'static>| *id = format!("{}@{reader}", id.to_string_lossy()).into();
    match &mut chunk {
        Chunk::TextStart(chunk) => rename(&mut chunk.id),
        Chunk::TextDelta(chunk) => rename(&mut chunk.id),
        Chunk::TextEnd(chunk) => rename(&mut chunk.id),
        Chunk::ReasoningStart(chunk) => rename(&mut chunk.id),
        Chunk::ReasoningDelta(chunk) => rename(&mut chunk.id),
        Chunk::ReasoningEnd(chunk) => rename(&mut chunk.id),
        Chunk::MessageMetadata(chunk) => {
            let metadata = chunk.message_metadata.as_ref();
            let value = metadata.and_then(|metadata| metadata.deserialize::<Value>().ok());
            if let Some(mut value) = value.filter(|value| value["finalTextId"].is_string()) {
                let id = value["finalTextId"].as_str().unwrap_or_default();
                value["finalTextId"] = format!("{id}@{reader}").into();
                chunk.message_metadata = Some(RawJson::from(value));
            }
        }
        _ => {}
    }
    chunk
}

/// Returns the same chunks with deltas that are split differently.
fn recut(chunks: &[Chunk<'static>], rng: &mut Rng) -> Vec<Chunk<'static>> {
    let longest = *rng.pick(&[1, 7, 30, 1000]);
    let mut out = Vec::new();
    let mut rest = chunks;
    while let Some(first) = rest.first() {
        let Some((kind, id, _)) = delta(first) else {
            out.push(first.clone());
            rest = &rest[1..];
            continue;
        };
        let same = |chunk: &&Chunk<'static>| matches!(delta(chunk), Some((other, other_id, _)) if other == kind && other_id == id);
        let length = rest.iter().take_while(same).count();
        let units: Vec<u16> = rest[..length]
            .iter()
            .filter_map(delta)
            .flat_map(|(_, _, text)| text.to_code_units())
            .collect();
        for piece in rng.cut(&units, longest.max(units.len() / 30)) {
            let (id, text) = (id.clone(), Text::from_code_units(piece));
            out.push(match kind {
                'r' => ReasoningDelta::new(id, text).into(),
                'i' => ToolInputDelta::new(id, text).into(),
                _ => TextDelta::new(id, text).into(),
            });
        }
        rest = &rest[length..];
    }
    out
}

/// Returns the part that a delta belongs to, and its text.
fn delta<'c>(chunk: &'c Chunk<'static>) -> Option<(char, &'c Text<'static>, &'c Text<'static>)> {
    match chunk {
        Chunk::TextDelta(chunk) => Some(('t', &chunk.id, &chunk.delta)),
        Chunk::ReasoningDelta(chunk) => Some(('r', &chunk.id, &chunk.delta)),
        Chunk::ToolInputDelta(chunk) => Some(('i', &chunk.tool_call_id, &chunk.input_text_delta)),
        _ => None,
    }
}

fn timestamp(at: At) -> String {
    Timestamp::from(wall(at)).to_string()
}

/// Returns the wall clock at a time of the simulation.
pub(crate) fn wall(at: At) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000) + at
}
