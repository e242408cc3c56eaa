//! A server that is killed in the middle of its runs, and started again: real processes with a real Redis.
//!
//! The executable of this test is also the server: see [`server`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../run-log/tests/redis/server.rs"]
#[allow(dead_code, reason = "other tests do more with a server")]
mod redis;
mod server;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs};

use twentyfirst_client::protocol::ui::Role;
use twentyfirst_client::{AgentClient, Session};
use twentyfirst_local_relay::{Agent, LocalRelay, Run};

use crate::server::{Told, Work};

const RUNS: usize = 50;

const STORY: &str =
    "Once upon a time an agent worked in a sandbox far away and was not heard of for a while";

/// Longer than it takes to find and finish all runs.
const LONGEST: Duration = Duration::from_secs(150);

/// A server in a process of its own.
struct Process {
    child: Child,
    /// The ids of the runs that have begun.
    begun: Receiver<String>,
}

impl Process {
    fn start(work: &Work) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "server::serve", "--ignored", "--nocapture"])
            .env("SERVER_WORK", serde_json::to_string(work).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, begun) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(id) = line.strip_prefix("begun ") {
                    let _ = sender.send(id.to_owned());
                }
            }
        });
        Self { child, begun }
    }

    /// Kills the server, as a crash would. Returns the ids of the runs that had begun and were not received yet.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.begun.iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the ends that servers have written down.
fn told(file: &Path) -> Vec<Told> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // A server may be killed while it writes a line: then the end was not reported.
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits until the reported ends meet this condition.
fn wait(file: &Path, is_it: impl Fn(&[Told]) -> bool) -> Vec<Told> {
    let begun = Instant::now();
    loop {
        let told = told(file);
        if is_it(&told) {
            return told;
        }
        assert!(begun.elapsed() < LONGEST, "{} ends were told", told.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn new_folder() -> PathBuf {
    let folder = env::temp_dir().join(format!("killed-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_fifty_runs_loses_and_cancels_none() {
    let Some(redis) = redis::start(&[]) else {
        return;
    };
    let folder = new_folder();
    let file = folder.join("told");
    // Like `Agent::echo`, but no run ends before the first server is killed.
    let is_killed = Arc::new(AtomicBool::new(false));
    let killed = Arc::clone(&is_killed);
    let agent = Agent::new(move |run: Run| {
        let killed = Arc::clone(&killed);
        async move {
            run.say(run.text()).await;
            while !killed.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
    });
    let agent = agent.pace(Duration::from_millis(500));
    let relay = LocalRelay::builder().agent("echo", agent);
    let relay = relay.hold_back(Duration::ZERO).start().unwrap();
    let client = AgentClient::builder().api_key(relay.api_key());
    let client = client.base_url(relay.url()).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sessions: Vec<Session> = runtime.block_on(async {
        let mut sessions = Vec::new();
        for _ in 0..RUNS {
            let sandbox = client.sandboxes().create("echo").await.unwrap();
            let thread = client.threads().create(&sandbox.id).await.unwrap();
            let session = Session::new("echo").sandbox_id(&sandbox.id);
            sessions.push(session.thread_id(&thread.id));
        }
        sessions
    });
    let mut work = Work {
        relay: relay.url().to_owned(),
        key: relay.api_key().to_owned(),
        redis: redis.url(),
        told: file.clone(),
        text: STORY.to_owned(),
        sessions: sessions.clone(),
    };

    // Killed while the last runs are being started.
    let first = Process::start(&work);
    for _ in 0..RUNS - 8 {
        first.begun.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    let last = first.kill();
    is_killed.store(true, Ordering::SeqCst);
    println!("{} runs had begun", RUNS - 8 + last.len());
    assert!(told(&file).is_empty(), "in the middle");
    work.sessions.clear();

    // Killed again, while it reports their ends.
    let second = Process::start(&work);
    let some = wait(&file, |told| told.len() > RUNS / 5);
    second.kill();
    println!("the second server was killed after {} ends", some.len());

    let _third = Process::start(&work);
    // Some runs were about to be started. The relay knows which were.
    let began: Vec<String> = sessions
        .iter()
        .enumerate()
        .filter(|(_, session)| runtime.block_on(has_begun(&client, session)))
        .map(|(number, _)| format!("chat-{number}"))
        .collect();
    println!("{} runs have begun at the relay", began.len());
    assert!(began.len() >= RUNS - 8);
    let told = wait(&file, |told| {
        let has = |chat: &String| told.iter().any(|told| told.chat == *chat);
        began.iter().all(has)
    });
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for told in told.iter().filter(|told| began.contains(&told.chat)) {
        assert_eq!((&*told.end, &*told.text), ("completed", STORY), "{told:?}");
        *times.entry(&told.chat).or_default() += 1;
    }
    let twice = times.values().filter(|times| **times > 1).count();
    println!("{twice} ends were told twice");
    fs::remove_dir_all(&folder).unwrap();
}

/// Returns whether a turn of this conversation has begun.
async fn has_begun(client: &AgentClient, session: &Session) -> bool {
    let (sandbox, thread) = (session.sandbox_id.as_ref(), session.thread_id.as_ref());
    let threads = client.threads();
    let thread = threads.get(sandbox.unwrap(), thread.unwrap()).await;
    let messages = thread.unwrap().into_ui_messages();
    messages.iter().any(|message| message.role == Role::User)
}
