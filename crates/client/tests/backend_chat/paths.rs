//! Paths and methods.

use std::sync::{Arc, Mutex};

use twentyfirst_client::StartRun;
use twentyfirst_client::backend::{
    ChatHandler, ChatRequest, Refusal, ThreadHandler, ThreadRequest,
};

use crate::support::{post, read, relay, request};

/// Returns the chat that a handler's function is called for, or the refusal.
async fn asked(method: &str, path: &str) -> String {
    let id = Arc::new(Mutex::new(None));
    let see = Arc::clone(&id);
    let (client, _) = relay(|target| panic!("{target} was sent"));
    let chats = ChatHandler::new(client, move |request: ChatRequest| {
        let see = Arc::clone(&see);
        async move {
            let id = request.read().await?.id;
            see.lock().unwrap().replace(id);
            Err::<StartRun, _>(Refusal::not_found("there is no such chat"))
        }
    });
    let body = match method {
        "POST" => post("Hi").into_body(),
        _ => "".into(),
    };
    let (status, headers, body) = read(chats.handle(request(method, path, body)).await).await;
    let id = id.lock().unwrap().take();
    let allow = headers.get("allow").map(|allow| allow.to_str().unwrap());
    id.map_or_else(
        || {
            format!("{} {body} {}", status.as_u16(), allow.unwrap_or_default())
                .trim_end()
                .to_owned()
        },
        |id| format!("{id:?}"),
    )
}

#[tokio::test]
async fn a_message_is_accepted_at_any_path() {
    for path in [
        "/api/chat",
        "/api/chat/",
        "/api/chat/stream",
        "/stream",
        "/",
        "/api/chat/chat-1/stream",
    ] {
        assert_eq!(asked("POST", path).await, "\"chat-1\"", "{path}");
    }
}

#[tokio::test]
async fn the_segment_before_stream_is_the_id() {
    for method in ["GET", "DELETE"] {
        for (path, id) in [
            ("/api/chat/chat-1/stream", "chat-1"),
            ("/api/chat/chat-1/stream/", "chat-1"),
            ("/api/chat/stream/stream", "stream"),
            ("/api/chat//chat-1/stream?x=/y/stream", "chat-1"),
            ("/chat-1/stream", "chat-1"),
            ("/api/chat/a%2Fb%20c/stream", "a/b c"),
            ("/api/chat/gr%C3%BCezi/stream", "grüezi"),
            // Decoded once.
            ("/api/chat/a%2561/stream", "a%61"),
            ("/api/chat/a+b%/stream", "a+b%"),
        ] {
            assert_eq!(
                asked(method, path).await,
                format!("{id:?}"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn ambiguous_and_missing_ids_are_refused() {
    let mut responses = Vec::new();
    for method in ["GET", "DELETE"] {
        for path in [
            "/api/chat/%FF/stream",
            "/api/chat/a%ED%A0%BD/stream",
            "/api/chat/%C3/stream",
            "/api/chat//stream",
            "/api/chat",
            "/api/chat/chat-1/stream//",
        ] {
            responses.push(format!("{method} {path}: {}", asked(method, path).await));
        }
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn a_query_is_decoded_as_by_url_search_params() {
    let mut responses = Vec::new();
    for query in [
        "sandboxId=a%2Fb+c",
        "x&sandbox%49d=sb_1&sandboxId=sb_2",
        "sandboxId=%FF",
        "other=%FF&%FF=1&sandboxId=sb_1",
        "sandboxId=a%2561",
        "sandboxId=",
        "sandboxId",
        "sandboxid=sb_1",
        "",
    ] {
        let (client, _) = relay(|target| panic!("{target} was sent"));
        let threads = ThreadHandler::new(client, async |request: ThreadRequest| {
            let body = request.read().await?;
            Err(Refusal::not_found(format!("{:?}", body.sandbox_id)))
        });
        let path = format!("/api/threads?{query}");
        let (status, _, body) = read(threads.handle(request("GET", &path, "")).await).await;
        responses.push(format!("{query}: {} {body}", status.as_u16()));
    }
    insta::assert_debug_snapshot!(responses);
}
