//! Disturbed runs: readers leave, join and come too late, and runs are cancelled and fail.

mod common;

use std::time::{Duration, Instant};

use common::{Gate, Scene, gated, kinds, stored_text, text_of, user};
use serde_json::{Value, json};
use tokio::time::sleep;
use twentyfirst_local_relay::{Agent, Command, LocalRelay, Run};
use twentyfirst_protocol::ui::chunk::{
    TextDelta, TextEnd, TextStart, ToolInputAvailable, ToolInputStart, ToolOutputAvailable,
};
use twentyfirst_protocol::ui::{Chunk, RawJson};

/// Creates an agent that says a word every 20 ms for half a second.
fn talker() -> Agent {
    let words: Vec<_> = (0..25).map(|number| format!("word{number} ")).collect();
    Agent::new(move |run: Run| {
        let text = words.concat();
        async move {
            run.say(text).await;
            Ok(())
        }
    })
    .pace(Duration::from_millis(20))
}

/// Creates an agent that says `word0 ` to `word3 `, passes the gate, and says the rest up to `word24 `.
fn gated_talker(gate: &Gate) -> Agent {
    fn words(numbers: std::ops::Range<u32>) -> String {
        numbers.map(|number| format!("word{number} ")).collect()
    }
    gated(gate, async |run: Run, gate: Gate| {
        run.say(words(0..4)).await;
        gate.pass().await;
        run.say(words(4..25)).await;
        Ok(())
    })
}

/// Creates an agent that says one word and then never ends.
fn silent() -> Agent {
    Agent::new(async |run: Run| {
        run.send(TextStart::new("t1")).await;
        run.send(TextDelta::new("t1", "wait")).await;
        std::future::pending::<()>().await;
        Ok(())
    })
}

#[tokio::test]
async fn a_run_continues_without_its_reader() {
    let gate = Gate::default();
    let scene = Scene::with(gated_talker(&gate)).await;
    let mut stream = scene.chat("Talk").await;
    let id = stream.chunk().await["messageId"].clone();
    stream.until("word3").await;
    drop(stream);
    assert_eq!(scene.thread().await["status"], "streaming");

    gate.open();
    let thread = scene.wait_for("completed").await;
    assert!(stored_text(&thread).ends_with("word24 "));
    assert_eq!(thread["messages"][1]["id"], id);
}

#[tokio::test]
async fn a_run_continues_if_its_reader_leaves_before_the_response_headers() {
    let scene = Scene::with(talker().start_up(Duration::from_secs(2))).await;
    let body = json!({
        "messages": [user("Talk")],
        "sandboxId": scene.sandbox,
        "threadId": scene.thread,
    });
    let request = scene.client.json("POST", "/v1/chat/agent", body);
    let sending = tokio::time::timeout(Duration::from_millis(500), scene.client.open(request));
    assert!(sending.await.is_err(), "the head has not come yet");
    let thread = scene.wait_for("completed").await;
    assert!(stored_text(&thread).ends_with("word24 "));
}

#[tokio::test]
async fn a_run_cannot_be_resumed_or_cancelled_during_its_start_up() {
    let start_up = Duration::from_secs(2);
    let scene = Scene::with(talker().start_up(start_up)).await;
    let begun = Instant::now();
    let (mut stream, ()) = tokio::join!(scene.chat("Talk"), async {
        scene.wait_for("streaming").await;
        assert_eq!(scene.resume().await.status, 204);
        assert_eq!(
            scene.cancel().await,
            json!({ "ok": true, "status": "idle" })
        );
        assert!(begun.elapsed() < start_up);
    });
    assert!(begun.elapsed() >= start_up);
    assert!(stream.text().await.ends_with("word24 "));
}

#[tokio::test]
async fn a_reader_that_joins_in_the_middle_gets_the_rest_in_one_burst_after_a_silence() {
    let hold_back = Duration::from_secs(1);
    let relay = LocalRelay::builder()
        .agent("agent", talker())
        .hold_back(hold_back);
    let scene = Scene::of(relay).await;
    let mut first = scene.chat("Talk").await;
    let first_start = first.chunk().await;
    let first_text = first.chunk().await;
    first.until("word3").await;

    let joined = Instant::now();
    let mut second = scene.resume().await;
    assert_eq!(second.status, 200);
    let start = second.chunk().await;
    assert!(joined.elapsed() < hold_back, "`start` is not held back");
    assert_ne!(start["messageId"], first_start["messageId"]);

    let begin = second.chunk().await;
    assert_eq!(begin["type"], "text-start");
    assert_ne!(begin["id"], first_text["id"]);
    let text = second.rest().await;
    assert_eq!(kinds(&text).last().unwrap(), "[DONE]");
    let metadata: Value = serde_json::from_str(&text[text.len() - 3]).unwrap();
    assert_eq!(metadata["messageMetadata"]["finalTextId"], begin["id"]);
    let text = text_of(&text);
    assert!(
        !text.contains("word3 ") && text.ends_with("word23 word24 "),
        "{text}"
    );

    let ended = first.rest().await;
    assert_eq!(kinds(&ended).last().unwrap(), "[DONE]");
    let thread = scene.thread().await;
    assert_eq!(thread["messages"][1]["id"], first_start["messageId"]);
}

#[tokio::test]
async fn a_pause_of_the_agent_ends_the_hold_back() {
    let gate = Gate::default();
    let agent = gated(&gate, async |run: Run, gate: Gate| {
        run.send(TextStart::new("t1")).await;
        for word in ["one ", "two ", "three"] {
            run.send(TextDelta::new("t1", word)).await;
            gate.pass().await;
        }
        run.send(TextEnd::new("t1")).await;
        Ok(())
    });
    let relay = LocalRelay::builder()
        .agent("agent", agent)
        .hold_back(Duration::from_millis(300));
    let scene = Scene::of(relay).await;
    let mut first = scene.chat("Count").await;
    first.until("one").await;
    let mut second = scene.resume().await;
    gate.open();
    // The agent waits at the gate, so only the silence can have ended the hold-back.
    second.until("two").await;
    gate.open();
    // The reader is live now.
    second.until("three").await;
    assert_eq!(scene.thread().await["status"], "streaming");
    gate.open();
    second.until("text-end").await;
}

#[tokio::test]
async fn a_reader_that_joins_before_the_first_chunk_misses_nothing() {
    let gate = Gate::default();
    let slow = gated(&gate, async |run: Run, gate: Gate| {
        gate.pass().await;
        run.say("Hello, world!").await;
        Ok(())
    });
    let scene = Scene::with(slow).await;
    let mut first = scene.chat("Hi").await;
    first.chunk().await;
    let mut second = scene.resume().await;
    gate.open();
    assert_eq!(second.text().await, "Hello, world!");
    assert_eq!(first.text().await, "Hello, world!");
}

#[tokio::test]
async fn a_joined_reader_gets_no_outputs_of_earlier_tool_calls() {
    let gate = Gate::default();
    let agent = gated(&gate, async |run: Run, gate: Gate| {
        let call = |id: &'static str| ToolInputAvailable::new(id, "Bash").input(json!({}));
        let output = |id: &'static str, text| ToolOutputAvailable::new(id).output(json!(text));
        run.send(ToolInputStart::new("call1", "Bash")).await;
        run.send(call("call1")).await;
        gate.pass().await;
        run.send(output("call1", "old")).await;
        run.send(call("call2")).await;
        run.send(output("call2", "new")).await;
        Ok(())
    });
    let relay = LocalRelay::builder()
        .agent("agent", agent)
        .hold_back(Duration::from_millis(50));
    let scene = Scene::of(relay).await;
    let mut first = scene.chat("Go").await;
    first.until("tool-input-available").await;
    let mut joined = scene.resume().await;
    gate.open();
    let events = joined.rest().await;
    assert_eq!(
        kinds(&events),
        [
            "start",
            "tool-input-available",
            "tool-output-available",
            "message-metadata",
            "finish",
            "[DONE]"
        ]
    );
    assert!(events[2].contains("new"));
}

#[tokio::test]
async fn there_is_nothing_to_resume_without_a_run() {
    let scene = Scene::with(Agent::echo()).await;
    assert_eq!(scene.resume().await.status, 204);
    scene.chat("Hi").await.rest().await;
    assert_eq!(scene.resume().await.status, 204);
    assert_eq!(scene.cancel().await["status"], "idle");
}

#[tokio::test]
async fn a_cancelled_run_ends_with_only_done_and_is_not_stored() {
    let scene = Scene::with(silent()).await;
    let mut first = scene.chat("Hi").await;
    first.until("wait").await;
    let mut second = scene.resume().await;
    second.chunk().await;

    let cancelled = scene.cancel().await;
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["streamId"].is_string());
    assert_eq!(first.rest().await, ["[DONE]"]);
    assert_eq!(second.rest().await, ["[DONE]"]);

    let thread = scene.thread().await;
    assert_eq!(thread["status"], "cancelled");
    assert_eq!(thread["error"], "cancelled: cancelled by user");
    assert_eq!(thread["messages"], Value::Null);
    assert!(thread["completedAt"].is_string());
    let sandbox = scene
        .client
        .get(&format!("/v1/sandboxes/{}", scene.sandbox))
        .await;
    assert_eq!(sandbox.expect(200)["status"], "active");
    assert_eq!(scene.cancel().await["status"], "idle");
}

#[tokio::test]
async fn cancelling_ends_the_command_of_the_agent() {
    let agent = Agent::new(async |run: Run| {
        run.say("running").await;
        run.sandbox().exec("echo $$ > ~/pid; sleep 60").await?;
        Ok(())
    });
    let scene = Scene::with_commands(agent).await;
    let mut stream = scene.chat("Go").await;
    stream.until("text-end").await;
    let running = "until test -s ~/pid; do sleep 0.02; done; kill -0 $(cat ~/pid)";
    scene.client.shell(&scene.sandbox, running).await;
    scene.cancel().await;
    stream.rest().await;
    let gone = "while kill -0 $(cat ~/pid) 2>/dev/null; do sleep 0.02; done";
    scene.client.shell(&scene.sandbox, gone).await;
}

#[tokio::test]
async fn cancelling_chooses_the_run_in_the_newest_thread() {
    let scene = Scene::with(silent()).await;
    let newer = scene.client.create_thread(&scene.sandbox).await;
    let mut in_newer = scene
        .client
        .chat("agent", &scene.sandbox, &newer, "Newer")
        .await;
    in_newer.until("wait").await;
    // This run starts later, in a thread that was created earlier.
    let mut in_older = scene.chat("Older").await;
    in_older.until("wait").await;

    scene.cancel().await;
    assert_eq!(in_newer.rest().await, ["[DONE]"]);
    let newer = scene.client.thread(&scene.sandbox, &newer).await;
    assert_eq!(newer["status"], "cancelled");
    assert_eq!(scene.thread().await["status"], "streaming");

    scene.cancel().await;
    assert_eq!(in_older.rest().await, ["[DONE]"]);
}

#[tokio::test]
async fn the_first_of_two_runs_in_a_thread_to_end_is_stored() {
    let gate = Gate::default();
    let agent = gated(&gate, async |run: Run, gate: Gate| {
        if run.text() == "slow" {
            gate.pass().await;
        }
        run.say(run.text()).await;
        Ok(())
    });
    let scene = Scene::with(agent).await;
    let mut slow = scene.chat("slow").await;
    slow.chunk().await;
    let mut fast = scene.chat("fast").await;
    assert_eq!(fast.text().await, "fast");
    gate.open();
    assert_eq!(slow.text().await, "slow");
    let thread = scene.thread().await;
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2);
    assert_eq!(stored_text(&thread), "fast");
}

#[tokio::test]
async fn a_background_run_gets_its_response_at_once_and_is_stored() {
    let gate = Gate::default();
    let scene = Scene::with(gated_talker(&gate)).await;
    let body = json!({
        "messages": [user("Talk")],
        "sandboxId": scene.sandbox,
        "threadId": scene.thread,
        "mode": "background",
    });
    let reply = scene.client.post("/v1/chat/agent", body).await;
    let expected = json!({
        "threadId": scene.thread,
        "sandboxId": scene.sandbox,
        "status": "running",
    });
    assert_eq!(reply.expect(202), expected);
    assert_eq!(scene.thread().await["status"], "streaming");
    gate.open();
    let thread = scene.wait_for("completed").await;
    assert!(stored_text(&thread).ends_with("word24 "));
}

#[tokio::test]
async fn an_error_of_the_agent_fails_its_run() {
    let agent = Agent::new(async |run: Run| {
        run.send(TextStart::new("t1")).await;
        run.send(TextDelta::new("t1", "Part")).await;
        if run.text() == "panic" {
            panic!("on purpose");
        }
        Err("out of luck".into())
    });
    let scene = Scene::of(
        LocalRelay::builder()
            .agent("agent", agent)
            .done_delay(Duration::from_secs(1)),
    )
    .await;
    let mut stream = scene.chat("Go").await;
    let error = stream.until("error").await;
    assert_eq!(error["errorText"], "out of luck");
    stream.until("finish").await;
    assert_eq!(
        scene.thread().await["status"],
        "streaming",
        "until [DONE] comes"
    );
    assert_eq!(stream.rest().await, ["[DONE]"]);
    let thread = scene.thread().await;
    assert_eq!(thread["status"], "error");
    assert_eq!(thread["error"], "sandbox_error: out of luck");
    assert_eq!(thread["messages"], Value::Null);
    let target = format!("/v1/sandboxes/{}", scene.sandbox);
    let sandbox = scene.client.get(&target).await.expect(200);
    assert_eq!(sandbox["status"], "error");
    assert_eq!(sandbox["error"], "sandbox_error: out of luck");

    let events = scene.chat("panic").await.rest().await;
    let expected = [
        "start",
        "text-start",
        "text-delta",
        "error",
        "text-end",
        "message-metadata",
        "finish",
        "[DONE]",
    ];
    assert_eq!(kinds(&events), expected);
    assert!(events[3].contains("the agent panicked"));
}

#[tokio::test]
async fn a_closure_that_panics_before_it_has_a_future_fails_its_run() {
    fn refuse(run: Run) -> std::future::Ready<twentyfirst_local_relay::RunResult> {
        panic!("{} on purpose", run.text());
    }
    let scene = Scene::with(Agent::new(refuse)).await;
    let events = scene.chat("Panic").await.rest().await;
    assert!(events.concat().contains("the agent panicked"), "{events:?}");
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(scene.thread().await["status"], "error");
}

#[tokio::test]
async fn stored_messages_are_the_history_of_the_next_run() {
    let agent = Agent::new(async |run: Run| {
        let before: Vec<_> = run.history().iter().map(|message| message.text()).collect();
        run.say(before.join("|")).await;
        let model = run.options().and_then(|options| options.model.clone());
        run.say(format!(" {model:?}")).await;
        Ok(())
    });
    let scene = Scene::with(agent).await;
    assert_eq!(scene.chat("one").await.text().await, " None");
    let body = |options: Value| {
        json!({
            "messages": [user("not the next turn"), user("two")],
            "sandboxId": scene.sandbox,
            "threadId": scene.thread,
            "options": options,
        })
    };
    let mut stream = scene
        .client
        .chat_with("agent", body(json!({ "model": "m" })))
        .await;
    assert_eq!(stream.text().await, "one| None Some(\"m\")");
    // One invalid option drops all options.
    for (member, value) in [("maxTurns", json!(0)), ("maxBudgetUsd", Value::Null)] {
        let mut wrong = json!({ "model": "m" });
        wrong[member] = value;
        let mut stream = scene.client.chat_with("agent", body(wrong)).await;
        assert!(stream.text().await.ends_with(" None"), "{member}");
    }

    let thread = scene.thread().await;
    let roles: Vec<_> = thread["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        [
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
            "assistant"
        ]
    );
    let metadata = |at: usize| &thread["messages"][at]["metadata"]["sessionId"];
    assert_eq!(metadata(1), metadata(5), "it is one session");
}

#[tokio::test]
async fn a_chat_with_an_unknown_sandbox_creates_it() {
    let scene = Scene::with(Agent::echo().name("Echo")).await;
    let body = json!({ "messages": [user("Hello")], "sandboxId": "my-own-id" });
    let mut stream = scene.client.chat_with("agent", body).await;
    assert_eq!(stream.text().await, "Hello");
    let sandbox = scene
        .client
        .get("/v1/sandboxes/my-own-id")
        .await
        .expect(200);
    assert_eq!(sandbox["id"], "my-own-id");
    assert_eq!(sandbox["agent"], json!({ "slug": "agent", "name": "Echo" }));
    assert_eq!(sandbox["threads"][0]["name"], "Hello");
    assert_eq!(sandbox["threads"][0]["status"], "completed");
}

#[tokio::test]
async fn a_chat_with_another_agents_sandbox_id_creates_a_second_sandbox() {
    let scene = Scene::with(Agent::echo()).await;
    let client = &scene.client;
    let target = format!("/v1/sandboxes/{}", scene.sandbox);
    let agent = async |status| client.get(&target).await.expect(status)["agent"]["slug"].clone();

    let mut body = json!({
        "messages": [user("Hello")],
        "sandboxId": scene.sandbox,
        "threadId": scene.thread,
    });
    // The relay creates the sandbox before it looks for the thread.
    let reply = client.post("/v1/chat/echo", body.clone()).await;
    let (status, code, _) = reply.error();
    assert_eq!((status, code.as_str()), (404, "thread_not_found"));
    body.as_object_mut().unwrap().remove("threadId");
    let events = client.chat_with("echo", body).await.rest().await;
    assert_eq!(text_of(&events), "Hello");

    assert_eq!(agent(200).await, "agent");
    client.delete(&target).await.expect(204);
    assert_eq!(agent(200).await, "echo");
    client.delete(&target).await.expect(204);
    agent(404).await;
}

#[tokio::test]
async fn a_new_thread_gets_the_name_of_the_chat_or_else_of_its_text() {
    let scene = Scene::with(Agent::echo()).await;
    let client = &scene.client;
    let long = "ä".repeat(100);
    for (sandbox, name, expected) in [
        ("long", json!(null), "ä".repeat(79) + "…"),
        ("named", json!("Mine"), "Mine".to_owned()),
    ] {
        let body = json!({ "messages": [user(&long)], "sandboxId": sandbox, "name": name });
        client.chat_with("agent", body).await.rest().await;
        let threads = client
            .get(&format!("/v1/sandboxes/{sandbox}/threads"))
            .await;
        assert_eq!(threads.expect(200)[0]["name"], expected);
    }
    // A thread that was created without a name stays without one.
    scene.chat("Hello").await.rest().await;
    let thread = client.thread(&scene.sandbox, &scene.thread).await;
    assert_eq!(thread["name"], json!(null));
}

#[tokio::test]
async fn a_turn_with_text_that_the_database_refuses_is_not_stored() {
    let agent = Agent::new(async |run: Run| {
        match run.text() {
            "nul" => run.say("a\0b").await,
            "input" => {
                let input = RawJson::parse(r#"{"x":"\ud83d"}"#)?;
                run.call_tool("T", input).await.output(json!(1)).await;
            }
            _ => {
                run.send(TextStart::new("t")).await;
                for half in [r"\ud83d", r"\ude00"] {
                    let delta = format!(r#"{{"type":"text-delta","id":"t","delta":"{half}"}}"#);
                    run.send(Chunk::decode(&delta)?.into_owned()).await;
                }
            }
        }
        Ok(())
    });
    let scene = Scene::with(agent).await;
    let run = async |text: &str| {
        let events = scene.chat(text).await.rest().await;
        let thread = scene.client.thread(&scene.sandbox, &scene.thread).await;
        (kinds(&events).pop().unwrap(), thread)
    };
    // A surrogate pair in two deltas is a valid character.
    let (last, thread) = run("whole").await;
    assert_eq!(
        (last.as_str(), &thread["status"]),
        ("[DONE]", &json!("completed"))
    );
    for text in ["nul", "input"] {
        let (last, _) = run(text).await;
        assert_eq!(last, "finish", "{text}");
        let thread = scene
            .client
            .wait_for(&scene.sandbox, &scene.thread, "error")
            .await;
        let error = thread["error"].as_str().unwrap();
        assert!(
            error.starts_with("sandbox_error: Failed query: update"),
            "{error}"
        );
        // The error contains the turn, and the thread has lost it.
        assert!(error.contains(&format!("\"text\":\"{text}\"")), "{error}");
        assert_eq!(thread["messages"].as_array().unwrap().len(), 2);
    }
    // The user's text is part of the turn.
    let (last, _) = run("whole\0").await;
    assert_eq!(last, "finish");
    let (last, thread) = run("whole").await;
    assert_eq!(
        (last.as_str(), &thread["status"]),
        ("[DONE]", &json!("completed"))
    );
    assert_eq!(thread["messages"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_message_without_parts_is_an_internal_error() {
    let scene = Scene::with(Agent::echo()).await;
    let message = json!({ "id": "u1", "role": "user", "content": "Hello" });
    let body = json!({ "messages": [message], "sandboxId": scene.sandbox });
    let reply = scene.client.post("/v1/chat/agent", body).await;
    assert_eq!(reply.error().0, 500);
}

#[tokio::test]
async fn a_run_outlives_its_thread_and_its_sandbox() {
    let scene = Scene::with(talker()).await;
    let mut stream = scene.chat("Talk").await;
    stream.until("word3").await;
    let target = format!("/v1/sandboxes/{}", scene.sandbox);
    scene.client.delete(&target).await.expect(204);
    let events = stream.rest().await;
    assert!(text_of(&events).ends_with("word24 "));
    assert_eq!(kinds(&events).last().unwrap(), "[DONE]");
    scene.client.get(&target).await.expect(404);
}

#[tokio::test]
async fn the_shell_agent_runs_the_lines_of_the_user() {
    let scene = Scene::with_commands(Agent::shell().env("GREETING", "hello")).await;
    let events = scene
        .chat("echo $GREETING > a.txt\n\n$ cat a.txt; exit 3")
        .await;
    let mut events = events;
    let events = events.rest().await;
    let outputs: Vec<Value> = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter(|chunk| chunk["type"] == "tool-output-available")
        .map(|chunk| chunk["output"].clone())
        .collect();
    assert_eq!(
        outputs,
        [
            json!({ "exitCode": 0, "stdout": "", "stderr": "" }),
            json!({ "exitCode": 3, "stdout": "hello\n", "stderr": "" }),
        ]
    );
    let inputs: String = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|chunk| Some(chunk["inputTextDelta"].as_str()?.to_owned()))
        .collect();
    let (first, second) = inputs.split_once("}{").unwrap();
    assert_eq!(first, r#"{"command":"echo $GREETING > a.txt""#);
    assert_eq!(second, r#""command":"cat a.txt; exit 3"}"#);
    assert_eq!(text_of(&events), "Ran 2 commands, 1 of them failed.");

    let thread = scene.thread().await;
    assert_eq!(thread["messages"][1]["parts"][0]["type"], "tool-Bash");
    assert_eq!(
        thread["messages"][1]["parts"][0]["state"],
        "output-available"
    );
    assert_eq!(thread["usage"]["totalCostUsd"], 0.0);
    assert!(thread["usage"]["totalTokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn the_shell_agent_explains_itself_to_a_prompt() {
    let scene = Scene::with_commands(Agent::shell()).await;
    // The prompt of the README.
    let mut events = scene.chat("Find bugs in /src").await;
    let said = text_of(&events.rest().await);
    assert!(
        said.contains("`shell` agent") && said.contains("Try `ls -la`"),
        "{said}"
    );
}

#[tokio::test]
async fn a_stream_has_the_headers_of_the_relay() {
    let scene = Scene::with(Agent::echo()).await;
    let stream = scene.chat("Hi").await;
    let mut headers: Vec<_> = stream
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .filter(|(name, _)| *name != "date")
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("access-control-allow-credentials", "true"),
            ("cache-control", "no-cache"),
            ("connection", "keep-alive"),
            ("content-encoding", "none"),
            ("content-type", "text/event-stream"),
            ("transfer-encoding", "chunked"),
            ("vary", "Origin"),
            ("x-accel-buffering", "no"),
            ("x-vercel-ai-ui-message-stream", "v1"),
        ]
    );
}

#[tokio::test]
async fn a_request_is_completed_after_its_client_has_left() {
    let scene = Scene::with_commands(Agent::echo()).await;
    let target = format!("/v1/sandboxes/{}/exec", scene.sandbox);
    let command = "touch ~/began; until test -e ~/go; do sleep 0.02; done; touch ~/done";
    let request = scene
        .client
        .json("POST", &target, json!({ "command": command }));
    tokio::select! {
        _ = scene.client.open(request) => panic!("the command has not ended"),
        _ = scene.client.shell(&scene.sandbox, "until test -e ~/began; do sleep 0.02; done") => {}
    }
    // The client has closed its connection.
    let wait = "touch ~/go; until test -e ~/done; do sleep 0.02; done";
    scene.client.shell(&scene.sandbox, wait).await;
}

#[tokio::test]
async fn an_agent_waits_for_a_reader_that_lags_but_not_for_one_that_has_left() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 800;
    let written = Arc::new(AtomicUsize::new(0));
    let agent = Agent::new({
        let written = Arc::clone(&written);
        move |run: Run| {
            let written = Arc::clone(&written);
            async move {
                run.send(TextStart::new("t1")).await;
                for _ in 0..CHUNKS {
                    run.send(TextDelta::new("t1", "x".repeat(CHUNK))).await;
                    written.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    });
    let scene = Scene::with(agent).await;
    let mut stream = scene.chat("Go").await;
    stream.chunk().await;
    let mut before = usize::MAX;
    while before != written.load(Ordering::Relaxed) {
        before = written.load(Ordering::Relaxed);
        sleep(Duration::from_millis(200)).await;
    }
    // The relay and the sockets buffer this much.
    assert!(
        before < CHUNKS / 2,
        "{before} of {CHUNKS} chunks are written"
    );
    drop(stream);
    while written.load(Ordering::Relaxed) < CHUNKS {
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_command_of_an_agent_that_takes_too_long_names_its_limit() {
    let limit = Duration::from_millis(100);
    let scene = Scene::with_commands(Agent::new(move |run: Run| async move {
        let command = Command::new("sleep 60").timeout(limit);
        let error = run.sandbox().exec(command).await.unwrap_err();
        run.say(error.to_string()).await;
        Ok(())
    }))
    .await;
    scene.chat("Sleep").await.rest().await;
    let said = stored_text(&scene.wait_for("completed").await);
    assert_eq!(said, "the command exceeded its time limit of 100ms");
}
