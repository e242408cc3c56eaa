//! Chats in the browser: one page, its server, and SQLite.
//!
//! ```text
//! cargo run --example web_chat           # on any free port
//! cargo run --example web_chat -- 8080   # or PORT=8080
//! ```
//!
//! Without a key it starts a local relay, whose agent runs the lines of a message that begin with `$`. With
//! `API_KEY_21ST` and `AGENT_SLUG` it talks to the real one. The chats are kept in the file that `DATABASE` names; without
//! it in `web_chat.db`, and with the local relay, whose sandboxes end with it, in memory.
//!
//! It listens on this machine only. Every browser is a user of its own, by a cookie.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "it is shared with examples in the terminal")]
mod common;

mod agent;
mod database;
mod users;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Html;
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Observed, Refusal};
use twentyfirst_client::{AgentClient, Session};
use twentyfirst_local_relay::LocalRelay;

use crate::database::{Answering, Database};
use crate::users::User;

/// How long the server reads on when a browser has left, to learn what the answer has cost.
const READ_ON: Duration = Duration::from_secs(30 * 60);

#[tokio::main]
async fn main() -> ExitCode {
    common::exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    // The relay has to live as long as it is used.
    let (client, agent, relay) = connect()?;
    let database = match env::var("DATABASE") {
        Ok(path) => Database::open(&path)?,
        Err(_) if relay.is_some() => Database::open(":memory:")?,
        Err(_) => Database::open("web_chat.db")?,
    };
    let port = env::args().nth(1).or_else(|| env::var("PORT").ok());
    let port: u16 = port.as_deref().unwrap_or("0").parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    let app = app(client, agent, Arc::new(database));
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}

/// The real relay with `API_KEY_21ST` and `AGENT_SLUG`, else one in this process.
fn connect() -> Result<(AgentClient, String, Option<LocalRelay>), Box<dyn Error>> {
    if env::var_os("API_KEY_21ST").is_some() {
        let agent = env::var("AGENT_SLUG")
            .map_err(|_| "API_KEY_21ST is set, and AGENT_SLUG is to name an agent")?;
        return Ok((AgentClient::from_env()?, agent, None));
    }
    let relay = LocalRelay::builder()
        .agent("assistant", agent::assistant())
        // The real relay holds the answer back from whoever joins in the middle, mostly until its end.
        .hold_back(Duration::ZERO)
        .start()?;
    println!("No API_KEY_21ST: using a local relay at {}.", relay.url());
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()?;
    Ok((client, "assistant".to_owned(), Some(relay)))
}

#[derive(Clone)]
struct Server {
    client: AgentClient,
    agent: String,
    database: Arc<Database>,
}

fn app(client: AgentClient, agent: String, database: Arc<Database>) -> Router {
    let server = Server {
        client,
        agent,
        database,
    };
    let chats = chats(server.clone());
    Router::new()
        .route_service("/api/chat", chats.clone())
        .route_service("/api/chat/{id}/stream", chats)
        .route("/api/chats", get(list))
        .route("/api/chats/{id}", get(show))
        .route("/", get(async || Html(include_str!("index.html"))))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&server.database),
            users::identify,
        ))
        .with_state(server)
}

/// What `useChat` of the AI SDK calls its `api`.
fn chats(server: Server) -> ChatHandler {
    ChatHandler::new(server.client.clone(), move |request: ChatRequest| {
        run_in_chat(server.clone(), request)
    })
    .read_on(READ_ON)
    .on_error(|error| common::print_error(error))
}

/// Which run a request is about, and what the database keeps of it.
async fn run_in_chat(server: Server, request: ChatRequest) -> Result<ChatRun, Refusal> {
    let database = &server.database;
    let user = request.head.extensions.get::<User>();
    let user = user.ok_or_else(|| Refusal::unauthorized("open the page first"))?;
    let turn = request.messages.as_slice().last().cloned();
    let session = match &turn {
        Some(turn) => {
            let session = database.open_chat(user, &request.id, &server.agent, turn)?;
            in_a_sandbox_that_lives(&server, session).await?
        }
        None => database.session(user, &request.id)?,
    };
    let run = ChatRun::new(session.run(request.messages));
    let Some(turn) = turn else {
        return Ok(run);
    };
    // Until the run is over, or could not start, a page that is loaded again shows the turn, which the relay has not stored.
    let answering = Answering::begin(database, &request.id, &turn)?;
    let (id, database) = (request.id, Arc::clone(database));
    let sessions = (id.clone(), Arc::clone(&database));
    let run = run.on_started(async move |started| {
        let (id, database) = sessions;
        database.store_session(&id, &started.run.session())
    });
    Ok(run.observe(move |observed| {
        let _until_the_end = &answering;
        if let Observed::End { outcome, .. } = observed {
            // What goes wrong is printed.
            database.add_usage(&id, &outcome.usage).ok();
        }
    }))
}

/// The session as it is, or what is left of it when its sandbox is gone: the first run then makes another.
async fn in_a_sandbox_that_lives(server: &Server, session: Session) -> Result<Session, Refusal> {
    let Some(sandbox_id) = &session.sandbox_id else {
        return Ok(session);
    };
    match server.client.sandboxes().get(sandbox_id).await {
        Ok(_) => Ok(session),
        Err(error) if error.is_not_found() => {
            server.database.forget_sandbox(sandbox_id)?;
            Ok(Session::new(session.agent))
        }
        Err(error) => Err(error.into()),
    }
}

/// The chats of this browser.
async fn list(State(server): State<Server>, Extension(user): Extension<User>) -> Answer {
    let chats = server.database.chats(&user);
    let chats = chats.map_err(Refusal::into_response)?;
    Ok(Json(json!({ "chats": chats })))
}

/// What has been said in a chat, and whether there is more to come.
async fn show(
    State(server): State<Server>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> Answer {
    let chat = chat(&server, &user, &id).await;
    Ok(Json(chat.map_err(Refusal::into_response)?))
}

type Answer = axum::response::Result<Json<Value>>;

async fn chat(server: &Server, user: &User, id: &str) -> Result<Value, Refusal> {
    let session = server.database.session(user, id)?;
    let kept = server.database.kept(id)?;
    let (messages, is_streaming) = stored(&server.client, &session).await?;
    Ok(json!({
        "messages": messages,
        "streaming": is_streaming || !kept.turn.is_null(),
        // The turn that is being answered: it is stored with its answer.
        "turn": kept.turn,
        "usage": kept.usage,
    }))
}

async fn stored(client: &AgentClient, session: &Session) -> Result<(Value, bool), Refusal> {
    // Before the first run has started there is no thread.
    let Ok(hydrate) = session.hydrate() else {
        return Ok((json!([]), false));
    };
    match client.execute(&hydrate).await {
        Ok(thread) => {
            let is_streaming = thread.is_streaming();
            Ok((json!(thread.into_ui_messages()), is_streaming))
        }
        // What was said is gone with its sandbox.
        Err(error) if error.is_not_found() => Ok((json!([]), false)),
        Err(error) => Err(error.into()),
    }
}
