//! The example `batch`: interrupted, killed and started again.

#[path = "../../examples/batch/main.rs"]
#[allow(dead_code, reason = "an example has a main function")]
mod example;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use pico_args::Arguments;
use serde_json::Value;
use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::protocol::sandboxes::CreateSandbox;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_local_relay::{Agent, Fault, LocalRelay, Run};

use crate::process::{Folder, Process, arguments};

const PROMPTS: usize = 200;

const AT_ONCE: usize = 20;

const PROGRAM: &str = "batch::program";

#[test]
#[ignore = "it is the program of the other tests"]
fn program() {
    let Some(arguments) = arguments() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let batch = example::batch(Arguments::from_vec(arguments));
    let done = runtime.block_on(batch);
    std::process::exit(i32::from(done.is_err()));
}

/// The prompts that the agent received.
#[derive(Default)]
struct Seen {
    prompts: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// Whether the agent fails the prompt 13.
    is_ignorant: AtomicBool,
    /// Whether the last quarter of the prompts gets no answer.
    holds_back: AtomicBool,
}

/// Counts a run as under way until it is dropped, also if it is cancelled.
struct UnderWay(Arc<Seen>);

impl UnderWay {
    fn new(seen: &Arc<Seen>) -> Self {
        let under_way = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(under_way, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    fn agent(self: &Arc<Self>) -> Agent {
        let seen = Arc::clone(self);
        Agent::new(move |run: Run| {
            let seen = Arc::clone(&seen);
            async move {
                let _under_way = UnderWay::new(&seen);
                let count = {
                    let mut prompts = seen.prompts.lock().unwrap();
                    prompts.push(run.text().to_owned());
                    prompts.len()
                };
                let is_last = count > PROMPTS * 3 / 4;
                // The first runs wait for each other, so that the most are under way at once even on a slow machine. The last ones
                // wait for the interrupt, so that it comes before the end.
                while seen.most.load(Ordering::SeqCst) < AT_ONCE
                    || (is_last && seen.holds_back.load(Ordering::SeqCst))
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                run.say(format!("You said {:?}.", run.text())).await;
                if run.text() == "prompt-13" && seen.is_ignorant.load(Ordering::SeqCst) {
                    return Err("provider_error: unlucky".into());
                }
                let mut usage = Usage::default();
                usage.total_cost_usd = Some(0.25);
                run.set_usage(usage);
                Ok(())
            }
        })
        .pace(Duration::from_millis(40))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.prompts.lock().unwrap())
    }
}

fn lines(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits for this many lines.
fn wait(file: &str, count: usize) {
    let begun = Instant::now();
    while lines(file).len() < count {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Checks that all sandboxes in the lines are deleted, and returns their number.
fn deleted_sandboxes(relay: &LocalRelay, lines: &[Value]) -> usize {
    let client = AgentClient::builder().api_key(relay.api_key());
    let client = client.base_url(relay.url()).build().unwrap();
    let ids: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["run"]["sandboxId"].as_str())
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for id in &ids {
        let error = runtime
            .block_on(client.sandboxes().get(*id).into_future())
            .unwrap_err();
        assert!(error.is_not_found(), "{id}: {error}");
    }
    ids.len()
}

#[test]
fn a_batch_continues_where_it_was_interrupted_and_does_not_stop_at_a_failure() {
    let seen = Arc::new(Seen::default());
    seen.is_ignorant.store(true, Ordering::SeqCst);
    seen.holds_back.store(true, Ordering::SeqCst);
    let relay = LocalRelay::builder()
        .agent("counted", seen.agent())
        .start()
        .unwrap();
    let folder = Folder::new("batch");
    let (list, results) = (folder.file("prompts.txt"), folder.file("results.jsonl"));
    let prompts: Vec<String> = (0..PROMPTS)
        .map(|index| format!("prompt-{index}"))
        .collect();
    fs::write(&list, prompts.join("\n")).unwrap();
    let at_once = AT_ONCE.to_string();
    let arguments = ["--sandboxes", "20", "--at-once", &at_once, &list, &results];
    let start = || Process::start(PROGRAM, &relay, "counted", &arguments);

    // One prompt is refused, which does not affect the others of its sandbox. The client retries the sandbox that is refused.
    relay.inject(Fault::refuse(StatusCode::PAYMENT_REQUIRED).on::<SendMessages>());
    relay.inject(Fault::refuse(StatusCode::TOO_MANY_REQUESTS).on::<CreateSandbox>());
    let mut first = start();
    wait(&results, PROMPTS / 2);
    first.interrupt();
    assert!(!first.is_successful(), "not all prompts have an answer");
    seen.holds_back.store(false, Ordering::SeqCst);
    let of_first = lines(&results);
    println!("{} lines when it was interrupted", of_first.len());
    assert!(of_first.len() < PROMPTS);
    assert_eq!(deleted_sandboxes(&relay, &of_first), 20);
    assert_eq!(seen.most.load(Ordering::SeqCst), AT_ONCE);
    let refused: Vec<&Value> = of_first
        .iter()
        .filter(|line| !line["status"].is_null())
        .collect();
    let [refused] = refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(refused["status"], 402);
    assert!(
        refused["error"].is_string() && refused["text"].is_null(),
        "{refused}"
    );
    let failed = of_first.iter().find(|line| line["index"] == 13).unwrap();
    assert_eq!(failed["error"], "failed: provider_error: unlucky");
    assert_eq!(failed["code"], "provider_error");
    assert_eq!(failed["text"], "You said \"prompt-13\".");
    seen.take();

    // As if it had been killed while it wrote a line.
    let mut text = fs::read_to_string(&results).unwrap();
    text.push_str(r#"{"index":199,"prompt":"prom"#);
    fs::write(&results, text).unwrap();
    assert!(!start().is_successful(), "one fails again");
    let of_second = lines(&results);
    let answered = of_first
        .iter()
        .filter(|line| line["error"].is_null())
        .count();
    assert_eq!(
        seen.take().len(),
        PROMPTS - answered,
        "only prompts without an answer are sent"
    );
    assert_eq!(deleted_sandboxes(&relay, &of_second), 40);

    seen.is_ignorant.store(false, Ordering::SeqCst);
    assert!(start().is_successful());
    assert_eq!(seen.take(), ["prompt-13"]);
    assert!(start().is_successful(), "there is nothing to do");
    assert!(seen.take().is_empty());

    let mut answers: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    let all = lines(&results);
    for line in all.into_iter().filter(|line| line["error"].is_null()) {
        answers
            .entry(line["index"].as_u64().unwrap())
            .or_default()
            .push(line);
    }
    assert_eq!(answers.len(), PROMPTS);
    for (index, lines) in answers {
        let [line] = &lines[..] else {
            panic!("{index} has {} answers", lines.len());
        };
        assert_eq!(line["prompt"], format!("prompt-{index}"));
        assert_eq!(line["text"], format!("You said \"prompt-{index}\"."));
        assert_eq!(line["usage"]["totalCostUsd"], 0.25);
        assert!(line["run"]["threadId"].is_string());
    }
}

#[test]
fn a_batch_without_a_sandbox_asks_nothing() {
    let seen = Arc::new(Seen::default());
    let refuse = Fault::refuse(StatusCode::PAYMENT_REQUIRED).on::<CreateSandbox>();
    let relay = LocalRelay::builder().agent("counted", seen.agent());
    let relay = relay.fault(refuse.always()).start().unwrap();
    let folder = Folder::new("batch-refused");
    let (list, results) = (folder.file("prompts.txt"), folder.file("results.jsonl"));
    fs::write(&list, "one\ntwo").unwrap();
    let mut batch = Process::start(PROGRAM, &relay, "counted", &[&list, &results]);
    assert!(!batch.is_successful());
    assert!(lines(&results).is_empty() && seen.take().is_empty());
}
