//! Costs of runs: counted once, over all instances, and limited.

use std::error::Error;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use twentyfirst_client::AgentClient;
use twentyfirst_client::backend::{
    Budget, BudgetError, ChatHandler, ChatRun, Payer, Period, RunCost, SpendingLimit, Spent,
    TurnOrder, Usd,
};
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::run_log::MemoryLog;
use twentyfirst_client::transport::Body;
use twentyfirst_local_relay::{Agent, Fault, LocalRelay};

use crate::store::{Fault as StoreFault, Store};
use crate::support::{
    Reading, chats, chats_with, connect, conversation, kinds, logged, post, request, resume, text,
    watched, whole,
};

/// A relay whose agent says what it is asked, word by word, for 40 cents.
fn relay() -> LocalRelay {
    relay_of(agent())
}

fn relay_of(agent: Agent) -> LocalRelay {
    let relay = LocalRelay::builder().agent("echo", agent);
    relay.hold_back(Duration::ZERO).start().unwrap()
}

fn agent() -> Agent {
    Agent::new(async |run| {
        run.say(run.text().to_owned()).await;
        run.set_usage(usage(0.4));
        Ok(())
    })
    .pace(Duration::from_millis(10))
}

fn usage(dollars: f64) -> Usage {
    let mut usage = Usage::default();
    usage.total_cost_usd = Some(dollars);
    usage.total_tokens = Some(100);
    usage
}

fn log() -> MemoryLog {
    MemoryLog::new(tokio::time::sleep)
}

fn cost(dollars: f64) -> Usd {
    Usd::from_dollars(dollars)
}

/// Sends a message to another chat than that of [`post`].
fn post_to(chat: &str) -> Request<Body> {
    let message = json!({ "role": "user", "parts": [{ "type": "text", "text": "Hello" }] });
    let body = json!({ "id": chat, "messages": [message] });
    request("POST", "/api/chat", body.to_string())
}

/// Returns the status and the body of a refusal.
async fn refused(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Returns the refusal because of a limit without a period.
fn exceeded(what: &str) -> (u16, Value) {
    (402, json!({ "error": what }))
}

async fn until_spent(limit: &SpendingLimit, dollars: f64) -> Spent {
    let begun = Instant::now();
    loop {
        let spent = limit.spent_by("user-1").await;
        if let Ok(spent) = spent
            && spent.cost == cost(dollars)
        {
            return spent;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{spent:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_user_whose_budget_is_used_up_is_refused_before_anything_is_started() {
    let relay = relay();
    let (client, requests) = watched(&relay);
    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.8);
    let chats = chats(&client, &conversation(&client).await).budget(limit.clone());
    for text in ["One", "Two"] {
        // Each message is sent as soon as the answer before it has ended.
        whole(chats.handle(post(text)).await).await;
    }
    requests.lock().unwrap().clear();
    assert_eq!(
        refused(chats.handle(post("Three")).await).await,
        exceeded("budget exceeded: 0.8 USD of 0.8 USD spent")
    );
    assert_eq!(*requests.lock().unwrap(), [] as [&str; 0]);
    // A turn without a browser is refused in the same way.
    let run = conversation(&client).await.run("Four");
    requests.lock().unwrap().clear();
    let refusal = chats.begin("chat-1", ChatRun::new(run).owner("user-1"));
    assert_eq!(refusal.await.unwrap_err().status(), 402);
    assert_eq!(*requests.lock().unwrap(), [] as [&str; 0]);
    assert!(chats.open_turns("user-1", "chat-1").await.is_empty());

    let spent = limit.spent_by("user-1").await.unwrap();
    assert_eq!(
        (spent.runs, spent.cost, spent.total_tokens),
        (2, cost(0.8), 200)
    );
    assert_eq!(limit.spent_in("user-1", "chat-1").await.unwrap(), spent);
    assert_eq!(limit.spent_by("user-2").await.unwrap(), Spent::default());
}

#[tokio::test]
async fn a_limit_of_a_day_or_a_month_says_when_it_resets() {
    let relay = relay();
    let client = connect(&relay);
    let session = conversation(&client).await;
    for (period, when) in [(Period::Day, "today"), (Period::Month, "this month")] {
        let limit = SpendingLimit::in_memory(period).per_chat(0.0);
        let chats = chats(&client, &session).budget(limit);
        let (status, body) = refused(chats.handle(post("Hello")).await).await;
        let message = body["error"].as_str().unwrap();
        let begins = format!("chat budget exceeded: 0 USD of 0 USD spent {when}; it resets on 20");
        assert!(status == 402 && message.starts_with(&begins), "{message}");
        assert!(message.ends_with(" (UTC)"), "{message}");
    }
}

#[tokio::test]
async fn instances_with_one_store_count_together() {
    let relay = relay();
    let client = connect(&relay);
    let session = conversation(&client).await;
    let store = log();
    let instance = || {
        let limit = SpendingLimit::in_run_log(store.clone(), Period::Month).per_owner(0.7);
        let chats = chats(&client, &session).run_log(store.clone());
        (chats.budget(limit.clone()), limit)
    };
    let ((one, of_one), (other, of_other)) = (instance(), instance());
    let response = one.handle(post("One")).await;
    let run = response.headers()["x-workflow-run-id"]
        .to_str()
        .unwrap()
        .to_owned();
    whole(response).await;
    whole(other.handle(post("Two")).await).await;
    for chats in [&one, &other] {
        assert_eq!(chats.handle(post("Three")).await.status(), 402);
    }
    let spent = of_one.spent_by("user-1").await.unwrap();
    assert_eq!((spent.runs, spent.cost), (2, cost(0.8)));
    assert_eq!(of_other.spent_by("user-1").await.unwrap(), spent);
    let of_run = of_other.spent_on(&run).await.unwrap().unwrap();
    assert_eq!((of_run.runs, of_run.cost), (1, cost(0.4)));
    assert_eq!(of_other.spent_on("run-x").await.unwrap(), None);
}

#[tokio::test]
async fn a_chat_has_its_own_limit_and_without_an_owner_both() {
    let relay = relay();
    let client = connect(&relay);
    let session = conversation(&client).await;
    let limit = SpendingLimit::in_memory(Period::Ever)
        .per_owner(1.0)
        .per_chat(0.3);
    let owned = chats(&client, &session).budget(limit.clone());
    whole(owned.handle(post_to("a")).await).await;
    assert_eq!(
        refused(owned.handle(post_to("a")).await).await,
        exceeded("chat budget exceeded: 0.4 USD of 0.3 USD spent")
    );
    whole(owned.handle(post_to("b")).await).await;

    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.3);
    let nobodys = chats_with(&client, &session, |run| run.owner("")).budget(limit.clone());
    whole(nobodys.handle(post_to("a")).await).await;
    assert_eq!(nobodys.handle(post_to("a")).await.status(), 402);
    whole(nobodys.handle(post_to("b")).await).await;
    assert_eq!(limit.spent_in("", "b").await.unwrap().cost, cost(0.4));
}

/// Counts, and then never responds, like an instance that dies at this point.
struct Dying(SpendingLimit);

impl Budget for Dying {
    async fn check(&self, payer: &Payer) -> Result<(), BudgetError> {
        self.0.check(payer).await
    }

    async fn spent(&self, cost: &RunCost) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.spent(cost).await?;
        pending().await
    }
}

#[tokio::test]
async fn a_run_reported_by_two_instances_is_counted_once() {
    let relay = relay();
    let client = connect(&relay);
    let session = conversation(&client).await;
    let store = log();
    let limit = SpendingLimit::in_run_log(store.clone(), Period::Day);
    let one = chats(&client, &session)
        .run_log(store.clone())
        .budget(Dying(limit.clone()));
    let reported = Reported::default();
    let other = chats(&client, &session)
        .run_log(store.clone())
        .budget(limit.clone())
        .budget(reported.clone());
    let response = one.handle(post("Hello")).await;
    until_spent(&limit, 0.4).await;
    // The cost is counted, but the end is not in the log.
    one.drain(Duration::from_secs(10)).await;
    assert_eq!(text(&whole(other.handle(resume()).await).await), "Hello");
    assert_eq!(reported.costs().len(), 1);
    let spent = limit.spent_by("user-1").await.unwrap();
    assert_eq!((spent.runs, spent.cost), (1, cost(0.4)));
    assert_eq!(text(&whole(response).await), "Hello");
}

/// Allows every turn, and keeps the reported costs.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Vec<RunCost>>>);

impl Reported {
    fn costs(&self) -> Vec<RunCost> {
        self.0.lock().unwrap().clone()
    }
}

impl Budget for Reported {
    async fn check(&self, _: &Payer) -> Result<(), BudgetError> {
        Ok(())
    }

    async fn spent(&self, cost: &RunCost) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.lock().unwrap().push(cost.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_custom_budget_gets_the_payer_of_each_run() {
    let relay = relay();
    let client = connect(&relay);
    let reported = Reported::default();
    let chats = chats(&client, &conversation(&client).await).budget(reported.clone());
    let response = chats.handle(post("Hello")).await;
    let run = response.headers()["x-workflow-run-id"]
        .to_str()
        .unwrap()
        .to_owned();
    whole(response).await;
    let costs = reported.costs();
    assert_eq!(costs.len(), 1);
    assert_eq!(costs[0].run, run);
    assert_eq!(costs[0].payer, Payer::new("user-1", "chat-1"));
    assert_eq!(costs[0].usage.total_cost_usd, Some(0.4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_counts_count_each_run_once() {
    let store = log();
    let mut tasks = Vec::new();
    for instance in 0..8 {
        let limit = SpendingLimit::in_run_log(store.clone(), Period::Ever);
        tasks.push(tokio::spawn(async move {
            for run in 0..50 {
                // Two instances report each run, at about the same time.
                let run = format!("run-{}-{run}", instance / 2);
                let payer = Payer::new("user-1", "chat-1");
                let cost = RunCost::new(run, payer, usage(0.01));
                limit.spent(&cost).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let limit = SpendingLimit::in_run_log(store, Period::Ever);
    let spent = limit.spent_by("user-1").await.unwrap();
    assert_eq!((spent.runs, spent.cost), (200, cost(2.0)));
    assert_eq!(limit.spent_in("user-1", "chat-1").await.unwrap(), spent);
}

#[tokio::test]
async fn a_turn_that_has_waited_is_checked_again() {
    // Slow, so that the first answer is still being given when the second message arrives.
    let relay = relay_of(agent().pace(Duration::from_millis(100)));
    let client = connect(&relay);
    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.3);
    let session = conversation(&client).await;
    let chats = chats_with(&client, &session, |run| {
        run.turn_order(TurnOrder::enqueue())
    });
    let chats = chats.budget(limit.clone());
    let first = Reading::new(chats.handle(post("A question that takes a while")).await);
    let second = whole(chats.handle(post("Another")).await).await;
    assert_eq!(kinds(&second), ["data-queued", "error", "finish", "[DONE]"]);
    assert_eq!(
        second[1].data["errorText"],
        "budget exceeded: 0.4 USD of 0.3 USD spent"
    );
    first.whole().await;
    assert_eq!(limit.spent_by("user-1").await.unwrap().runs, 1);
}

#[tokio::test]
async fn a_response_that_has_begun_reports_the_budget_in_its_stream() {
    let relay = relay();
    let client = connect(&relay);
    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.0);
    let chats = chats(&client, &conversation(&client).await).budget(limit);
    let events = whole(chats.respond_at_once().handle(post("Hello")).await).await;
    assert_eq!(kinds(&events), ["error", "finish", "[DONE]"]);
    assert_eq!(
        events[0].data["errorText"],
        "budget exceeded: 0 USD of 0 USD spent"
    );
}

#[tokio::test]
async fn budgets_of_the_relay_are_reported_in_the_same_form() {
    let relay = relay_of(agent().max_sandbox_budget_usd(0.3));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = chats(&client, &session);
    whole(chats.handle(post("Hello")).await).await;
    let sandbox = session.sandbox_id.unwrap();
    assert_eq!(
        refused(chats.handle(post("Again")).await).await,
        exceeded(&format!(
            "Sandbox budget exceeded for \"{sandbox}\": 0.4 USD of 0.3 USD spent"
        ))
    );

    let body = r#"{"error":{"code":"billing_not_ready","message":"Billing setup is required (missing_payment_method)","setup_url":"https://21st.dev/agents/billing"}}"#;
    let response = Response::builder().status(StatusCode::PAYMENT_REQUIRED);
    let response = response
        .header("content-type", "application/json")
        .body(body);
    relay.inject(Fault::respond_with(response.unwrap()).on::<SendMessages>());
    assert_eq!(
        refused(chats.handle(post("Once more")).await).await,
        exceeded("Billing setup is required (missing_payment_method)")
    );
}

/// An instance whose budget is in a store that can fail.
async fn over(store: &Store, client: &AgentClient) -> (ChatHandler, SpendingLimit) {
    let limit = SpendingLimit::in_run_log(store.clone(), Period::Ever).per_owner(0.3);
    let chats = chats(client, &conversation(client).await).budget(limit.clone());
    (chats, limit)
}

#[tokio::test]
async fn while_its_store_fails_turns_go_on_and_are_counted_later() {
    let relay = relay();
    let client = connect(&relay);
    let store = Store::new(StoreFault::Down);
    let (chats, limit) = over(&store, &client).await;
    let (chats, errors) = logged(chats);
    assert_eq!(
        text(&whole(chats.handle(post("Hello")).await).await),
        "Hello"
    );
    let errors = std::mem::take(&mut *errors.lock().unwrap());
    let cause = "the store of the log is unavailable <- the cable was pulled";
    assert_eq!(
        errors,
        ["checked", "charged"].map(|action| format!("the budget could not be {action} <- {cause}"))
    );
    let error = limit.spent_by("user-1").await.unwrap_err();
    assert!(error.is_budget_unavailable() && !error.maybe_sent());

    store.set(StoreFault::None);
    until_spent(&limit, 0.4).await;
    assert_eq!(chats.handle(post("Again")).await.status(), 402);
}

#[tokio::test]
async fn a_required_budget_refuses_while_it_is_unavailable() {
    let relay = relay();
    let client = connect(&relay);
    let store = Store::new(StoreFault::Down);
    let chats = over(&store, &client).await.0.require_budget();
    let refusal = json!({ "error": "the budget is unavailable, try again" });
    assert_eq!(
        refused(chats.handle(post("Hello")).await).await,
        (503, refusal)
    );
    store.set(StoreFault::None);
    assert_eq!(
        text(&whole(chats.handle(post("Hello")).await).await),
        "Hello"
    );
}

/// Never responds.
struct Mute;

impl Budget for Mute {
    async fn check(&self, _: &Payer) -> Result<(), BudgetError> {
        pending().await
    }

    async fn spent(&self, _: &RunCost) -> Result<(), Box<dyn Error + Send + Sync>> {
        pending().await
    }
}

#[tokio::test]
async fn a_budget_that_does_not_respond_delays_turns_only_briefly() {
    let relay = relay();
    let client = connect(&relay);
    let (chats, errors) = logged(chats(&client, &conversation(&client).await));
    let begun = Instant::now();
    whole(chats.budget(Mute).handle(post("Hello")).await).await;
    // The check and the report take 5 s each.
    assert!(begun.elapsed() < Duration::from_secs(30));
    let cause = "the budget did not respond within 5s";
    assert_eq!(
        *errors.lock().unwrap(),
        ["checked", "charged"].map(|action| format!("the budget could not be {action} <- {cause}"))
    );
}

/// Panics in each check, and in its first two reports.
struct Panicking {
    reports: Mutex<u32>,
    reported: Reported,
}

impl Budget for Panicking {
    async fn check(&self, _: &Payer) -> Result<(), BudgetError> {
        panic!("a budget of the test's")
    }

    // Not `async`, so that it panics before there is a future.
    fn spent(
        &self,
        cost: &RunCost,
    ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send {
        let reports = {
            let mut reports = self.reports.lock().unwrap();
            *reports += 1;
            *reports
        };
        assert!(reports > 2, "a budget of the test's");
        self.reported.spent(cost)
    }
}

#[tokio::test]
async fn a_budget_that_panics_is_unavailable_and_gets_the_cost_later() {
    let relay = relay();
    let client = connect(&relay);
    let (chats, errors) = logged(chats(&client, &conversation(&client).await));
    let reported = Reported::default();
    let chats = chats.budget(Panicking {
        reports: Mutex::default(),
        reported: reported.clone(),
    });
    let answer = whole(chats.handle(post("Hello")).await).await;
    assert_eq!(text(&answer), "Hello");
    assert_eq!(
        *errors.lock().unwrap(),
        ["checked", "charged"]
            .map(|action| { format!("the budget could not be {action} <- the budget panicked") })
    );
    let begun = Instant::now();
    while reported.costs().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is retried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reported.costs()[0].usage.total_cost_usd, Some(0.4));

    let refusal = json!({ "error": "the budget is unavailable, try again" });
    let required = chats.require_budget();
    assert_eq!(
        refused(required.handle(post("Hello")).await).await,
        (503, refusal)
    );
}

#[tokio::test]
async fn without_a_log_runs_are_counted_even_if_the_browser_leaves() {
    let relay = relay();
    let client = connect(&relay);
    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.8);
    let session = conversation(&client).await;
    let chats = chats(&client, &session).without_log().budget(limit.clone());
    assert_eq!(text(&whole(chats.handle(post("One")).await).await), "One");
    until_spent(&limit, 0.4).await;
    let mut left = Reading::new(chats.handle(post("Two and a longer one")).await);
    left.until("Two").await;
    drop(left);
    until_spent(&limit, 0.8).await;
    assert_eq!(chats.handle(post("Three")).await.status(), 402);
}

#[tokio::test]
async fn setting_a_log_later_keeps_the_budget() {
    let relay = relay();
    let client = connect(&relay);
    let limit = SpendingLimit::in_memory(Period::Ever).per_owner(0.3);
    let session = conversation(&client).await;
    let chats = chats(&client, &session).without_log().budget(limit.clone());
    let chats = chats.run_log(log());
    whole(chats.handle(post("One")).await).await;
    assert_eq!(limit.spent_by("user-1").await.unwrap().runs, 1);
    assert_eq!(chats.handle(post("Two")).await.status(), 402);
}
