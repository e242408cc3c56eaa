//! A chat route with axum that produces its own answers: the counterpart of `createUIMessageStreamResponse` of npm `ai` for Node.
//!
//! ```text
//! cargo run -p twentyfirst-stream --example chat_route
//! ```
//!
//! Prints its URL and ends with standard input. `useChat` posts to `/api/chat`; the text of the last message names the answer: `everything`,
//! `failed` or `aborted`. `GET /messages/{name}` returns the message that our own assembler makes of the same, unencoded chunks.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;

use axum::body::Body;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use twentyfirst_protocol::ui::chunk::{
    Abort, Custom, Data, Error as ErrorChunk, File, Finish, FinishReason, MessageMetadata,
    ReasoningDelta, ReasoningEnd, ReasoningFile, ReasoningStart, SourceDocument, SourceUrl, Start,
    TextDelta, TextEnd, TextStart, ToolApprovalRequest, ToolApprovalResponse, ToolInputAvailable,
    ToolInputDelta, ToolInputError, ToolInputStart, ToolOutputAvailable, ToolOutputDenied,
    ToolOutputError,
};
use twentyfirst_protocol::ui::{Assembler, Chunk, UiMessage, encode_done, response_headers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let routes = Router::new()
        .route("/api/chat", post(chat))
        .route("/messages/{name}", get(message));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("http://{}", listener.local_addr()?);
    let input = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    axum::serve(listener, routes)
        .with_graceful_shutdown(async { drop(input.await) })
        .await?;
    Ok(())
}

/// The request body of `useChat`.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<UiMessage>,
}

async fn chat(Json(chat): Json<Chat>) -> impl IntoResponse {
    let question = chat
        .messages
        .last()
        .map(UiMessage::text)
        .unwrap_or_default();
    let events = answer(&question)
        .into_iter()
        .map(|chunk| chunk.encode_event());
    let events = events.chain([encode_done()]).map(Ok::<_, Infallible>);
    (response_headers(), Body::from_stream(stream::iter(events)))
}

async fn message(Path(name): Path<String>) -> Result<Json<UiMessage>, String> {
    let mut assembler = Assembler::new();
    for chunk in answer(&name) {
        assembler.apply(&chunk).map_err(|error| error.to_string())?;
    }
    Ok(Json(assembler.into_message()))
}

fn answer(name: &str) -> Vec<Chunk<'static>> {
    let mut chunks = vec![
        Start::new()
            .message_id(format!("message-{name}"))
            .message_metadata(json!({"model": "none", "tags": ["a"]}))
            .into(),
        Chunk::StartStep,
    ];
    let text = |id, text: &'static str| {
        let words = text
            .split_inclusive(' ')
            .map(move |word| TextDelta::new(id, word).into());
        [TextStart::new(id).into()].into_iter().chain(words)
    };
    match name {
        "everything" => {
            chunks.extend(reasoning());
            chunks.extend(calls());
            chunks.extend([Chunk::FinishStep, Chunk::StartStep]);
            chunks.extend(approvals());
            chunks.extend(attachments());
            chunks.extend(data());
            chunks.extend(text("answer", "It is 7 °C in Zürich 🥶."));
            chunks.extend([
                TextEnd::new("answer")
                    .provider_metadata(json!({"provider": {"tokens": 9}}))
                    .into(),
                MessageMetadata::new()
                    .message_metadata(json!({"tags": ["b"], "cost": 0.25}))
                    .into(),
                Chunk::FinishStep,
                Finish::new()
                    .finish_reason(FinishReason::Stop)
                    .message_metadata(json!({"totalTokens": 90}))
                    .into(),
            ]);
        }
        "failed" => {
            chunks.extend(text("half", "It is"));
            chunks.push(ErrorChunk::new("the model is overloaded").into());
        }
        _ => {
            chunks.extend(text("half", "It is"));
            chunks.push(Abort::new().reason("stopped by the user").into());
        }
    }
    chunks
}

fn reasoning() -> [Chunk<'static>; 4] {
    [
        ReasoningStart::new("thought")
            .provider_metadata(json!({"provider": {"signature": "s"}}))
            .into(),
        ReasoningDelta::new("thought", "The user means ").into(),
        ReasoningDelta::new("thought", "Zürich.").into(),
        ReasoningEnd::new("thought").into(),
    ]
}

fn calls() -> Vec<Chunk<'static>> {
    vec![
        ToolInputStart::new("call-1", "weather")
            .title("Weather")
            .into(),
        ToolInputDelta::new("call-1", "{\"place\":\"Zür").into(),
        ToolInputDelta::new("call-1", "ich\"}").into(),
        ToolInputAvailable::new("call-1", "weather")
            .input(json!({"place": "Zürich"}))
            .title("Weather")
            .into(),
        ToolOutputAvailable::new("call-1")
            .output(json!({"celsius": null}))
            .preliminary(true)
            .into(),
        ToolOutputAvailable::new("call-1")
            .output(json!({"celsius": 7, "ids": [12.5, -0.001]}))
            .into(),
        ToolInputAvailable::new("call-2", "weather")
            .input(json!({"place": "Atlantis"}))
            .into(),
        ToolOutputError::new("call-2", "there is no such place").into(),
        ToolInputError::new("call-3", "weather", "place is missing")
            .input(json!({"city": 1}))
            .into(),
        // Not declared by the application.
        ToolInputStart::new("call-4", "search").dynamic(true).into(),
        ToolInputDelta::new("call-4", "{\"query\":\"snow").into(),
        ToolInputAvailable::new("call-4", "search")
            .input(json!({"query": "snow"}))
            .dynamic(true)
            .provider_executed(true)
            .into(),
        ToolOutputAvailable::new("call-4")
            .output(json!([]))
            .dynamic(true)
            .provider_executed(true)
            .into(),
        // Never completed.
        ToolInputStart::new("call-5", "weather").into(),
        ToolInputDelta::new("call-5", "{\"place\":\"Ber").into(),
    ]
}

fn approvals() -> [Chunk<'static>; 8] {
    [
        ToolInputAvailable::new("call-6", "delete")
            .input(json!({"path": "/"}))
            .into(),
        ToolApprovalRequest::new("approval-6", "call-6").into(),
        ToolApprovalResponse::new("approval-6", false)
            .reason("not today")
            .into(),
        ToolOutputDenied::new("call-6").into(),
        ToolInputAvailable::new("call-7", "delete")
            .input(json!({"path": "/tmp"}))
            .into(),
        ToolApprovalRequest::new("approval-7", "call-7").into(),
        ToolApprovalResponse::new("approval-7", true).into(),
        ToolOutputAvailable::new("call-7")
            .output(json!("deleted"))
            .into(),
    ]
}

fn attachments() -> [Chunk<'static>; 5] {
    [
        SourceUrl::new("source-1", "https://example.com/weather")
            .title("Weather")
            .into(),
        SourceDocument::new("source-2", "application/pdf", "Climate")
            .filename("climate.pdf")
            .into(),
        File::new("data:text/plain,7", "text/plain").into(),
        ReasoningFile::new("data:text/plain,8", "text/plain").into(),
        Custom::new("provider.map")
            .provider_metadata(json!({"provider": {"zoom": 3}}))
            .into(),
    ]
}

fn data() -> [Chunk<'static>; 4] {
    [
        Data::new("progress")
            .id("p")
            .data(json!({"percent": 10}))
            .into(),
        Data::new("note").data(json!("without an id")).into(),
        Data::new("progress")
            .data(json!("seen once"))
            .transient(true)
            .into(),
        Data::new("progress")
            .id("p")
            .data(json!({"percent": 100}))
            .into(),
    ]
}
