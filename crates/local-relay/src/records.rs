//! The relay's database: sandboxes with their threads, in memory.
//!
//! ```text
//!   Relay ─► Record: a sandbox of one agent ─► State ─► StoredThread ─► Stream: the run that streams, if any
//!               └─► Sandbox: files and processes
//! ```
//!
//! A record stays in its list until it is deleted. Runs hold it too, so a run that outlives its sandbox finds no thread and stores
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use twentyfirst_protocol::threads::{Thread, ThreadStatus, ThreadSummary};
use twentyfirst_protocol::{MachineId, SandboxId, ThreadId, Timestamp};
use uuid::Uuid;

use crate::relay::Relay;
use crate::responses::Refusal;
use crate::runs::Stream;
use crate::sandbox::Sandbox;

/// A sandbox in the relay's database.
pub(crate) struct Record {
    pub(crate) id: SandboxId,
    pub(crate) machine_id: MachineId,
    pub(crate) team: String,
    pub(crate) agent: String,
    pub(crate) sandbox: Sandbox,
    pub(crate) created_at: Timestamp,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// The error of the last run, if it failed.
    pub(crate) error: Option<String>,
    pub(crate) updated_at: Timestamp,
    /// The threads, in the order of their creation.
    pub(crate) threads: Vec<StoredThread>,
    pub(crate) spent_usd: f64,
}

/// A thread in the relay's database.
pub(crate) struct StoredThread {
    pub(crate) thread: Thread,
    /// The run that streams. `None` during its start-up.
    pub(crate) stream: Option<Arc<Stream>>,
    /// The agent's session, once a run has been stored.
    pub(crate) session: Option<String>,
}

impl StoredThread {
    fn new(name: Option<String>) -> Option<Self> {
        let now = Timestamp::from(SystemTime::now());
        let id = ThreadId::new(Uuid::new_v4().to_string()).ok()?;
        let mut thread = Thread::new(id, ThreadStatus::Idle);
        thread.name = name;
        thread.created_at = Some(now.clone());
        thread.updated_at = Some(now);
        Some(Self {
            thread,
            stream: None,
            session: None,
        })
    }

    pub(crate) fn is_streamed_by(&self, stream: &Arc<Stream>) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, stream))
    }

    /// Returns the thread without its messages. The relay includes `updatedAt` in lists of threads, but not in a sandbox or in the
    /// response to creating a thread.
    pub(crate) fn summary(&self, with_update: bool) -> ThreadSummary {
        let mut summary = ThreadSummary::new(self.thread.id.clone(), self.thread.status.clone());
        summary.name.clone_from(&self.thread.name);
        summary.created_at.clone_from(&self.thread.created_at);
        if with_update {
            summary.updated_at.clone_from(&self.thread.updated_at);
        }
        summary
    }
}

impl Record {
    /// Returns whether this is the agent's sandbox with this id.
    pub(crate) fn is(&self, id: &SandboxId, agent: &str) -> bool {
        self.id == *id && self.agent == agent
    }

    pub(crate) fn change<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn with_thread<T>(
        &self,
        id: &ThreadId,
        action: impl FnOnce(&mut StoredThread) -> T,
    ) -> Option<T> {
        self.change(|state| {
            let thread = state
                .threads
                .iter_mut()
                .find(|thread| thread.thread.id == *id)?;
            Some(action(thread))
        })
    }

    /// Creates a thread. Returns `None` only if its new id is invalid.
    pub(crate) fn add_thread(&self, name: Option<String>) -> Option<ThreadSummary> {
        let thread = StoredThread::new(name)?;
        let summary = thread.summary(false);
        self.change(|state| state.threads.push(thread));
        Some(summary)
    }
}

impl Relay {
    /// Returns the team's sandbox with this id. If several agents have one, returns the oldest. The relay returns any of them.
    pub(crate) fn record(&self, id: &SandboxId, team: &str) -> Result<Arc<Record>, Refusal> {
        self.records()
            .iter()
            .find(|record| record.id == *id && record.team == team)
            .cloned()
            .ok_or_else(|| Refusal::sandbox_not_found(id.as_str()))
    }

    /// Creates a sandbox for an agent, or returns the one that another request has created in the meantime.
    pub(crate) async fn create_sandbox(
        &self,
        id: SandboxId,
        team: &str,
        slug: &str,
        envs: BTreeMap<String, String>,
    ) -> Result<Arc<Record>, Refusal> {
        let agent = self.agent(slug)?;
        // The variables of the sandbox replace those of the agent.
        let mut all = agent.envs.clone();
        all.extend(envs);
        let failed = |error: std::io::Error| Refusal::internal(error.to_string());
        let sandbox = Sandbox::create(id.clone(), self.confinement.clone(), all)
            .await
            .map_err(failed)?;
        let machine_id = MachineId::new(format!("local-{}", Uuid::new_v4().simple()))
            .map_err(|error| Refusal::internal(error.to_string()))?;
        let now = Timestamp::from(SystemTime::now());
        let record = Arc::new(Record {
            id: id.clone(),
            machine_id,
            team: team.to_owned(),
            agent: slug.to_owned(),
            sandbox,
            created_at: now.clone(),
            state: Mutex::new(State {
                error: None,
                updated_at: now,
                threads: Vec::new(),
                spent_usd: 0.0,
            }),
        });
        // Two chats may name the same new sandbox at the same time. The first one wins, and both use it.
        let kept = {
            let mut records = self.records();
            let known = records.iter().find(|known| known.is(&id, slug)).cloned();
            known.unwrap_or_else(|| {
                records.push(Arc::clone(&record));
                Arc::clone(&record)
            })
        };
        if !Arc::ptr_eq(&kept, &record) {
            record.sandbox.close().await;
        }
        Ok(kept)
    }
}

pub(crate) fn new_id() -> Result<SandboxId, Refusal> {
    SandboxId::new(Uuid::new_v4().to_string()).map_err(|error| Refusal::internal(error.to_string()))
}
