//! The database of the service.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::protocol::threads::Usage;
use twentyfirst_client::{RunRef, SandboxId};

use super::Failure;

/// A review, as it is stored and shown.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Review {
    /// Also the id of its turn.
    pub(crate) id: String,
    pub(crate) repository: String,
    pub(crate) question: String,
    /// `starting`, `running`, or how it has ended: `completed`, `cancelled`, `failed` or `lost`.
    pub(crate) status: String,
    pub(crate) answer: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) error: Option<String>,
    pub(crate) run: Option<RunRef>,
    /// `None` after it was deleted.
    pub(crate) sandbox: Option<SandboxId>,
}

impl Review {
    pub(crate) fn is_open(&self) -> bool {
        matches!(&*self.status, "starting" | "running")
    }

    pub(crate) fn fail(&mut self, error: String) {
        self.status = "failed".to_owned();
        self.error = Some(error);
    }
}

/// The reviews, in a file that only this process opens. Each call takes milliseconds, so it may block its task.
pub(crate) struct Reviews(Mutex<Connection>);

const TABLE: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    BEGIN EXCLUSIVE;
    CREATE TABLE IF NOT EXISTS reviews (id TEXT PRIMARY KEY, review TEXT NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS statuses ON reviews (review ->> 'status');
    COMMIT;
";

/// The condition for reviews that are not over.
const OPEN: &str = "review ->> 'status' IN ('starting', 'running')";

impl Reviews {
    pub(crate) fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(TABLE)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Creates a review, unless `room` reviews are already under way.
    pub(crate) fn begin(
        &self,
        repository: String,
        question: String,
        room: u32,
    ) -> Result<Review, Failure> {
        let database = self.database();
        let count =
            format!("SELECT count(*), lower(hex(randomblob(16))) FROM reviews WHERE {OPEN}");
        let (open, id) =
            database.query_row(&count, (), |row| Ok((row.get::<_, u32>(0)?, row.get(1)?)))?;
        if open >= room {
            let refusal = Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many reviews are under way",
            );
            return Err(refusal.retry_after(Duration::from_secs(10)).into());
        }
        let review = Review {
            id,
            repository,
            question,
            status: "starting".to_owned(),
            answer: None,
            usage: Usage::default(),
            error: None,
            run: None,
            sandbox: None,
        };
        put(&database, &review)?;
        Ok(review)
    }

    pub(crate) fn keep(&self, review: &Review) -> rusqlite::Result<()> {
        put(&self.database(), review)
    }

    pub(crate) fn get(&self, id: &str) -> Result<Review, Failure> {
        let query = "SELECT review FROM reviews WHERE id = ?1";
        let review = self
            .database()
            .query_row(query, [id], review_in)
            .optional()?;
        Ok(review.ok_or_else(|| Refusal::not_found("there is no such review"))?)
    }

    /// Returns the reviews that are not over, and those whose sandbox may still exist.
    pub(crate) fn unfinished(&self) -> rusqlite::Result<Vec<Review>> {
        let query =
            format!("SELECT review FROM reviews WHERE {OPEN} OR review ->> 'sandbox' IS NOT NULL");
        self.database()
            .prepare(&query)?
            .query_map((), review_in)?
            .collect()
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(database: &Connection, review: &Review) -> rusqlite::Result<()> {
    let insert = "INSERT OR REPLACE INTO reviews (id, review) VALUES (?1, ?2)";
    database.execute(insert, (&review.id, json!(review)))?;
    Ok(())
}

fn review_in(row: &Row<'_>) -> rusqlite::Result<Review> {
    serde_json::from_value(row.get::<_, Value>(0)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}
