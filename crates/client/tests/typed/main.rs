//! Runs whose answers are read as values, against agents of the local relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{AgentClient, Call, RunOptions, StartRun, Typed};
use twentyfirst_local_relay::{Agent, LocalRelay, Run};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Report {
    /// The number of bugs.
    bugs: u32,
    files: Vec<String>,
}

/// The questions that the agent received, turn by turn.
type Asked = Arc<Mutex<Vec<String>>>;

/// An agent with these answers, one for each turn. An answer has several texts; `!` makes the run fail.
fn agent(says: &'static [&'static [&'static str]]) -> (LocalRelay, AgentClient, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let agent = Agent::new(move |run: Run| {
        let turn = {
            let mut seen = seen.lock().unwrap();
            seen.push(run.text().to_owned());
            seen.len() - 1
        };
        async move {
            let mut usage = Usage::default();
            usage.total_tokens = Some(10);
            usage.total_cost_usd = Some(0.25);
            run.set_usage(usage);
            for text in says[turn] {
                match *text {
                    "!" => return Err("overloaded".into()),
                    text => run.say(text).await,
                }
                run.call_tool("Bash", json!({"command": "ls"}))
                    .await
                    .output(json!("src"))
                    .await;
            }
            Ok(())
        }
    });
    let relay = LocalRelay::builder()
        .agent("reviewer", agent)
        .start()
        .unwrap();
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap();
    (relay, client, asked)
}

fn ask(client: &AgentClient) -> Call<StartRun, Typed<Report>> {
    let threads = client.threads();
    threads.run("reviewer", "How many bugs are there?").json()
}

#[tokio::test]
async fn an_answer_is_a_value_with_the_facts_of_its_run() {
    let (_relay, client, asked) = agent(&[&[
        "Let me look.",
        "```json\n{\"bugs\": 2, \"files\": [\"a.rs\"]}\n```",
    ]]);
    let typed = ask(&client).await.unwrap();
    let expected = Report {
        bugs: 2,
        files: vec!["a.rs".to_owned()],
    };
    assert_eq!(typed.value, expected);
    assert_eq!(typed.usage().total_tokens, Some(10));
    assert!(typed.created.sandbox_id.is_some());
    let [answer] = &typed.answers[..] else {
        panic!("{typed:?}");
    };
    assert!(answer.text.starts_with("Let me look.\n```json"));
    assert!(answer.outcome.is_success());

    // The schema is in the turn after the user's text, with the comments of the type.
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked[0].starts_with("How many bugs are there?\n"),
        "{asked:?}"
    );
    assert!(
        asked[0].contains(r#""description":"The number of bugs.""#),
        "{asked:?}"
    );

    // The conversation can be continued.
    let session = typed.session().unwrap();
    let history = client.execute(&session.hydrate().unwrap()).await.unwrap();
    assert_eq!(history.into_ui_messages().len(), 2);
    // The thread is named after the user's words.
    let threads = client
        .threads()
        .list(session.sandbox_id.as_ref().unwrap())
        .await
        .unwrap();
    assert!(
        threads[0]
            .name
            .as_deref()
            .unwrap()
            .starts_with("How many bugs")
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_repaired_once_in_the_same_thread() {
    let (_relay, client, asked) = agent(&[
        &["It is {\"bugs\": \"two\", \"files\": []}"],
        &["{\"bugs\": 2, \"files\": []}"],
    ]);
    let typed = ask(&client).await.unwrap();
    assert_eq!(typed.value.bugs, 2);
    assert_eq!(typed.usage().total_cost_usd, Some(0.5));
    let [first, second] = &typed.answers[..] else {
        panic!("{typed:?}");
    };
    assert_eq!(first.run.thread_id, second.run.thread_id);
    assert_ne!(first.run.user_message_id, second.run.user_message_id);
    assert!(first.problem.is_some() && second.problem.is_none());
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked[1].contains("invalid type: string \"two\", expected u32"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn without_a_value_the_error_has_both_answers_and_what_they_cost() {
    let (_relay, client, asked) = agent(&[&["Two."], &["```json\n{\"bugs\": 2,}\n```"]]);
    let error = ask(&client).await.unwrap_err();
    assert!(error.is_no_value() && !error.is_retryable());
    assert_eq!(
        asked.lock().unwrap().len(),
        2,
        "it is asked twice and no more"
    );
    let created = error.created().sandbox_id.clone().unwrap();
    assert_eq!(
        error.to_string().split(" (sandbox").next().unwrap(),
        "the agent gave no value of the requested type, even when asked again: \
         the JSON in the answer is invalid: trailing comma at line 1 column 12"
    );
    assert!(error.to_string().contains(created.as_str()));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.downcast_ref::<serde_json::Error>().is_some());
    let [first, second] = error.answers() else {
        panic!("{error:?}");
    };
    assert_eq!(
        (&*first.text, second.text.contains("{\"bugs\": 2,}")),
        ("Two.", true)
    );
    let cost: Usage = error
        .answers()
        .iter()
        .map(|answer| answer.outcome.usage)
        .sum();
    assert_eq!(cost.total_cost_usd, Some(0.5));
}

#[tokio::test]
async fn a_repair_that_fails_loses_nothing_of_the_first_answer() {
    let (_relay, client, _) = agent(&[&["Two."], &["I begin", "!"]]);
    let error = ask(&client).await.unwrap_err();
    assert!(error.is_run_failed(), "{error}");
    let texts: Vec<&str> = error.answers().iter().map(|answer| &*answer.text).collect();
    assert_eq!(texts, ["Two.", "I begin"]);
    assert_eq!(error.answers()[1].outcome.end.as_str(), "failed");
    assert!(error.created().sandbox_id.is_some());
}

#[tokio::test]
async fn a_run_that_fails_is_not_repaired() {
    let (_relay, client, asked) = agent(&[&["{\"bugs\": 2, \"files\": []}", "!"]]);
    let error = ask(&client).await.unwrap_err();
    assert!(error.is_run_failed(), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(error.answers().len(), 1);
}

#[tokio::test]
async fn an_invalid_run_is_refused_before_a_sandbox_is_created() {
    let (_relay, client, asked) = agent(&[]);
    let empty = StartRun::new("reviewer", " ");
    let no_turns = StartRun::new("reviewer", "x").options(RunOptions::new().max_turns(0));
    for run in [empty, no_turns] {
        let error = client
            .threads()
            .start(run)
            .json::<Report>()
            .await
            .unwrap_err();
        assert!(
            error.invalid_request().is_some() && error.created().is_empty(),
            "{error}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_hand_written_schema_needs_no_derive() {
    let (_relay, client, asked) = agent(&[&["[1, 2]"]]);
    let schema = json!({"type": "array", "items": {"type": "integer"}});
    let run = client.threads().run("reviewer", "Count.");
    let typed = run.json_of::<Vec<u8>>(schema).await.unwrap();
    assert_eq!(typed.value, [1, 2]);
    assert!(asked.lock().unwrap()[0].contains(r#"{"items":{"type":"integer"},"type":"array"}"#));
}

#[tokio::test]
async fn a_typed_run_is_a_call_like_others() {
    let (_relay, client, _) = agent(&[&["{\"bugs\": 0, \"files\": []}"]]);
    let run = ask(&client)
        .name("count")
        .with_options(client.options().deadline(Duration::from_secs(60)));
    drop(client);
    let typed = tokio::spawn(run).await.unwrap();
    assert_eq!(typed.unwrap().value.bugs, 0);
}
