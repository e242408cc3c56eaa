//! A browser that reloads, a second tab, and cursors.

use std::time::Duration;

use http::StatusCode;

use crate::support::{
    Reading, STORY, chats, connect, conversation, elsewhere, ids, kinds, post, relay, request,
    resume, resume_behind, text, watched, whole,
};

const PACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_reload_in_the_middle_replays_from_the_start_with_the_same_ids() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    let seen = first.so_far();
    drop(first);

    let second = whole(chats.handle(resume()).await).await;
    assert_eq!(second[..seen.len()], seen[..], "what was seen comes again");
    assert_eq!(text(&second), STORY);
    assert_eq!(kinds(&second)[0], "start");
    assert_eq!(kinds(&second).last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn each_event_id_has_the_run_and_the_chunk() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let response = chats.handle(post(STORY)).await;
    let run = response.headers()["x-workflow-run-id"].clone();
    let all = whole(response).await;
    let tag = &run.to_str().unwrap()["run-".len()..][..8];
    let expected: Vec<_> = (0..all.len() - 1).map(|it| format!("{tag}-{it}")).collect();
    assert_eq!(ids(&all), expected);
    assert_eq!(all.last().unwrap().data, "[DONE]");
}

#[tokio::test]
async fn an_answer_that_has_ended_replays_the_same() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let first = whole(chats.handle(post(STORY)).await).await;
    let second = whole(chats.handle(resume()).await).await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_second_tab_reads_along_and_the_relay_is_read_once() {
    let relay = relay(PACE);
    let (client, requests) = watched(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("Once").await;
    let second = Reading::new(chats.handle(resume()).await);
    let third = Reading::new(chats.handle(resume()).await);
    let (first, second, third) = tokio::join!(first.whole(), second.whole(), third.whole());
    assert_eq!(first, second);
    assert_eq!(first, third);
    let requests = requests.lock().unwrap();
    let streams = requests.iter().filter(|line| line.contains("/chat/"));
    assert_eq!(streams.collect::<Vec<_>>(), ["POST /v1/chat/echo"]);
}

#[tokio::test]
async fn a_browser_continues_from_its_cursor() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let all = whole(chats.handle(post(STORY)).await).await;

    let behind = chats.handle(resume_behind(ids(&all)[1])).await;
    assert_eq!(whole(behind).await, all[2..]);
    let query = |query: &str| request("GET", &format!("/api/chat/chat-1/stream?{query}"), "");
    assert_eq!(
        whole(chats.handle(query("startIndex=3")).await).await,
        all[3..]
    );
    let last = chats.handle(query("startIndex=-2")).await;
    let tail = last.headers()["x-workflow-stream-tail-index"]
        .to_str()
        .unwrap();
    assert_eq!(tail, (all.len() - 2).to_string());
    assert_eq!(whole(last).await, all[all.len() - 3..]);
    let wrong = chats.handle(query("startIndex=x")).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_cursor_of_an_older_answer_gets_the_current_one_from_its_start() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let response = chats.handle(post(STORY)).await;
    let run = response.headers()["x-workflow-run-id"].clone();
    let older = whole(response).await;
    let last = ids(&older)[ids(&older).len() - 1];
    let gone = chats.handle(resume_behind(last)).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);

    // While the current answer is given, and when it is over.
    let response = chats.handle(post("And then?")).await;
    let early = Reading::new(chats.handle(resume_behind(last)).await);
    let current = whole(response).await;
    assert_eq!(early.whole().await, current);
    for id in ids(&older) {
        let again = chats.handle(resume_behind(id)).await;
        assert_eq!(again.status(), StatusCode::OK, "behind {id}");
        assert_eq!(whole(again).await, current, "behind {id}");
    }
    assert_eq!(text(&current), "And then?");

    // The older one is there by its id.
    for (id, expected) in [
        (ids(&older)[1], &older[2..]),
        (ids(&current)[1], &older[..]),
    ] {
        let mut request = resume_behind(id);
        let path = format!("/api/chat/{}/stream", run.to_str().unwrap());
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(whole(chats.handle(request).await).await, expected);
    }
}

#[tokio::test]
async fn an_unknown_event_id_gets_the_answer_from_its_start() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let all = whole(chats.handle(post(STORY)).await).await;
    let id = ids(&all)[1];
    for wrong in [
        "",
        "1",
        "-1",
        "x",
        "msg_1",
        "ü",
        &id[1..],
        &format!(" 0{id}"),
        &format!("{id}.5"),
        &format!("{id}00000000000000000000"),
        &id.replace('-', "-+"),
        &id.replace('-', "--"),
        &id.replace('-', "_"),
    ] {
        let again = chats.handle(resume_behind(wrong)).await;
        assert_eq!(again.status(), StatusCode::OK, "behind {wrong:?}");
        assert_eq!(whole(again).await, all, "behind {wrong:?}");
    }
}

#[tokio::test]
async fn a_cursor_beyond_the_end_ends_a_reader_that_would_ask_again() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let from = |index: usize| {
        let path = format!("/api/chat/chat-1/stream?startIndex={index}");
        chats.handle(request("GET", &path, ""))
    };
    // While the run goes on, it is not known yet that the index is beyond the end.
    let first = chats.handle(post(STORY)).await;
    let run = first.headers()["x-workflow-run-id"].clone();
    let tag = &run.to_str().unwrap()["run-".len()..][..8];
    let behind = |index: usize| chats.handle(resume_behind(&format!("{tag}-{index}")));
    let early = Reading::new(from(10_000).await);
    let late = Reading::new(behind(10_000).await);
    let all = whole(first).await;
    let chunks = all.len() - 1;
    assert_eq!(kinds(&all[chunks - 1..]), ["finish", "[DONE]"]);
    for reading in [
        early,
        late,
        Reading::new(from(chunks).await),
        Reading::new(from(chunks + 7).await),
    ] {
        let events = reading.whole().await;
        assert_eq!(kinds(&events), ["finish", "[DONE]"]);
        assert_eq!(events[0].id, None, "it is no chunk of the run");
    }
    assert_eq!(whole(from(chunks - 1).await).await, all[chunks - 1..]);
    // A reader that reconnects by itself after the last event stops only at a 204.
    assert_eq!(whole(behind(chunks - 2).await).await, all[chunks - 1..]);
    for id in [chunks - 1, chunks + 7] {
        assert_eq!(behind(id).await.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_run_is_found_by_its_id() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let response = chats.handle(post(STORY)).await;
    let id = response.headers()["x-workflow-run-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let all = whole(response).await;
    let again = chats
        .handle(request("GET", &format!("/api/chat/{id}/stream"), ""))
        .await;
    assert_eq!(whole(again).await, all);
}

#[tokio::test]
async fn a_second_message_is_refused_until_the_first_answer_has_ended() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("Once").await;
    let second = chats.handle(post("And then?")).await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
    first.whole().await;
    let third = whole(chats.handle(post("And then?")).await).await;
    assert_eq!(text(&third), "And then?");
    assert_eq!(whole(chats.handle(resume()).await).await, third);
}

#[tokio::test]
async fn nobody_sees_the_answer_of_another_conversation() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let log = twentyfirst_client::run_log::MemoryLog::new(tokio::time::sleep);
    let ours = chats(&client, &conversation(&client).await).run_log(log.clone());
    let theirs = chats(&client, &elsewhere()).run_log(log);
    whole(ours.handle(post(STORY)).await).await;
    // It gets the response of the relay, which knows no such sandbox.
    assert_eq!(
        theirs.handle(resume()).await.status(),
        StatusCode::NOT_FOUND
    );
}
