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
use crate::answers::Refusal;
use crate::auth::Key;
use crate::faults::{Fault, Faults};
use crate::records::Record;
use crate::sandbox::{Confinement, Isolation};
use crate::server;
use crate::tokens::Signer;
use crate::vaults::Vaults;

/// The key of a relay that was given none.
const DEFAULT_KEY: &str = "21st_sk_local";

/// How long the end waits for work that cannot be interrupted.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(2);

/// A relay that runs in this process, on a thread of its own, and listens on loopback.
///
/// It has the agents `echo` and `shell`, and those that the builder was given. When it is dropped, its processes are
/// ended and its files removed before the drop returns. Where its process is killed instead, the next relay to start removes
/// the files.
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

/// `AgentClient::of(&relay)` connects to it.
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
    /// If there is no port or no thread for it.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A relay with agents and keys of your own.
    pub fn builder() -> LocalRelayBuilder {
        LocalRelayBuilder::default()
    }

    /// Where it is: `http://127.0.0.1:` and the port. A client takes this as its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first key that was given to the builder, else `21st_sk_local`.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// How commands are kept apart from this machine.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Adds a fault. It strikes requests, runs and streams that begin after this; of several that could strike a
    /// request, the one that was added first does.
    pub fn inject(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Takes all faults away. None strikes any more, also not the streams that are open; those that have fallen silent
    /// stay so.
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

/// Makes a [`LocalRelay`].
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
    /// The port; by default one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds an agent by its slug, in place of one that has this slug.
    pub fn agent(mut self, slug: impl Into<String>, agent: impl Into<Agent>) -> Self {
        self.agents.insert(slug.into(), agent.into());
        self
    }

    /// Adds a key. A relay that is given keys takes no others; one that is given none takes `21st_sk_local`.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Lets in the web pages of an origin, such as `https://preview.example.com`, as browsers write it.
    ///
    /// Pages of this machine are always let in: those of `localhost`, `127.0.0.0/8` and `[::1]`, at any port. The real
    /// relay lets in every page.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// How long `[DONE]` comes after `finish`: 20 ms by default. The real relay takes 0.5 to 1.5 s.
    pub fn done_delay(mut self, delay: Duration) -> Self {
        self.done_delay = delay;
        self
    }

    /// How long a run has to be silent before a reader who has joined it in the middle gets anything but `start`: 500 ms
    /// by default, 5 s at the real relay. Zero holds nothing back.
    pub fn hold_back(mut self, silence: Duration) -> Self {
        self.hold_back = silence;
        self
    }

    /// How commands are kept apart from this machine: see the table at [`Isolation`].
    ///
    /// By default in namespaces where the system allows it. Where it does not, commands are
    /// [`Unconfined`](Isolation::Unconfined), and as root they are [refused](Isolation::NoCommands): unconfined commands
    /// of root have to be asked for by name. A line on standard error says when nothing confines commands, and when they
    /// are refused.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Speaks HTTP/2 in place of HTTP/1.1, without TLS, to clients that know it. It allows 200 streams on a connection. A
    /// [fault](Fault) that breaks a connection ends all of them.
    pub fn http2(mut self) -> Self {
        self.speaks_http2 = true;
        self
    }

    /// Adds a fault that is there from the start. [`LocalRelay::inject`] adds one later.
    pub fn fault(self, fault: Fault) -> Self {
        self.faults.add(fault);
        self
    }

    /// Starts the relay.
    ///
    /// # Errors
    /// If the port is taken, if there is no thread for it, or if namespaces were asked for and cannot be had:
    /// [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported), which says why.
    pub fn start(self) -> io::Result<LocalRelay> {
        let api_key = self
            .keys
            .first()
            .map_or_else(|| DEFAULT_KEY.to_owned(), |key| key.text.clone());
        let faults = Arc::clone(&self.faults);
        let (ready, started) = sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("local-relay".to_owned())
            .spawn(move || self.serve(&ready, stopped))?;
        let (address, isolation) = started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the relay's thread has ended")))?;
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
        // Work on files cannot be interrupted, and nobody waits for it any more.
        runtime.shutdown_timeout(LONGEST_SHUTDOWN);
    }

    async fn open(self) -> io::Result<(TcpListener, Arc<Relay>)> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        tokio::task::spawn_blocking(crate::sandbox::sweep).await?;
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

/// What the requests to a relay share.
pub(crate) struct Relay {
    agents: BTreeMap<String, Agent>,
    pub(crate) keys: Vec<Key>,
    /// Those that are let in besides this machine's own.
    pub(crate) origins: Vec<String>,
    pub(crate) signer: Signer,
    pub(crate) confinement: Confinement,
    pub(crate) done_delay: Duration,
    pub(crate) hold_back: Duration,
    pub(crate) speaks_http2: bool,
    pub(crate) faults: Arc<Faults>,
    pub(crate) vaults: Vaults,
    /// In the order in which they were made. Ids are unique for each agent only.
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

    /// Runs something until it ends or the relay does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are forgotten here, so that they do not add up.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Does to clients and runs what a restart of the relay's process does.
    pub(crate) fn restart(&self) {
        self.restarts.notify_waiters();
        let records: Vec<_> = self.records().clone();
        for record in records {
            record.change(|state| {
                let streams = state
                    .threads
                    .iter()
                    .filter_map(|thread| thread.stream.as_ref());
                streams.for_each(|stream| stream.journal.forsake());
            });
        }
    }

    /// Completes when the relay restarts after this was called.
    pub(crate) fn restarted(&self) -> Notified<'_> {
        self.restarts.notified()
    }

    /// Ends all runs, then all processes, and removes all files.
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
