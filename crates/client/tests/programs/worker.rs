//! The example `worker`, killed ten times at random and started again: over a real Redis, in processes of its own.
//!
//! Each run of the test kills at other moments. `WORKER_SEED` repeats those of a test that has failed.

#[path = "../../examples/worker/main.rs"]
#[allow(dead_code, reason = "an example has a main function")]
mod example;
#[path = "../../../run-log/tests/redis/server.rs"]
#[allow(dead_code, reason = "other tests do more with a server")]
mod redis;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use pico_args::Arguments;
use serde_json::Value;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::protocol::ui::Role;
use twentyfirst_client::{AgentClient, SandboxId};
use twentyfirst_local_relay::{Agent, LocalRelay, Run};

use crate::process::{Folder, Process, arguments};

const PROMPTS: usize = 40;

/// Each worker runs this many prompts more at once than the one before, so that it begins new ones before it is killed.
const AT_ONCE: usize = 4;

/// The number of the worker that lives until it has taken over all or nearly all runs of those before it.
const ADOPTING: usize = 7;

/// The cost of an answer.
const USD: f64 = 0.25;

const PROGRAM: &str = "worker::program";

#[test]
#[ignore = "it is the program of the other test"]
fn program() {
    let Some(arguments) = arguments() else {
        return;
    };
    let options = example::Options::read(Arguments::from_vec(arguments)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(example::run(options)).unwrap();
}

/// An agent that counts how often each prompt is asked.
fn counted(asked: &Arc<Mutex<BTreeMap<String, usize>>>) -> Agent {
    let asked = Arc::clone(asked);
    let agent = Agent::new(move |run: Run| {
        *asked
            .lock()
            .unwrap()
            .entry(run.text().to_owned())
            .or_default() += 1;
        async move {
            run.say(answer(run.text())).await;
            let mut usage = Usage::default();
            usage.total_cost_usd = Some(USD);
            run.set_usage(usage);
            Ok(())
        }
    });
    // So that a worker is also killed while a prompt is on its way.
    let agent = agent.start_up(Duration::from_millis(150));
    agent.pace(Duration::from_millis(250))
}

fn answer(prompt: &str) -> String {
    format!("{prompt} was thought about for a while and then for another while, and it is fine")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis))
    }
}

fn seed() -> u64 {
    match env::var("WORKER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            u64::from(since.unwrap().subsec_nanos())
        }
    }
}

#[test]
fn a_worker_that_is_killed_ten_times_asks_each_prompt_once() {
    let Some(redis) = redis::start(&[]) else {
        return;
    };
    let seed = seed();
    println!("WORKER_SEED={seed}");
    let mut random = Random(seed);
    let asked = Arc::default();
    let relay = LocalRelay::builder().agent("counted", counted(&asked));
    let relay = relay.start().unwrap();
    let folder = Folder::new("worker");
    let (journal, list) = (folder.file("journal"), folder.file("prompts"));
    let redis_url = redis.url();
    let prompts: Vec<String> = (0..PROMPTS).map(|job| format!("prompt-{job}")).collect();
    fs::write(&list, prompts.join("\n")).unwrap();
    let start = |at_once: usize| {
        let at_once = at_once.to_string();
        let arguments = ["--redis", &*redis_url, "--journal", &journal];
        let arguments = [
            &arguments[..],
            &["--sandboxes", "3", "--at-once", &at_once, &list],
        ];
        Process::start(PROGRAM, &relay, "counted", &arguments.concat())
    };

    for kill in 1..=10 {
        // Most die while they begin runs, which are then adopted together.
        let mut life = random.up_to(400);
        let mut ends = PROMPTS;
        let mut at_once = AT_ONCE * kill;
        if kill == ADOPTING {
            // It begins nothing before it has taken over some runs, and may die while it reports their ends.
            at_once -= AT_ONCE;
            life = Duration::from_secs(15) + random.up_to(25_000);
            ends = random.below(at_once as u64) as usize;
        }
        let mut worker = start(at_once);
        let started = Instant::now();
        while started.elapsed() < life && done(&journal).len() <= ends {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(
            !worker.is_over(),
            "worker {kill} has ended before it was killed"
        );
        drop(worker);
        println!(
            "kill {kill} after {:?}: {} prompts had been asked, {} were done",
            started.elapsed(),
            asked.lock().unwrap().len(),
            done(&journal).len(),
        );
    }
    // As if one had been killed while it wrote a line.
    let mut file = fs::File::options().append(true).open(&journal).unwrap();
    file.write_all(br#"{"done":{"job":7,"#).unwrap();
    let begun = Instant::now();
    let mut last = start(AT_ONCE * 10);
    assert!(
        last.is_successful(),
        "the last worker goes on, or has failed"
    );
    println!("the last worker took {:?}", begun.elapsed());

    let once: BTreeMap<String, usize> = prompts.iter().map(|it| (it.clone(), 1)).collect();
    assert_eq!(*asked.lock().unwrap(), once, "the agent");
    assert_eq!(turns(&relay, &journal), once, "the threads");
    let done = done(&journal);
    for (job, prompt) in prompts.iter().enumerate() {
        let of_job: Vec<&Value> = done.iter().filter(|done| done["job"] == job).collect();
        let [done] = of_job[..] else {
            panic!("job {job} is done {} times", of_job.len());
        };
        assert_eq!(done["end"], "completed", "{done}");
        assert_eq!(done["answer"], answer(prompt));
        assert_eq!(done["usd"], USD);
    }
}

/// Returns what the journal has under this name, from its complete lines.
fn lines(journal: &str, of: &str) -> Vec<Value> {
    let text = fs::read_to_string(journal).unwrap_or_default();
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter_map(|mut line| Some(line.get_mut(of)?.take()))
        .collect()
}

fn done(journal: &str) -> Vec<Value> {
    lines(journal, "done")
}

/// Returns how many times each prompt is in a thread of the sandboxes.
fn turns(relay: &LocalRelay, journal: &str) -> BTreeMap<String, usize> {
    let client = AgentClient::builder().api_key(relay.api_key());
    let client = client.base_url(relay.url()).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut turns = BTreeMap::new();
        for sandbox in lines(journal, "sandbox") {
            let sandbox: SandboxId = serde_json::from_value(sandbox).unwrap();
            for thread in client.threads().list(&sandbox).await.unwrap() {
                let thread = client.threads().get(&sandbox, &thread.id).await.unwrap();
                let messages = thread.into_ui_messages();
                let asked = messages.iter().filter(|message| message.role == Role::User);
                let asked: Vec<String> = asked.map(|message| message.text()).collect();
                assert!(asked.len() <= 1, "a thread of its own for each: {asked:?}");
                for prompt in asked {
                    *turns.entry(prompt).or_default() += 1;
                }
            }
        }
        turns
    })
}
