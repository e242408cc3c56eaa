//! Messages that arrive while the chat is answering: they wait, or interrupt.

use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use twentyfirst_client::backend::{ChatHandler, TurnOrder};
use twentyfirst_client::protocol::ui::Role;
use twentyfirst_client::run_log::MemoryLog;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, Session};

use crate::store::{Fault, Store};
use crate::support::{
    Reading, STORY, chats_with, connect, conversation, kinds, post, relay, request, resume,
    runtime, text, watched, whole,
};

const PACE: Duration = Duration::from_millis(50);

fn ordered(client: &AgentClient, session: &Session, order: TurnOrder) -> ChatHandler {
    chats_with(client, session, move |run| run.turn_order(order))
}

fn log() -> MemoryLog {
    MemoryLog::new(tokio::time::sleep)
}

fn run_id(response: &Response<Body>) -> String {
    let id = &response.headers()["x-workflow-run-id"];
    id.to_str().unwrap().to_owned()
}

fn of_run(method: &str, id: &str) -> Request<Body> {
    request(method, &format!("/api/chat/{id}/stream"), "")
}

/// Returns the stored messages of the thread.
async fn stored(client: &AgentClient, session: &Session) -> Vec<(Role, String)> {
    let thread = client.execute(&session.hydrate().unwrap()).await.unwrap();
    let messages = thread.ui_messages();
    messages
        .map(|message| (message.role.clone(), message.text()))
        .collect()
}

#[tokio::test]
async fn a_message_waits_for_its_turn_and_the_page_sees_that_it_does() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = ordered(&client, &session, TurnOrder::enqueue());
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    let second = Reading::new(chats.handle(post("And then?")).await);
    let third = Reading::new(chats.handle(post("And in the end?")).await);

    let open = chats.open_turns("user-1", "chat-1").await;
    let asked = open.iter().map(|turn| {
        let message = &turn.messages.as_slice()[0];
        (turn.is_queued, message.text())
    });
    assert_eq!(
        asked.collect::<Vec<_>>(),
        [
            (false, STORY.to_owned()),
            (true, "And then?".to_owned()),
            (true, "And in the end?".to_owned())
        ]
    );
    // A page that is loaded now sees the answer that is being given.
    let reloaded = whole(chats.handle(resume()).await).await;
    assert_eq!(reloaded, first.whole().await);
    assert_eq!(text(&reloaded), STORY);

    for (reading, position, said) in [(second, 1, "And then?"), (third, 2, "And in the end?")] {
        let events = reading.whole().await;
        assert_eq!(events[0].data["type"], "data-queued");
        assert_eq!(events[0].data["data"]["position"], position);
        assert_eq!(events[0].data["transient"], true);
        assert_eq!(kinds(&events)[1], "start");
        assert_eq!(text(&events), said);
    }
    assert!(chats.open_turns("user-1", "chat-1").await.is_empty());
    let stored = stored(&client, &session).await;
    let texts: Vec<_> = stored.iter().map(|(_, text)| &**text).collect();
    let asked = [STORY, "And then?", "And in the end?"];
    assert_eq!(texts, asked.map(|text| [text, text]).concat());
}

#[tokio::test]
async fn the_queue_has_a_limit_and_a_message_can_be_withdrawn() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = ordered(&client, &session, TurnOrder::Enqueue { limit: 1 });
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    let second = chats.handle(post("And then?")).await;
    let id = run_id(&second);
    let refused = chats.handle(post("And in the end?")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);

    assert_eq!(chats.handle(of_run("DELETE", &id)).await.status(), 200);
    let second = whole(second).await;
    assert_eq!(kinds(&second), ["data-queued", "abort", "finish", "[DONE]"]);
    // The answer under way is not affected.
    assert_eq!(text(&first.whole().await), STORY);
    let third = whole(chats.handle(post("And in the end?")).await).await;
    assert_eq!(kinds(&third)[0], "start");
    assert_eq!(stored(&client, &session).await.len(), 4);
}

#[tokio::test]
async fn an_interruption_cancels_the_answer_and_repeats_its_question() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = log();
    let one = ordered(&client, &session, TurnOrder::Interrupt).run_log(log.clone());
    let other = ordered(&client, &session, TurnOrder::Interrupt).run_log(log);
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("upon").await;
    let second = whole(other.handle(post("Shorter!")).await).await;
    let first = first.whole().await;
    assert_eq!(
        kinds(&first)[kinds(&first).len() - 3..],
        ["abort", "finish", "[DONE]"]
    );
    // The relay has joined both questions.
    let both = format!("{STORY}\nShorter!");
    assert_eq!(text(&second), both);
    let stored = stored(&client, &session).await;
    let asked = format!("{STORY}Shorter!");
    assert_eq!(stored, [(Role::User, asked), (Role::Assistant, both)]);
}

#[tokio::test]
async fn concurrent_first_messages_create_one_sandbox() {
    let relay = relay(Duration::from_millis(2));
    let (client, requests) = watched(&relay);
    let log = log();
    // Nobody has stored a session yet.
    let new = Session::new("echo");
    let instances = [(); 2].map(|()| {
        let order = TurnOrder::Enqueue { limit: 20 };
        ordered(&client, &new, order).run_log(log.clone())
    });
    let texts: Vec<String> = (1..=10).map(|it| "word ".repeat(it)).collect();
    let mut posts = tokio::task::JoinSet::new();
    for (index, text) in texts.into_iter().enumerate() {
        let chats = instances[index % 2].clone();
        posts.spawn(async move { (whole(chats.handle(post(&text)).await).await, text) });
    }
    for (events, said) in posts.join_all().await {
        assert_eq!(text(&events).trim(), said.trim());
    }
    let requests = requests.lock().unwrap();
    let made = |what: &str| requests.iter().filter(|line| line.ends_with(what)).count();
    assert_eq!(
        (made("/v1/sandboxes"), made("/threads"), made("/chat/echo")),
        (1, 1, 10)
    );
}

#[test]
fn another_instance_starts_waiting_messages_when_one_has_died() {
    let relay = relay(PACE);
    let (dying, living) = (runtime(), runtime());
    let client = connect(&relay);
    let session = living.block_on(conversation(&client));
    let log = log();
    let chats =
        |client: &AgentClient| ordered(client, &session, TurnOrder::enqueue()).run_log(log.clone());
    let one = chats(&connect(&relay));
    let waiting = dying.block_on(async {
        let mut first = Reading::new(one.handle(post(STORY)).await);
        first.until("upon").await;
        let second = one.handle(post("And then?")).await;
        run_id(&second)
    });
    dying.shutdown_background();
    let other = chats(&client);
    living.block_on(async {
        let second = whole(other.handle(of_run("GET", &waiting)).await).await;
        assert_eq!(kinds(&second)[..2], ["data-queued", "start"]);
        assert_eq!(text(&second), "And then?");
        let stored = stored(&client, &session).await;
        let texts: Vec<_> = stored.iter().map(|(_, text)| &**text).collect();
        assert_eq!(texts, [STORY, STORY, "And then?", "And then?"]);
    });
}

#[tokio::test]
async fn a_deploy_hands_over_waiting_messages() {
    // The first answer takes more than 5 s.
    let relay = relay(Duration::from_millis(300));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = log();
    let chats = || ordered(&client, &session, TurnOrder::enqueue()).run_log(log.clone());
    let (one, other) = (chats(), chats());
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("Once").await;
    let second = one.handle(post("And then?")).await;
    let elsewhere = other.handle(of_run("GET", &run_id(&second))).await;
    let begun = Instant::now();
    assert_eq!(one.drain(Duration::from_secs(30)).await, 0);
    let drained = begun.elapsed();
    assert!(drained < Duration::from_secs(4), "{drained:?}");
    let elsewhere = whole(elsewhere).await;
    assert_eq!(text(&elsewhere), "And then?");
    assert_eq!(whole(second).await, elsewhere);
    assert_eq!(stored(&client, &session).await.len(), 4);
}

#[tokio::test]
async fn waiting_messages_survive_an_outage_of_the_store() {
    let relay = relay(Duration::from_millis(60));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let store = Store::new(Fault::None);
    let chats = ordered(&client, &session, TurnOrder::enqueue()).run_log(store.clone());
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    let second = Reading::new(chats.handle(post("And then?")).await);
    store.set(Fault::Down);
    assert_eq!(text(&first.whole().await), STORY);
    // Longer than the 5 s for which a recorder is patient with its store.
    tokio::time::sleep(Duration::from_secs(12)).await;
    store.set(Fault::None);
    let second = second.whole().await;
    assert_eq!(text(&second), "And then?");
    assert_eq!(stored(&client, &session).await.len(), 4);
}
