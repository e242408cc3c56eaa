//! Reviews of repositories over HTTP: an agent answers a question about one, in the background.
//!
//! ```text
//! cargo run --example review_service                            # on any free port, with a local relay
//! API_KEY_21ST=… AGENT_SLUG=… cargo run --example review_service -- --port 8080 --at-once 20 --budget 0.50
//!
//! curl -d '{"repository":"https://github.com/octocat/Hello-World","question":"What is it?"}' -H content-type:application/json $URL/reviews
//! curl $URL/reviews/ID
//! curl -X DELETE $URL/reviews/ID
//! ```
//!
//! | | |
//! |---|---|
//! | `POST /reviews` | 202 and the [`Review`] when the run has started |
//! | `GET /reviews/{id}` | the [`Review`]: its status, answer and usage; `error` is `null` if nothing failed |
//! | `DELETE /reviews/{id}` | cancels: 202 and the [`Review`], which is `cancelled` a moment later |
//!
//! # What survives
//! The reviews are stored in SQLite (`--database`, else `reviews.db`). The names of a run, which are its sandbox, its thread and the id of
//! its turn, are stored before the run starts. So after `kill -9`, each run is followed again and none is started twice. A review whose
//! run had no names yet fails. A sandbox is deleted when its review is over, perhaps after the next start, and at the latest when its time is
//! over: [`LONGEST`].
//!
//! # Refusals
//! A refusal has a status and the body `{"error": message}`:
//!
//! | status | |
//! |---|---|
//! | 400, 415, 422 | the body cannot be read, the repository is no URL, or `git clone` failed; the relay's own 400 and 422 |
//! | 402 | the relay says that a budget is spent |
//! | 404, 410 | there is no such review, or the relay has no such agent |
//! | 409 | a review that is still starting cannot be cancelled; the relay's own 409 |
//! | 413 | the question is too long: [`LONGEST_QUESTION`]; the relay's own 413 |
//! | 429 | too many reviews are under way: `--at-once`; the relay's own 429; both with `retry-after` |
//! | 500 | the database failed |
//! | 502 | the relay failed, cannot be reached, or does not accept this server's key |
//! | 503 | the relay is not available, with `retry-after` if it names one |
//! | 504 | the relay did not respond in time |
//!
//! [`Refusal`] makes those of the relay from an error of the client; its documentation has the whole table.
//!
//! # Length
//! 313 lines of code; with `@21st-sdk/node` 367: `interop/programs/review_service.mjs`. Both are formatted by their formatters, and counted
//! without comments, empty lines and the start of the local relay. The Node client lacks statuses and codes of errors, retries, following a
//! run to its end, cancelling one run and no other, and refusals that show only what a browser may know.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is shared with other examples")]
mod common;
mod reviews;

use std::error::Error as StdError;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use pico_args::Arguments;
use serde::Deserialize;
use tokio::net::TcpListener;
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::{
    AgentClient, CallOptions, Error, FollowPolicy, RetryPolicy, RunRef, UiMessage,
};

use self::reviews::{Review, Reviews};

/// The longest time of a review, and the longest life of its sandbox.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// The longest question, in bytes.
const LONGEST_QUESTION: usize = 4000;

#[tokio::main]
async fn main() -> ExitCode {
    let served = serve(Arguments::from_env()).await;
    common::exit_code(served.map_err(|error| error as Box<dyn StdError>))
}

struct Service {
    client: AgentClient,
    agent: String,
    reviews: Reviews,
    /// The most reviews under way at once.
    at_once: u32,
    /// The most that a review may cost, in US dollars.
    budget: f64,
}

pub(crate) async fn serve(mut arguments: Arguments) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let at_once = arguments.opt_value_from_str("--at-once")?.unwrap_or(20);
    let budget = arguments.opt_value_from_str("--budget")?.unwrap_or(1.0);
    let port: u16 = arguments.opt_value_from_str("--port")?.unwrap_or(0);
    let database: Option<String> = arguments.opt_value_from_str("--database")?;
    // If the relay asks for a longer wait, the caller gets 429 with `retry-after` at once.
    let retry = RetryPolicy::standard().longest_retry_after(Duration::from_secs(2));
    let options = CallOptions::new()
        .retry(retry)
        .follow(FollowPolicy::wait().deadline(LONGEST));
    let setup = common::connect(|| AgentClient::builder().options(options));
    let setup = setup.map_err(|error| error.to_string())?;
    let service = Arc::new(Service {
        client: setup.client,
        agent: setup.agent,
        reviews: Reviews::open(database.as_deref().unwrap_or("reviews.db"))?,
        at_once,
        budget,
    });
    for review in service.reviews.unfinished()? {
        tokio::spawn(Arc::clone(&service).see_to(review));
    }
    let app = Router::new()
        .route("/reviews", post(create))
        .route("/reviews/{id}", get(read).delete(cancel))
        .with_state(service);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

#[derive(Deserialize)]
struct Wanted {
    repository: String,
    question: String,
}

type App = State<Arc<Service>>;

async fn create(
    State(service): App,
    Json(wanted): Json<Wanted>,
) -> Result<impl IntoResponse, Failure> {
    // A task of its own: the review starts even if the caller disconnects.
    let review = tokio::spawn(service.start(wanted)).await??;
    Ok((StatusCode::ACCEPTED, Json(review)))
}

async fn read(State(service): App, Path(id): Path<String>) -> Result<Json<Review>, Failure> {
    Ok(Json(service.reviews.get(&id)?))
}

async fn cancel(State(service): App, Path(id): Path<String>) -> Result<impl IntoResponse, Failure> {
    let review = service.reviews.get(&id)?;
    match &review.run {
        Some(run) if review.is_open() => service.client.threads().cancel(run).await.map(drop)?,
        None if review.is_open() => {
            return Err(Refusal::conflict("it is still being started").into());
        }
        _ => {}
    }
    Ok((StatusCode::ACCEPTED, Json(review)))
}

impl Service {
    /// Starts a review, and a task that finishes it.
    async fn start(self: Arc<Self>, wanted: Wanted) -> Result<Review, Failure> {
        wanted.check()?;
        let mut review = self
            .reviews
            .begin(wanted.repository, wanted.question, self.at_once)?;
        let asked = self.ask(&mut review).await;
        if let Err(Failure(failure)) = &asked {
            review.fail(failure.to_string());
        }
        tokio::spawn(self.see_to(review.clone()));
        asked.map(|()| review)
    }

    /// Starts the run of a review. Its names are stored before it is sent, so that a restart finds it again.
    async fn ask(&self, review: &mut Review) -> Result<(), Failure> {
        let create = self.client.sandboxes().create(&self.agent).timeout(LONGEST);
        let id = review.sandbox.insert(create.await?.id).clone();
        self.reviews.keep(review)?;
        let sandbox = self.client.sandbox(&id);
        sandbox.git().clone_repository(&review.repository).await?;
        let thread = sandbox.threads().create().await?;
        let run = RunRef::new(&self.agent, id, &thread).user_message_id(review.id.clone());
        let run = review.run.insert(run).clone();
        self.reviews.keep(review)?;
        let turn = UiMessage::user(review.question.clone()).with_id(review.id.clone());
        let turn = run.session().run(turn).max_budget_usd(self.budget);
        self.client.threads().start(turn).in_background().await?;
        review.status = "running".to_owned();
        Ok(self.reviews.keep(review)?)
    }

    /// Finishes a review, which may have begun before a restart. If that fails, the next restart tries again.
    async fn see_to(self: Arc<Self>, review: Review) {
        if let Err(Failure(failure)) = self.finish(review).await {
            common::errors::print_error(&*failure);
        }
    }

    async fn finish(&self, mut review: Review) -> Result<(), Failure> {
        match &review.run {
            Some(run) if review.is_open() => {
                let mut run = self.client.threads().follow(run)?;
                let outcome = run.outcome().await;
                review.status = outcome.end.as_str().to_owned();
                review.answer = Some(run.message_so_far().text());
                review.usage = outcome.usage;
                review.error = (!outcome.is_success()).then(|| outcome.to_string());
            }
            None if review.is_open() => review.fail("the service ended too early".to_owned()),
            _ => {}
        }
        self.reviews.keep(&review)?;
        if let Some(id) = review.sandbox.take() {
            let deleted = self.client.sandboxes().delete(id).await;
            deleted.or_else(|error| error.is_not_found().then_some(()).ok_or(error))?;
        }
        Ok(self.reviews.keep(&review)?)
    }
}

impl Wanted {
    fn check(&self) -> Result<(), Refusal> {
        let url = self.repository.parse::<http::Uri>();
        if !url.is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https"))) {
            return Err(Refusal::bad_request(
                "the repository has to be an http or https URL",
            ));
        }
        if self.question.trim().is_empty() {
            return Err(Refusal::bad_request("there is no question"));
        }
        if self.question.len() > LONGEST_QUESTION {
            let message = format!("the question is longer than {LONGEST_QUESTION} bytes");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Ok(())
    }
}

/// The reason why there is no review: a refusal, or an error of the client or of the database.
struct Failure(Box<dyn StdError + Send + Sync>);

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refusal = self.0.downcast::<Refusal>().map_or_else(
            |failure| {
                common::errors::print_error(&*failure);
                let error = failure.downcast_ref::<Error>();
                error.map_or_else(|| Refusal::internal("the service failed"), Refusal::from)
            },
            |refusal| *refusal,
        );
        http::Response::from(refusal).into_response()
    }
}
