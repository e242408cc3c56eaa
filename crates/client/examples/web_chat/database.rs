//! The database of the server: the user, the session and the costs of each chat, and the turns that the relay does not store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use twentyfirst_client::backend::{EndedRun, Refusal};
use twentyfirst_client::protocol::runs::{RunEnd, RunRef};
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{SandboxId, Session, UiMessage};

use crate::common::errors::print_error;
use crate::users::User;

/// The database. Each call takes microseconds, so it may block its task.
pub(crate) struct Database(Mutex<Connection>);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS chats (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        title TEXT NOT NULL,
        session TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS chats_of_user ON chats (user);
    CREATE TABLE IF NOT EXISTS turns (
        chat TEXT NOT NULL,
        id TEXT NOT NULL,
        question TEXT NOT NULL,
        ended TEXT,
        answer TEXT,
        PRIMARY KEY (chat, id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS answers (
        id TEXT PRIMARY KEY,
        chat TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        cost REAL NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS answers_in_chat ON answers (chat);
";

/// A turn of a chat. The relay stores completed turns only: stopped and failed ones are kept here.
pub(crate) struct Turn {
    pub(crate) question: UiMessage,
    pub(crate) is_over: bool,
    /// The answer as far as it came, unless the relay has stored it.
    pub(crate) answer: Option<UiMessage>,
}

impl Database {
    pub(crate) fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // Other instances may write to it.
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(TABLES)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Returns an id that nobody can guess.
    pub(crate) fn random_id(&self) -> Result<String, Refusal> {
        let query = "SELECT lower(hex(randomblob(16)))";
        self.with(|connection| connection.query_row(query, (), |row| row.get(0)))
    }

    /// Returns the session of a chat. The first message of a chat creates one, in the sandbox of the user's newest chat if there is one.
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
        let title = title(&turn.text());
        let insert = "INSERT INTO chats (id, user, title, session) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING";
        let inserted = self.with(|connection| {
            connection.execute(insert, params![id, user.0, title, json!(session)])
        });
        match inserted? {
            // The chat belongs to another user.
            0 => Err(no_such_chat()),
            _ => Ok(session),
        }
    }

    /// Returns the session of an existing chat.
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

    /// Stores a turn that has started, and its session. It replaces the turn that is asked again.
    pub(crate) fn begin_turn(
        &self,
        chat: &str,
        run: &RunRef,
        question: UiMessage,
        replaces: Option<&str>,
    ) -> Result<(), Refusal> {
        let id = run.user_message_id.clone().unwrap_or_default();
        let question = question.with_id(id.clone());
        self.with(|connection| {
            connection.execute(
                "UPDATE chats SET session = ?2 WHERE id = ?1",
                params![chat, json!(run.session())],
            )?;
            connection.execute(
                "DELETE FROM turns WHERE chat = ?1 AND id = ?2",
                params![chat, replaces],
            )?;
            connection.execute(
                "INSERT INTO turns (chat, id, question) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![chat, id.to_string(), json!(question)],
            )
        })?;
        Ok(())
    }

    /// Returns the id of the question that is being answered.
    pub(crate) fn open_turn(&self, chat: &str) -> Result<Option<String>, Refusal> {
        let query =
            "SELECT id FROM turns WHERE chat = ?1 AND ended IS NULL ORDER BY rowid DESC LIMIT 1";
        self.with(|connection| {
            let row = connection.query_row(query, [chat], |row| row.get(0));
            row.optional()
        })
    }

    /// Stores how a turn ended and what it cost, with the answer as far as it came, unless the relay has stored it.
    pub(crate) fn end_turn(&self, ended: EndedRun) -> Result<(), Refusal> {
        self.keep_usage(&ended.chat, &ended.message, &ended.outcome.usage)?;
        let Some(id) = ended.run.and_then(|run| run.user_message_id) else {
            return Ok(());
        };
        let end = ended.outcome.end.as_str();
        let answer = match &ended.outcome.end {
            RunEnd::Completed => None,
            RunEnd::Failed(reason) => {
                let reason: String = reason.chars().take(500).collect();
                Some(json!({ "end": end, "error": reason }))
            }
            _ => Some(json!({ "end": end })),
        };
        let answer = answer.map(|metadata| json!(ended.message.with_metadata(metadata.into())));
        let update = "UPDATE turns SET ended = ?3, answer = ?4 WHERE chat = ?1 AND id = ?2";
        let values = params![ended.chat, id.to_string(), end, answer];
        self.with(|connection| connection.execute(update, values))?;
        Ok(())
    }

    /// Returns the turns of a chat in their order.
    pub(crate) fn turns(&self, chat: &str) -> Result<Vec<Turn>, Refusal> {
        let query = "SELECT question, ended, answer FROM turns WHERE chat = ?1 ORDER BY rowid";
        self.with(|connection| {
            let mut rows = connection.prepare_cached(query)?;
            let turns = rows.query_map([chat], |row| {
                let answer: Option<Value> = row.get(2)?;
                Ok(Turn {
                    question: from_json(row.get(0)?)?,
                    is_over: row.get::<_, Option<String>>(1)?.is_some(),
                    answer: answer.map(from_json).transpose()?,
                })
            })?;
            turns.collect()
        })
    }

    /// Removes a sandbox that is gone from all sessions, so that the next run of each creates another.
    pub(crate) fn forget_sandbox(&self, sandbox_id: &SandboxId) -> Result<(), Refusal> {
        let update = "UPDATE chats SET session = json_remove(session, '$.sandboxId', '$.threadId')
            WHERE session ->> 'sandboxId' = ?1";
        self.with(|connection| connection.execute(update, [sandbox_id.as_str()]))?;
        Ok(())
    }

    /// Stores the usage of an answer, once for each answer id.
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

    /// Returns the usage of all answers of a chat.
    pub(crate) fn usage(&self, chat: &str) -> Result<Value, Refusal> {
        let query = "SELECT total(tokens), total(cost) FROM answers WHERE chat = ?1";
        self.with(|connection| {
            connection.query_row(query, [chat], |row| {
                let (tokens, cost): (f64, f64) = (row.get(0)?, row.get(1)?);
                Ok(json!({ "totalTokens": tokens as u64, "totalCostUsd": cost }))
            })
        })
    }

    /// Returns the chats of a user, the newest first.
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

fn session_in(row: &Row<'_>) -> rusqlite::Result<Session> {
    from_json(row.get(0)?)
}

/// Sessions and messages are stored as JSON.
fn from_json<T: DeserializeOwned>(json: Value) -> rusqlite::Result<T> {
    serde_json::from_value(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// Returns the title of a chat: the beginning of the first line.
fn title(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

fn no_such_chat() -> Refusal {
    Refusal::not_found("there is no such chat")
}
