//! The relay's handle, its builder, and its start and end.
//!
//! ```text
//!   start ─► thread "local-relay" ─► runtime ─► open: listener, old files, isolation ─► serve ◄── requests
//!     ▲            │                                     │                                │
//!     └── address, or the error ◄────────────────────────┘                                │ stop, sent by the drop
//!                                                                                         ▼
//!   drop returns ◄── thread ends ◄── runtime ends ◄── close: runs, then processes, then files
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use twentyfirst_protocol::RelayAccess;

use crate::agents::Agent;
use crate::auth::Key;
use crate::faults::{Fault, Faults};
use crate::records::Record;
use crate::responses::Refusal;
use crate::sandbox::{Confinement, Isolation};
use crate::server;
use crate::tokens::Signer;
use crate::vaults::Vaults;

/// The key of a relay without configured keys.
const DEFAULT_KEY: &str = "21st_sk_local";

/// The time limit for work on files that is still running when the relay ends.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(2);

/// A relay in this process, on its own thread, that listens on loopback.
///
/// It has the agents `echo` and `shell`, and those of the builder. The drop ends its processes and removes its files before it returns.
/// If the process is killed instead, the next relay that starts removes the files.
#[must_use = "the relay ends when this is dropped"]
pub struct LocalRelay {
    address: SocketAddr,
    url: String,
    api_key: String,
    isolation: Isolation,
    faults: Arc<Faults>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Lets `AgentClient::of(&relay)` connect.
impl RelayAccess for LocalRelay {
    fn base_url(&self) -> &str {
        self.url()
    }

    fn api_key(&self) -> &str {
        self.api_key()
    }
}

impl LocalRelay {
    /// Starts a relay with the defaults.
    ///
    /// # Errors
    /// Fails if there is no free port or if no thread can be started.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder, for your own agents, keys and faults.
    pub fn builder() -> LocalRelayBuilder {
        LocalRelayBuilder::default()
    }

    /// Returns the base URL for clients: `http://127.0.0.1:` and the port.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first key of the builder: `21st_sk_local` by default.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Returns the isolation of commands from this machine.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Adds a fault. It strikes requests, runs and streams that begin after this call. If several faults could strike a request, the one
    /// added first does.
    pub fn inject(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Removes all faults. None of them strikes any more, not even an open stream. Silenced streams stay silent.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Ends the relay. Dropping it does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for LocalRelay {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        // Wait for the end: a test may check right after the drop that nothing is left.
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl fmt::Debug for LocalRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRelay")
            .field("url", &self.url)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

/// The settings of a [`LocalRelay`].
#[derive(Debug)]
#[must_use]
pub struct LocalRelayBuilder {
    port: u16,
    agents: BTreeMap<String, Agent>,
    keys: Vec<Key>,
    origins: Vec<String>,
    done_delay: Duration,
    hold_back: Duration,
    isolation: Option<Isolation>,
    speaks_http2: bool,
    faults: Arc<Faults>,
}

impl Default for LocalRelayBuilder {
    fn default() -> Self {
        let agents = [("echo", Agent::echo()), ("shell", Agent::shell())];
        Self {
            port: 0,
            agents: agents
                .map(|(slug, agent)| (slug.to_owned(), agent))
                .into_iter()
                .collect(),
            keys: Vec::new(),
            origins: Vec::new(),
            done_delay: Duration::from_millis(20),
            hold_back: Duration::from_millis(500),
            isolation: None,
            speaks_http2: false,
            faults: Arc::default(),
        }
    }
}

impl LocalRelayBuilder {
    /// Sets the port: any free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds an agent under a slug. It replaces an agent with this slug.
    pub fn agent(mut self, slug: impl Into<String>, agent: impl Into<Agent>) -> Self {
        self.agents.insert(slug.into(), agent.into());
        self
    }

    /// Adds a key: `21st_sk_local` by default. The relay refuses all other keys, and also the default once a key was added.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Gives access to the web pages of an origin. Write it as browsers do, such as `https://preview.example.com`.
    ///
    /// Pages of this machine always have access: those of `localhost`, `127.0.0.0/8` and `[::1]`, at any port. The real relay gives
    /// access to every page.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Sets the delay between `finish` and `[DONE]`: 20 ms by default. The real relay takes 0.5 to 1.5 s.
    pub fn done_delay(mut self, delay: Duration) -> Self {
        self.done_delay = delay;
        self
    }

    /// Sets the silence that ends the hold-back: 500 ms by default, 5 s at the real relay.
    ///
    /// A reader that joins a run in the middle gets only `start` until the run has been silent for this time. Zero turns this off.
    pub fn hold_back(mut self, silence: Duration) -> Self {
        self.hold_back = silence;
        self
    }

    /// Sets the isolation of commands from this machine: see the table at [`Isolation`].
    ///
    /// The default is [`Namespaces`](Isolation::Namespaces). If the system does not allow these, commands are
    /// [`Unconfined`](Isolation::Unconfined), or [refused](Isolation::NoCommands) if the relay runs as root: ask for unconfined commands
    /// of root explicitly. A line on standard error reports unconfined and refused commands.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Speaks HTTP/2 without TLS instead of HTTP/1.1, for clients that expect it. A connection allows 200 concurrent streams. A
    /// [fault](Fault) that cuts a connection ends all of them.
    pub fn http2(mut self) -> Self {
        self.speaks_http2 = true;
        self
    }

    /// Adds a fault from the start. [`LocalRelay::inject`] adds one later.
    pub fn fault(self, fault: Fault) -> Self {
        self.faults.add(fault);
        self
    }

    /// Starts the relay.
    ///
    /// # Errors
    /// - [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported), with the reason, if [`Isolation::Namespaces`] was requested and the
    ///   system does not allow it.
    /// - Other kinds if the port is taken or if no thread can be started.
    pub fn start(self) -> io::Result<LocalRelay> {
        let api_key = self
            .keys
            .first()
            .map_or_else(|| DEFAULT_KEY.to_owned(), |key| key.text.clone());
        let faults = Arc::clone(&self.faults);
        // The relay has its own thread and runtime, so that it works in a program without tokio and in a test that blocks.
        let (ready, started) = sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("local-relay".to_owned())
            .spawn(move || self.serve(&ready, stopped))?;
        let (address, isolation) = started.recv().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the relay's thread ended before the relay had started",
            ))
        })?;
        Ok(LocalRelay {
            address,
            url: format!("http://{address}"),
            api_key,
            isolation,
            faults,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn serve(
        self,
        ready: &std::sync::mpsc::SyncSender<io::Result<(SocketAddr, Isolation)>>,
        stopped: oneshot::Receiver<()>,
    ) {
        // Before the runtime starts its threads, which inherit the keyring.
        crate::sandbox::leave_session_keyring();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("local-relay")
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                ready.send(Err(error)).ok();
                return;
            }
        };
        runtime.block_on(async {
            let (listener, relay) = match self.open().await {
                Ok(opened) => opened,
                Err(error) => {
                    ready.send(Err(error)).ok();
                    return;
                }
            };
            let isolation = relay.confinement.isolation();
            ready
                .send(listener.local_addr().map(|address| (address, isolation)))
                .ok();
            server::serve(listener, &relay, stopped).await;
            relay.close().await;
        });
        // Work on files cannot be interrupted, and may hang for ever.
        runtime.shutdown_timeout(LONGEST_SHUTDOWN);
    }

    async fn open(self) -> io::Result<(TcpListener, Arc<Relay>)> {
        // Loopback only: whoever reaches the relay can run commands on this machine.
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        tokio::task::spawn_blocking(crate::sandbox::remove_abandoned).await?;
        let confinement = Confinement::choose(self.isolation).await?;
        let mut keys = self.keys;
        if keys.is_empty() {
            keys.push(Key::new(DEFAULT_KEY));
        }
        let relay = Relay {
            agents: self.agents,
            keys,
            origins: self.origins,
            signer: Signer::random(),
            confinement,
            done_delay: self.done_delay,
            hold_back: self.hold_back,
            speaks_http2: self.speaks_http2,
            faults: self.faults,
            vaults: Vaults::default(),
            records: Mutex::default(),
            tasks: Mutex::default(),
            restarts: Notify::new(),
        };
        Ok((listener, Arc::new(relay)))
    }
}

/// The state that all requests to a relay share.
pub(crate) struct Relay {
    agents: BTreeMap<String, Agent>,
    pub(crate) keys: Vec<Key>,
    /// The origins with access, besides those of this machine.
    pub(crate) origins: Vec<String>,
    pub(crate) signer: Signer,
    pub(crate) confinement: Confinement,
    pub(crate) done_delay: Duration,
    pub(crate) hold_back: Duration,
    pub(crate) speaks_http2: bool,
    pub(crate) faults: Arc<Faults>,
    pub(crate) vaults: Vaults,
    /// The sandboxes, in the order of their creation. Ids are unique per agent only.
    records: Mutex<Vec<Arc<Record>>>,
    tasks: Mutex<JoinSet<()>>,
    restarts: Notify,
}

impl Relay {
    pub(crate) fn agent(&self, slug: &str) -> Result<&Agent, Refusal> {
        self.agents
            .get(slug)
            .ok_or_else(|| Refusal::agent_not_found(slug))
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns a task that ends with the relay at the latest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Collect finished tasks, which would otherwise add up.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Has the effects of a restart of the relay's process on connections and runs.
    pub(crate) fn restart(&self) {
        self.restarts.notify_waiters();
        // A copy: the list must not stay locked while each record is.
        let records: Vec<_> = self.records().clone();
        for record in records {
            record.change(|state| {
                let streams = state
                    .threads
                    .iter()
                    .filter_map(|thread| thread.stream.as_ref());
                streams.for_each(|stream| stream.journal.abandon());
            });
        }
    }

    /// Completes at the next restart after this call.
    pub(crate) fn restarted(&self) -> Notified<'_> {
        self.restarts.notified()
    }

    /// Ends all runs, then all processes, and then removes all files. In this order: a run could start a process, and a process could
    /// write a file.
    async fn close(&self) {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        let records = std::mem::take(&mut *self.records());
        for record in records {
            record.sandbox.close().await;
        }
    }
}
