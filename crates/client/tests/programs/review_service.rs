//! The example `review_service`: killed in the middle of its reviews, cancelled, and refused by the relay.

#[path = "../../examples/review_service/main.rs"]
#[allow(dead_code, reason = "an example has a main function")]
mod example;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use http::StatusCode;
use pico_args::Arguments;
use serde_json::{Value, json};
use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::git::CloneRepository;
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, DeleteSandbox};
use twentyfirst_client::protocol::threads::{CreateThread, Usage};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay, Run};

use crate::process::{Folder, Process, arguments};

const PROGRAM: &str = "review_service::program";

#[test]
#[ignore = "it is the program of the other tests"]
fn program() {
    let Some(arguments) = arguments() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = runtime.block_on(example::serve(Arguments::from_vec(arguments)));
    eprintln!("{served:?}");
    std::process::exit(i32::from(served.is_err()));
}

/// The number of times that each question was asked.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

/// A reviewer that counts questions, and reads the repository. It does not answer while it is held back.
fn reviewer(asked: &Asked, holds_back: &Arc<AtomicBool>) -> Agent {
    let (asked, holds_back) = (Arc::clone(asked), Arc::clone(holds_back));
    let agent = Agent::new(move |run: Run| {
        *asked
            .lock()
            .unwrap()
            .entry(run.text().to_owned())
            .or_default() += 1;
        let holds_back = Arc::clone(&holds_back);
        async move {
            while holds_back.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let readme = run.sandbox().exec("cat /home/user/repo/README").await?;
            run.say(format!(
                "{} It says {:?}, which is fine as far as it goes",
                run.text(),
                readme.stdout
            ))
            .await;
            let mut usage = Usage::default();
            usage.total_cost_usd = run.options().and_then(|options| options.max_budget_usd);
            run.set_usage(usage);
            if run.text() == "expensive" {
                run.set_result_subtype("error_max_budget_usd");
            }
            Ok(())
        }
    });
    agent.pace(Duration::from_millis(20))
}

/// A service with its folder, its relay and a repository.
struct World {
    folder: Folder,
    relay: LocalRelay,
    repository: String,
    asked: Asked,
    /// Whether the reviews under way do not end.
    holds_back: Arc<AtomicBool>,
    service: Option<(Process, String)>,
}

impl World {
    fn new(name: &str) -> Self {
        let (asked, holds_back) = (Asked::default(), Arc::default());
        let reviewer = reviewer(&asked, &holds_back);
        let relay = LocalRelay::builder().agent("reviewer", reviewer);
        let folder = Folder::new(name);
        let mut world = Self {
            repository: serve_repository(&folder),
            folder,
            relay: relay.start().unwrap(),
            asked,
            holds_back,
            service: None,
        };
        world.start();
        world
    }

    fn hold_back(&self, holds_back: bool) {
        self.holds_back.store(holds_back, Ordering::SeqCst);
    }

    /// Starts the service, and kills one that is there.
    fn start(&mut self) {
        drop(self.service.take());
        let database = self.folder.file("reviews.db");
        let arguments = [
            "--database",
            &database,
            "--at-once",
            "3",
            "--budget",
            "0.25",
        ];
        let mut service = Process::start(PROGRAM, &self.relay, "reviewer", &arguments);
        let url = service.printed("http://");
        self.service = Some((service, url));
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value, Option<String>) {
        let (_, url) = self.service.as_ref().unwrap();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{url}{path}"));
        let request = request.header("content-type", "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let response = ureq::Agent::new_with_config(agent).run(request.body(body).unwrap());
        let mut response = response.unwrap();
        let after = response.headers().get("retry-after");
        let after = after.map(|after| after.to_str().unwrap().to_owned());
        let text = response.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (response.status().as_u16(), body, after)
    }

    fn post(&self, question: &str) -> (u16, Value, Option<String>) {
        let wanted = json!({ "repository": self.repository, "question": question });
        self.call("POST", "/reviews", Some(wanted))
    }

    /// Begins a review, and returns its id.
    fn begin(&self, question: &str) -> String {
        let (status, review, _) = self.post(question);
        assert_eq!(status, 202, "{review}");
        assert_eq!(review["status"], "running");
        review["id"].as_str().unwrap().to_owned()
    }

    fn review(&self, id: &str) -> Value {
        let (status, review, _) = self.call("GET", &format!("/reviews/{id}"), None);
        assert_eq!(status, 200, "{review}");
        review
    }

    /// Waits until the review is over and its sandbox deleted.
    fn end(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let review = self.review(id);
            let is_open = matches!(review["status"].as_str(), Some("starting" | "running"));
            if !is_open && review["sandbox"].is_null() {
                return review;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{review}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns whether the sandbox of a review is gone at the relay.
    fn is_deleted(&self, review: &Value) -> bool {
        let client = AgentClient::builder().api_key(self.relay.api_key());
        let client = client.base_url(self.relay.url()).build().unwrap();
        let get = client
            .sandboxes()
            .get(review["run"]["sandboxId"].as_str().unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(get)
            .is_err_and(|error| error.is_not_found())
    }

    fn asked(&self, question: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .get(question)
            .copied()
            .unwrap_or_default()
    }
}

/// Serves a repository with a README over HTTP, and returns its URL.
fn serve_repository(folder: &Folder) -> String {
    let (work, bare) = (folder.file("work"), folder.file("repo.git"));
    fs::create_dir(&work).unwrap();
    let script = format!(
        "git init -q {work} && cd {work} && echo hello > README && git add . && \
         git -c user.name=Ada -c user.email=ada@example.com commit -qm one && \
         git clone -q --bare . {bare} && cd {bare} && git update-server-info"
    );
    assert!(
        Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/repo.git", listener.local_addr().unwrap());
    let root = folder.file("");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            respond(stream, &root);
        }
    });
    url
}

/// Responds to a request with the file that it names.
fn respond(mut stream: std::net::TcpStream, root: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, body) = match fs::read(format!("{root}{path}")) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

#[test]
fn reviews_survive_a_kill_and_none_is_doubled() {
    let mut world = World::new("reviews-killed");
    world.hold_back(true);
    let questions = ["What is it?", "Is it safe?", "Is it fast?"];
    let ids = questions.map(|question| world.begin(question));
    let running = world.review(&ids[0]);
    assert_eq!(
        (&running["status"], &running["answer"]),
        (&json!("running"), &Value::Null)
    );
    assert_eq!(running["run"]["userMessageId"], ids[0]);
    assert!(!world.is_deleted(&running));
    world.start();
    // Killed again at once, while it finds the reviews.
    world.start();
    world.hold_back(false);
    for (id, question) in ids.iter().zip(questions) {
        let review = world.end(id);
        assert_eq!(review["status"], "completed", "{review}");
        assert_eq!(review["question"], question);
        let answer = format!("{question} It says \"hello\\n\", which is fine as far as it goes");
        assert_eq!(review["answer"], answer);
        assert_eq!(review["usage"]["totalCostUsd"], 0.25, "the budget");
        assert_eq!(review["error"], Value::Null);
        assert_eq!(world.asked(question), 1);
        assert!(world.is_deleted(&review));
    }
    // A review that has ended stays as it is.
    world.start();
    assert_eq!(world.review(&ids[1])["status"], "completed");
}

#[test]
fn a_review_not_sent_before_a_kill_fails_and_its_sandbox_is_deleted() {
    let mut world = World::new("reviews-unsent");
    let id = world.begin("What is it?");
    let review = world.end(&id);
    drop(world.service.take());
    // The rows of a review whose run was about to be sent, and of one whose thread was about to be created.
    let database = rusqlite::Connection::open(world.folder.file("reviews.db")).unwrap();
    let client = AgentClient::builder().api_key(world.relay.api_key());
    let client = client.base_url(world.relay.url()).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut reviews = Vec::new();
    for id in ["unsent", "unmade"] {
        let (sandbox, thread) = runtime.block_on(async {
            let sandbox = client.sandboxes().create("reviewer").await.unwrap();
            let thread = client.threads().create(&sandbox).await.unwrap();
            (sandbox.id, thread.id)
        });
        let mut review = review.clone();
        review["id"] = json!(id);
        review["status"] = json!("starting");
        review["sandbox"] = json!(sandbox);
        review["run"]["sandboxId"] = json!(sandbox);
        review["run"]["threadId"] = json!(thread);
        let run = review.clone();
        if id == "unmade" {
            review["run"] = Value::Null;
        }
        let insert = "INSERT INTO reviews (id, review) VALUES (?1, ?2)";
        database.execute(insert, (id, review.to_string())).unwrap();
        reviews.push((id, run));
    }
    drop(database);
    world.start();
    for (id, run) in reviews {
        let review = world.end(id);
        let status = if id == "unmade" { "failed" } else { "lost" };
        assert_eq!(review["status"], status, "{review}");
        assert!(review["error"].is_string());
        assert!(world.is_deleted(&run));
    }
    assert_eq!(world.asked("What is it?"), 1);
}

#[test]
fn a_review_is_cancelled_and_limits_hold() {
    let world = World::new("reviews-cancelled");
    world.hold_back(true);
    let ids = ["one", "two", "three"].map(|question| world.begin(question));
    let (status, body, after) = world.post("four");
    assert_eq!((status, after.as_deref()), (429, Some("10")), "{body}");
    let (status, ..) = world.call("DELETE", &format!("/reviews/{}", ids[0]), None);
    assert_eq!(status, 202);
    let cancelled = world.end(&ids[0]);
    assert_eq!(
        (&cancelled["status"], &cancelled["error"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert!(world.is_deleted(&cancelled));
    world.hold_back(false);
    // Cancelling again is not an error, and there is room for another review.
    let (status, again, _) = world.call("DELETE", &format!("/reviews/{}", ids[0]), None);
    assert_eq!((status, &again["status"]), (202, &json!("cancelled")));
    let expensive = world.end(&world.begin("expensive"));
    assert_eq!(expensive["status"], "completed");
    assert_eq!(expensive["error"], "completed: error_max_budget_usd");
    for id in &ids[1..] {
        assert_eq!(world.end(id)["status"], "completed");
    }
    assert_eq!(world.asked("four"), 0);
}

#[test]
fn each_refusal_has_its_status() {
    let world = World::new("reviews-refused");
    let wrong = |body: Value| world.call("POST", "/reviews", Some(body)).0;
    assert_eq!(wrong(json!("text")), 422);
    assert_eq!(
        wrong(json!({ "repository": "file:///etc", "question": "?" })),
        400
    );
    assert_eq!(
        wrong(json!({ "repository": world.repository, "question": " " })),
        400
    );
    assert_eq!(
        wrong(json!({ "repository": world.repository, "question": "?".repeat(4001) })),
        413
    );
    let none = format!("{}/none", world.repository);
    assert_eq!(wrong(json!({ "repository": none, "question": "?" })), 400);
    for method in ["GET", "DELETE"] {
        assert_eq!(world.call(method, "/reviews/none", None).0, 404);
    }

    let mut refused = Vec::new();
    for status in [
        400, 401, 402, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504,
    ] {
        let refuse = Fault::refuse(StatusCode::from_u16(status).unwrap());
        let refuse = refuse.retry_after(Duration::from_secs(30)).always();
        let faults = [
            refuse.clone().on::<CreateSandbox>(),
            refuse.clone().on::<CloneRepository>(),
            refuse.clone().on::<CreateThread>(),
            refuse.on::<SendMessages>(),
        ];
        // Each status at the next step.
        let fault = &faults[refused.len() % faults.len()];
        world.relay.inject(fault.clone());
        let (ours, body, after) = world.post("refused");
        world.relay.clear_faults();
        assert!(body["error"].is_string(), "{body}");
        refused.push(format!(
            "{status} → {ours}{}",
            after
                .map(|after| format!(" after {after}"))
                .unwrap_or_default()
        ));
    }
    insta::assert_snapshot!(refused.join("\n"));
    assert_eq!(world.asked("refused"), 0);

    // A sandbox that could not be deleted is deleted after the next start.
    let mut world = world;
    world.relay.inject(
        Fault::refuse(StatusCode::FORBIDDEN)
            .on::<DeleteSandbox>()
            .always(),
    );
    let id = world.begin("last");
    let begun = Instant::now();
    while world.review(&id)["status"] == "running" {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(20));
    }
    let review = world.review(&id);
    assert!(review["sandbox"].is_string() && !world.is_deleted(&review));
    world.relay.clear_faults();
    world.start();
    assert!(world.is_deleted(&world.end(&id)));
}

#[test]
fn an_unreachable_relay_is_a_bad_gateway() {
    let mut world = World::new("reviews-gone");
    let other = LocalRelay::start().unwrap();
    let gone = std::mem::replace(&mut world.relay, other);
    gone.shutdown();
    assert_eq!(world.post("What is it?").0, 502);
}
