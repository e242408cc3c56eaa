//! What the server keeps: whose chat it is, where it takes place, and what it has cost.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{SandboxId, Session, UiMessage};

use crate::common::print_error;
use crate::users::User;

/// The tables. Each call takes microseconds, so none needs a thread of its own.
pub(crate) struct Database(Mutex<Connection>);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS chats (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        title TEXT NOT NULL,
        session TEXT NOT NULL,
        turn TEXT,
        tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX IF NOT EXISTS chats_of_user ON chats (user);
    -- Whoever was being answered when the server was stopped is not any more.
    UPDATE chats SET turn = NULL;
";

/// What is kept of a chat beside its messages.
pub(crate) struct Kept {
    /// The turn that is being answered.
    pub(crate) turn: Value,
    /// Of all answers together.
    pub(crate) usage: Value,
}

impl Database {
    pub(crate) fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(TABLES)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// An id that nobody guesses.
    pub(crate) fn random_id(&self) -> Result<String, Refusal> {
        let query = "SELECT lower(hex(randomblob(16)))";
        self.with(|connection| connection.query_row(query, (), |row| row.get(0)))
    }

    /// The session of a chat; a first message makes one, in the user's sandbox if there is one already.
    pub(crate) fn open_chat(
        &self,
        user: &User,
        id: &str,
        agent: &str,
        turn: &UiMessage,
    ) -> Result<Session, Refusal> {
        if let Some(session) = self.find_session(user, id)? {
            return Ok(session);
        }
        let newest = "SELECT session FROM chats WHERE user = ?1 ORDER BY rowid DESC LIMIT 1";
        let newest = self.with(|connection| {
            let row = connection.query_row(newest, [&user.0], session_in);
            row.optional()
        })?;
        let newest = newest.filter(|session| session.agent == agent);
        let session = newest.map_or_else(|| Session::new(agent), |session| session.new_thread());
        let title: String = turn.text().trim().chars().take(60).collect();
        let insert = "INSERT INTO chats (id, user, title, session) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING";
        let inserted = self.with(|connection| {
            connection.execute(insert, params![id, user.0, title, json!(session)])
        });
        match inserted? {
            // It is there already, and not this user's.
            0 => Err(no_such_chat()),
            _ => Ok(session),
        }
    }

    /// The session of a chat that there is.
    pub(crate) fn session(&self, user: &User, id: &str) -> Result<Session, Refusal> {
        self.find_session(user, id)?.ok_or_else(no_such_chat)
    }

    fn find_session(&self, user: &User, id: &str) -> Result<Option<Session>, Refusal> {
        let query = "SELECT session FROM chats WHERE id = ?1 AND user = ?2";
        self.with(|connection| {
            let row = connection.query_row(query, [id, &user.0], session_in);
            row.optional()
        })
    }

    pub(crate) fn store_session(&self, id: &str, session: &Session) -> Result<(), Refusal> {
        let update = "UPDATE chats SET session = ?2 WHERE id = ?1";
        self.with(|connection| connection.execute(update, params![id, json!(session)]))?;
        Ok(())
    }

    /// What took place in this sandbox goes on elsewhere.
    pub(crate) fn forget_sandbox(&self, sandbox_id: &SandboxId) -> Result<(), Refusal> {
        let update = "UPDATE chats SET session = json_remove(session, '$.sandboxId', '$.threadId')
            WHERE session ->> 'sandboxId' = ?1";
        self.with(|connection| connection.execute(update, [sandbox_id.as_str()]))?;
        Ok(())
    }

    /// Adds what a run has used.
    pub(crate) fn add_usage(&self, id: &str, usage: &Usage) -> Result<(), Refusal> {
        let update = "UPDATE chats SET tokens = tokens + ?2, cost = cost + ?3 WHERE id = ?1";
        let tokens = i64::try_from(usage.total_tokens.unwrap_or_default()).unwrap_or(i64::MAX);
        let cost = usage.total_cost_usd.unwrap_or_default();
        self.with(|connection| connection.execute(update, params![id, tokens, cost]))?;
        Ok(())
    }

    pub(crate) fn kept(&self, id: &str) -> Result<Kept, Refusal> {
        let query = "SELECT turn, tokens, cost FROM chats WHERE id = ?1";
        self.with(|connection| {
            connection.query_row(query, [id], |row| {
                let (tokens, cost): (i64, f64) = (row.get(1)?, row.get(2)?);
                let usage = json!({ "totalTokens": tokens, "totalCostUsd": cost });
                let turn: Option<Value> = row.get(0)?;
                Ok(Kept {
                    turn: turn.unwrap_or_default(),
                    usage,
                })
            })
        })
    }

    /// The chats of a user, the newest first.
    pub(crate) fn chats(&self, user: &User) -> Result<Vec<Value>, Refusal> {
        let query = "SELECT id, title FROM chats WHERE user = ?1 ORDER BY rowid DESC";
        self.with(|connection| {
            let mut rows = connection.prepare_cached(query)?;
            let chats = rows.query_map([&user.0], |row| {
                let (id, title): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(json!({ "id": id, "title": title }))
            })?;
            chats.collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Refusal> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|error| {
            print_error(&error);
            Refusal::internal("the database failed")
        })
    }
}

/// A session is stored as JSON.
fn session_in(row: &Row<'_>) -> rusqlite::Result<Session> {
    let session: Value = row.get(0)?;
    serde_json::from_value(session).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

fn no_such_chat() -> Refusal {
    Refusal::not_found("there is no such chat")
}

/// Keeps the turn of a chat for as long as it is being answered: until this is dropped.
pub(crate) struct Answering {
    database: Arc<Database>,
    id: String,
}

impl Answering {
    pub(crate) fn begin(
        database: &Arc<Database>,
        id: &str,
        turn: &UiMessage,
    ) -> Result<Self, Refusal> {
        let update = "UPDATE chats SET turn = ?2 WHERE id = ?1 AND turn IS NULL";
        let begun =
            database.with(|connection| connection.execute(update, params![id, json!(turn)]))?;
        if begun == 0 {
            let message = "the last message is still being answered";
            return Err(Refusal::new(StatusCode::CONFLICT, message));
        }
        Ok(Self {
            database: Arc::clone(database),
            id: id.to_owned(),
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let update = "UPDATE chats SET turn = NULL WHERE id = ?1";
        let ended = self
            .database
            .with(|connection| connection.execute(update, [&self.id]));
        // What goes wrong is printed.
        ended.ok();
    }
}
