//! A queue of prompts, answered in the background in several sandboxes. Killed at any moment and started again, it runs no prompt twice and
//! loses none.
//!
//! ```text
//! cargo run --example worker                                          # a few commands, on a local relay
//! cargo run --example worker -- --sandboxes 3 --at-once 9 prompts.txt # one prompt a line
//! API_KEY_21ST=… AGENT_SLUG=… cargo run --example worker -- --redis redis://127.0.0.1 prompts.txt
//! ```
//!
//! # What survives
//! With `--redis`, two things outlive the process:
//!
//! - The **journal**, a file (`--journal`, else `worker.journal`): the sandboxes, and the jobs that are done, with their answers and costs.
//!   A job is written there before `on_end` returns. Only then does the client forget the run.
//! - The **run log** in Redis: the runs that were started and are not done. The client writes a run there before it sends its prompt. When
//!   the process that started the run is gone, another one finds it there and follows it to its end.
//!
//! So a job is done if the journal says so, under way if the run log says so, and otherwise it waits. [`Worker::work`] decides by nothing else,
//! at the start and later. The runs of a killed worker go on at the relay; the next worker has their ends after about 40 s.
//!
//! Start it again within 48 h, with a Redis that has lost nothing. Without `--redis` nothing survives, and no journal is written.
//!
//! Ctrl-C releases the runs, so that the next start finds them at once. In your own program, `RedisLog` needs the client's feature `redis`.
//!
//! # Length
//! 423 lines of code; with `@21st-sdk/node` 285: `interop/programs/worker.mjs`. Both are formatted by their formatters, and counted without
//! comments, empty lines and the start of the local relay. The Node program is shorter because it has no run log. It stores its runs in its
//! journal, as the example `review_service` does in its database, and reads the thread of each twice a second.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is shared with other examples")]
mod common;

mod journal;
mod options;
#[path = "../common/progress.rs"]
mod progress;

use std::collections::HashSet;
use std::error::Error as StdError;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use pico_args::Arguments;
use tokio::sync::Notify;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, EndedRun, Refusal};
use twentyfirst_client::protocol::runs::RunRef;
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::run_log::RedisLog;
use twentyfirst_client::{AgentClient, Error, SandboxId, Session};

use self::journal::{Done, Journal};
pub(crate) use self::options::Options;
use self::progress::Progress;

#[tokio::main]
pub(crate) async fn main() -> ExitCode {
    let done = async { run(Options::read(Arguments::from_env())?).await };
    common::exit_code(done.await.map_err(|error| error as Box<dyn StdError>))
}

/// Any error, from any thread.
pub(crate) type Failure = Box<dyn StdError + Send + Sync>;

/// The longest time to release the runs.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// The time between two looks at the runs under way, if no end comes.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let prompts = options.prompts()?;
    let setup = common::connect(AgentClient::builder).map_err(|error| error.to_string())?;
    if options.redis.is_some() && setup._relay.is_some() {
        return Err("--redis needs API_KEY_21ST: a local relay ends with this process".into());
    }
    let file = options.redis.is_some().then_some(&*options.journal);
    let journal = Arc::new(Journal::open(file, &prompts)?);
    let sandboxes = sandboxes(&setup.client, &setup.agent, &journal, options.sandboxes).await?;
    let news = Arc::new(Notify::new());
    let chats = chats(&setup.client, &journal, &news).run_limit(options.at_once);
    let chats = match &options.redis {
        Some(url) => {
            // A prefix for this queue alone: otherwise the ends of other queues would be reported here.
            let log = RedisLog::builder(url).prefix(format!("worker:{}:", journal.queue()));
            chats.run_log(log.connect().await?)
        }
        None => chats,
    };
    chats.supervise();
    let worker = Worker {
        agent: setup.agent,
        chats,
        journal,
        news,
        prompts,
        sandboxes,
        at_once: options.at_once,
    };
    let worked = tokio::select! {
        worked = worker.work() => worked,
        stopped = tokio::signal::ctrl_c() => stopped.map_err(Failure::from),
    };
    let left = worker.chats.drain(LONGEST_DRAIN).await;
    if left > 0 {
        eprintln!("{left} runs are left to the next start");
    }
    worked
}

/// The sandboxes that the jobs share: those of the journal that still live, and new ones for the rest.
async fn sandboxes(
    client: &AgentClient,
    agent: &str,
    journal: &Journal,
    count: usize,
) -> Result<Vec<SandboxId>, Failure> {
    let mut sandboxes = Vec::new();
    for id in journal.sandboxes() {
        if sandboxes.len() == count {
            break;
        }
        match client.sandboxes().get(&id).await {
            Ok(_) => sandboxes.push(id),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    while sandboxes.len() < count {
        // If the worker is killed before the next line, this sandbox is never used.
        let sandbox = client.sandboxes().create(agent).await?;
        journal.add_sandbox(&sandbox.id)?;
        sandboxes.push(sandbox.id);
    }
    Ok(sandboxes)
}

/// Creates the handler that starts the runs and reports their ends. It has no browsers.
fn chats(client: &AgentClient, journal: &Arc<Journal>, news: &Arc<Notify>) -> ChatHandler {
    let nobody = async |_: ChatRequest| Err::<ChatRun, _>(Refusal::not_found("no browsers here"));
    let (client_of_ends, journal, news) = (client.clone(), Arc::clone(journal), Arc::clone(news));
    ChatHandler::new(client.clone(), nobody)
        .on_error(|error| common::errors::print_error(error))
        .on_end(move |ended| {
            let (client, journal) = (client_of_ends.clone(), Arc::clone(&journal));
            let news = Arc::clone(&news);
            async move {
                note(&client, &journal, ended).await?;
                news.notify_one();
                Ok::<_, Failure>(())
            }
        })
}

/// Writes to the journal that a job is done. A job whose prompt has not reached the agent is not done: it waits again when this returns.
async fn note(client: &AgentClient, journal: &Journal, ended: EndedRun) -> Result<(), Failure> {
    let (mut outcome, mut message) = (ended.outcome, ended.message);
    if !outcome.is_success() {
        let Some(run) = ended.run else {
            return Ok(());
        };
        if !was_asked(client, &run).await? {
            return Ok(());
        }
        // The run may have been lost here and go on at the relay.
        let mut run = client.threads().follow(run)?;
        outcome = run.outcome().await;
        message = run.message_so_far().clone();
    }
    // `on_end` may be called twice for a run: the journal writes it once.
    journal.done(Done {
        job: ended.chat.parse()?,
        end: outcome.end.to_string(),
        usd: outcome.usage.total_cost_usd.unwrap_or_default(),
        answer: message.text(),
    })?;
    Ok(())
}

/// Returns whether a prompt has reached the agent. A worker may be killed after it created the thread and before it sent the prompt.
async fn was_asked(client: &AgentClient, run: &RunRef) -> Result<bool, Error> {
    match client.threads().get(&run.sandbox_id, &run.thread_id).await {
        Ok(thread) => {
            let is_new = matches!(thread.status, ThreadStatus::Idle | ThreadStatus::Active);
            Ok(!is_new || thread.messages.is_some())
        }
        // The thread is gone, so nobody knows. Asking twice would be worse than not asking.
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error),
    }
}

struct Worker {
    agent: String,
    chats: ChatHandler,
    journal: Arc<Journal>,
    /// Notified when a job is done, or waits again.
    news: Arc<Notify>,
    prompts: Vec<String>,
    sandboxes: Vec<SandboxId>,
    at_once: usize,
}

impl Worker {
    /// Starts the waiting jobs, until all are done.
    async fn work(&self) -> Result<(), Failure> {
        let mut progress = Progress::every(1);
        loop {
            // In this order: a job that ended between the two would be neither open nor done, and would start again.
            let open = self.chats.open_runs().await?;
            let open: HashSet<usize> = open
                .iter()
                .filter_map(|run| run.chat.parse().ok())
                .collect();
            let (done, cost) = self.journal.so_far();
            let left = (0..self.prompts.len()).filter(|job| !done.contains(job));
            let (under_way, waiting): (Vec<_>, Vec<_>) = left.partition(|job| open.contains(job));
            progress.show(done.len(), under_way.len(), waiting.len(), cost);
            if under_way.is_empty() && waiting.is_empty() {
                return Ok(());
            }
            let room = self.at_once.saturating_sub(under_way.len());
            try_join_all(waiting.into_iter().take(room).map(|job| self.begin(job))).await?;
            // Waits for a job to end. The timeout also finds the ends of runs that an earlier worker left.
            let _ = tokio::time::timeout(PAUSE, self.news.notified()).await;
        }
    }

    /// Starts a job as its own chat, in a new thread of one of the sandboxes.
    async fn begin(&self, job: usize) -> Result<(), Failure> {
        let (Some(prompt), Some(sandbox)) = (
            self.prompts.get(job),
            self.sandboxes.get(job % self.sandboxes.len().max(1)),
        ) else {
            return Err("there is no sandbox".into());
        };
        let session = Session::new(&self.agent).sandbox_id(sandbox);
        let run = ChatRun::new(session.run(prompt.as_str())).owner("worker");
        match self.chats.begin(&job.to_string(), run).await {
            Ok(_) => Ok(()),
            // The run limit is reached, or the relay is busy or fails: the job waits.
            Err(refusal) if is_for_now(&refusal) => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            Err(refusal) => Err(format!("job {job} was refused: {}", refusal.message()).into()),
        }
    }
}

fn is_for_now(refusal: &Refusal) -> bool {
    let status = refusal.status();
    status.is_server_error() || matches!(status.as_u16(), 409 | 429)
}
