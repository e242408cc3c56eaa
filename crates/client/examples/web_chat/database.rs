//! What the server keeps: whose chat it is, where it takes place, and what it has cost.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{SandboxId, Session, UiMessage};

use crate::common::errors::print_error;
use crate::users::User;

/// The tables. Each call takes microseconds, so none needs a thread of its own.
pub(crate) struct Database(Mutex<Connection>);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS chats (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        title TEXT NOT NULL,
        session TEXT NOT NULL,
        turn TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS chats_of_user ON chats (user);
    CREATE TABLE IF NOT EXISTS answers (
        id TEXT PRIMARY KEY,
        chat TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        cost REAL NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS answers_in_chat ON answers (chat);
";

/// What is kept of a chat beside its messages.
pub(crate) struct Kept {
    /// The last turn that has begun. The relay stores it with its answer, and not at all if that was stopped.
    pub(crate) turn: Value,
    /// Of all answers together.
    pub(crate) usage: Value,
}

impl Database {
    pub(crate) fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // Other processes may have it open.
        connection.busy_timeout(Duration::from_secs(5))?;
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

    /// Stores what a turn that has begun takes place in.
    pub(crate) fn begin_turn(
        &self,
        id: &str,
        session: &Session,
        turn: &UiMessage,
    ) -> Result<(), Refusal> {
        let update = "UPDATE chats SET session = ?2, turn = ?3 WHERE id = ?1";
        let values = params![id, json!(session), json!(turn)];
        self.with(|connection| connection.execute(update, values))?;
        Ok(())
    }

    /// What took place in this sandbox goes on elsewhere.
    pub(crate) fn forget_sandbox(&self, sandbox_id: &SandboxId) -> Result<(), Refusal> {
        let update = "UPDATE chats SET session = json_remove(session, '$.sandboxId', '$.threadId')
            WHERE session ->> 'sandboxId' = ?1";
        self.with(|connection| connection.execute(update, [sandbox_id.as_str()]))?;
        Ok(())
    }

    /// Keeps what an answer has used: once, however often it is told.
    pub(crate) fn keep_usage(
        &self,
        chat: &str,
        answer: &UiMessage,
        usage: &Usage,
    ) -> Result<(), Refusal> {
        let Some(id) = &answer.id else {
            return Ok(());
        };
        let insert = "INSERT INTO answers (id, chat, tokens, cost) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING";
        let tokens = i64::try_from(usage.total_tokens.unwrap_or_default()).unwrap_or(i64::MAX);
        let cost = usage.total_cost_usd.unwrap_or_default();
        let values = params![id.to_string(), chat, tokens, cost];
        self.with(|connection| connection.execute(insert, values))?;
        Ok(())
    }

    pub(crate) fn kept(&self, id: &str) -> Result<Kept, Refusal> {
        let query = "SELECT turn, total(tokens), total(cost)
            FROM chats LEFT JOIN answers ON answers.chat = chats.id WHERE chats.id = ?1";
        self.with(|connection| {
            connection.query_row(query, [id], |row| {
                let (tokens, cost): (f64, f64) = (row.get(1)?, row.get(2)?);
                let usage = json!({ "totalTokens": tokens as u64, "totalCostUsd": cost });
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
