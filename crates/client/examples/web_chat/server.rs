//! The server: chats with an agent, whose answers are recorded and replayed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use serde::Deserialize;
use serde_json::{Value, json};
use twentyfirst_client::backend::{
    ChatHandler, ChatRequest, ChatRun, Period, Refusal, SpendingLimit, TurnOrder,
};
use twentyfirst_client::protocol::ui::Role;
use twentyfirst_client::run_log::AnyRunLog;
use twentyfirst_client::{AgentClient, Session, UiMessage};

use crate::common;
use crate::database::{Database, Turn};
use crate::page;
use crate::users::{self, User};

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) client: AgentClient,
    pub(crate) agent: String,
    pub(crate) database: Arc<Database>,
    /// The most that each user may spend a day, in US dollars.
    pub(crate) budget: Option<f64>,
}

impl Server {
    /// Returns the routes, and the chat handler among them.
    pub(crate) fn app(self, log: Option<AnyRunLog>) -> (Router, ChatHandler) {
        let chats = chats(self.clone(), log);
        let users = middleware::from_fn_with_state(Arc::clone(&self.database), users::identify);
        let app = Router::new()
            .route_service("/api/chat", chats.clone())
            .route_service("/api/chat/{id}/stream", chats.clone())
            .route("/api/chats", get(list))
            .route("/api/chats/{id}", get(show))
            .route("/", get(page::index))
            .layer(Extension(chats.clone()))
            .layer(users)
            .merge(page::files())
            .with_state(self);
        (app, chats)
    }
}

/// Creates the chat handler: the `api` of `useChat` in the AI SDK. It records answers in this log, or in its own log in memory.
fn chats(server: Server, log: Option<AnyRunLog>) -> ChatHandler {
    let limit = server.budget.map(|dollars| match &log {
        Some(log) => SpendingLimit::in_run_log(log.clone(), Period::Day).per_owner(dollars),
        None => SpendingLimit::in_memory(Period::Day).per_owner(dollars),
    });
    let database = Arc::clone(&server.database);
    let chats = ChatHandler::new(server.client.clone(), move |request: ChatRequest| {
        run_in_chat(server.clone(), request)
    })
    .on_error(|error| common::errors::print_error(error))
    // Called by the instance that follows the run to its end, perhaps another one than started it.
    .on_end(move |ended| {
        let database = Arc::clone(&database);
        async move { database.end_turn(ended) }
    });
    let chats = match log {
        Some(log) => chats.run_log(log),
        None => chats,
    };
    match limit {
        Some(limit) => chats.budget(limit),
        None => chats,
    }
}

/// Decides the run of a request. The database stores its turn when the run has started.
async fn run_in_chat(server: Server, request: ChatRequest) -> Result<ChatRun, Refusal> {
    let database = &server.database;
    let user = request.head.extensions.get::<User>();
    let user = user.ok_or_else(|| Refusal::unauthorized("open the page first"))?;
    let user = user.clone();
    let asked = request.read().await?;
    let turn = asked.messages.as_slice().last().cloned();
    let session = match &turn {
        Some(turn) => {
            let session = database.open_chat(&user, &asked.id, &server.agent, turn)?;
            in_a_sandbox_that_lives(&server, session).await?
        }
        None => database.session(&user, &asked.id)?,
    };
    // Browsers choose the ids of chats. The owner keeps equal ids of two users apart in the log.
    let members: Members = asked.members()?;
    let run = ChatRun::new(session.run(asked.messages))
        .owner(&user.0)
        .turn_order(members.turn_order.into());
    let Some(turn) = turn else {
        return Ok(run);
    };
    let replaces = match members.turn_order {
        // The new turn repeats the question that it interrupts, and so replaces it.
        Order::Interrupt => database.open_turn(&asked.id)?,
        _ => members.replaces,
    };
    let turns = (asked.id, Arc::clone(database));
    Ok(run.on_started(async move |started| {
        let (id, database) = turns;
        database.begin_turn(&id, &started.run, turn, replaces.as_deref())
    }))
}

/// The members that a page can add to a message: `sendMessage({ text }, { body: { turnOrder: "enqueue" } })`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Members {
    turn_order: Order,
    /// The id of the message to ask again, whose turn was stopped or failed.
    replaces: Option<String>,
}

/// The fate of a message that arrives during an answer.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Refuse,
    Enqueue,
    Interrupt,
}

impl From<Order> for TurnOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Refuse => Self::Refuse,
            Order::Enqueue => Self::enqueue(),
            Order::Interrupt => Self::Interrupt,
        }
    }
}

/// Returns the session, or a new one if its sandbox is gone. The first run of a new session creates a sandbox.
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

/// Lists the chats of this browser.
async fn list(State(server): State<Server>, Extension(user): Extension<User>) -> JsonResponse {
    let chats = server.database.chats(&user);
    let chats = chats.map_err(http::Response::from)?;
    Ok(Json(json!({ "chats": chats })))
}

/// Returns the messages of a chat, and the turn that is still running.
async fn show(
    State(server): State<Server>,
    Extension(chats): Extension<ChatHandler>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> JsonResponse {
    let chat = chat(&server, &chats, &user, &id).await;
    Ok(Json(chat.map_err(http::Response::from)?))
}

type JsonResponse = axum::response::Result<Json<Value>>;

async fn chat(
    server: &Server,
    chats: &ChatHandler,
    user: &User,
    id: &str,
) -> Result<Value, Refusal> {
    let database = &server.database;
    let session = database.session(user, id)?;
    // In this order, so that a turn that ends meanwhile is found among the stored ones.
    let open = chats.open_turns(&user.0, id).await;
    let (mut messages, is_streaming) = stored(&server.client, &session).await?;
    // A page may ask just before `end_turn` is called. The stored answer has its cost, too.
    for message in &messages {
        let metadata = message.metadata.as_ref();
        if let Some(usage) = metadata.and_then(|metadata| metadata.deserialize().ok()) {
            database.keep_usage(id, message, &usage)?;
        }
    }
    let begun = add_turns(&mut messages, database.turns(id)?);
    // Only the run log knows a turn that is still starting.
    let open = open
        .first()
        .and_then(|turn| turn.messages.as_slice().last());
    let turn = open.cloned().or(begun);
    let is_known = |turn: &UiMessage| messages.iter().any(|message| message.id == turn.id);
    let turn = turn.filter(|turn| !is_known(turn));
    Ok(json!({
        "messages": messages,
        "streaming": is_streaming,
        "turn": turn,
        "usage": database.usage(id)?,
    }))
}

/// Inserts the turns that the relay has not stored. Returns the last one if it is still running.
fn add_turns(messages: &mut Vec<UiMessage>, turns: Vec<Turn>) -> Option<UiMessage> {
    let mut at = 0;
    let mut turns = turns.into_iter().peekable();
    while let Some(turn) = turns.next() {
        let is_question = |message: &UiMessage| message.id == turn.question.id;
        if let Some(stored) = messages.iter().position(is_question) {
            let mut rest = messages.iter().skip(stored + 1);
            let next = rest.position(|message| message.role == Role::User);
            at = next.map_or(messages.len(), |next| stored + 1 + next);
        } else if turn.is_over && turn.answer.is_none() {
            // It has completed. The relay has lost it with its sandbox.
        } else if !turn.is_over && turns.peek().is_none() {
            return Some(turn.question);
        } else {
            // It was stopped, failed, or was lost: the relay has not stored it.
            let kept = [Some(turn.question), turn.answer].into_iter().flatten();
            let count = messages.len();
            messages.splice(at..at, kept);
            at += messages.len() - count;
        }
    }
    None
}

async fn stored(
    client: &AgentClient,
    session: &Session,
) -> Result<(Vec<UiMessage>, bool), Refusal> {
    // Before the first run has started there is no thread.
    let Ok(hydrate) = session.hydrate() else {
        return Ok((Vec::new(), false));
    };
    match client.execute(&hydrate).await {
        Ok(thread) => {
            let is_streaming = thread.is_streaming();
            Ok((thread.into_ui_messages(), is_streaming))
        }
        // The messages are gone with their sandbox.
        Err(error) if error.is_not_found() => Ok((Vec::new(), false)),
        Err(error) => Err(error.into()),
    }
}
