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
//! | `POST /reviews` | 202 and the [`Review`] when the agent has been asked |
//! | `GET /reviews/{id}` | the [`Review`]: its status, answer and usage; `error` is `null` where all is well |
//! | `DELETE /reviews/{id}` | cancels: 202 and the [`Review`], which is `cancelled` a moment later |
//!
//! # What survives
//! The reviews are kept in SQLite (`--database`, else `reviews.db`). What names a run, its sandbox, its thread and the id of its turn, is
//! there before the run is sent. So after `kill -9` each run is followed again, and none is started twice; what had not come so far fails. A
//! sandbox is deleted when its review is over, if need be after the next start, and at the latest when its time is over: [`LONGEST`].
//!
//! # Refusals
//! A status, and `{"error": message}`:
//!
//! | status | |
//! |---|---|
//! | 400, 415, 422 | the body cannot be read, the repository is no URL, or `git clone` failed; the relay's own 400 and 422 |
//! | 402 | the relay says that a budget is spent |
//! | 404, 410 | there is no such review, or at the relay no such agent |
//! | 409 | a review that is still being started cannot be cancelled; the relay's own 409 |
//! | 413 | the question is too long: [`LONGEST_QUESTION`]; the relay's own 413 |
//! | 429 | so many reviews are under way: `--at-once`; the relay's own 429; both with `retry-after` |
//! | 500 | the database failed |
//! | 502 | the relay failed, cannot be reached, or does not accept this server's key |
//! | 503 | the relay is not available, with `retry-after` if it names one |
//! | 504 | the relay did not respond in time |
//!
//! Those of the relay are what [`Refusal`] makes of an error of the client; the whole table is there.
//!
//! # Length
//! 313 lines of code; with `@21st-sdk/node` 367: `interop/programs/review_service.mjs`. Both as their formatters make them, without
//! comments and empty lines; and without the local relay, which only the examples start. What the client has here, and that one lacks: statuses
//! and codes, repeating, following a run to its end, cancelling one run and no other, and what a browser may know of an error.

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

/// How long a review takes at most; its sandbox does not live longer.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// How many bytes a question has at most.
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
    /// How many reviews are under way at once, at most.
    at_once: u32,
    /// What a review costs at most, in US dollars.
    budget: f64,
}

pub(crate) async fn serve(mut arguments: Arguments) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let at_once = arguments.opt_value_from_str("--at-once")?.unwrap_or(20);
    let budget = arguments.opt_value_from_str("--budget")?.unwrap_or(1.0);
    let port: u16 = arguments.opt_value_from_str("--port")?.unwrap_or(0);
    let database: Option<String> = arguments.opt_value_from_str("--database")?;
    // Who waits for a response is told to come back rather than kept.
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
    // A task: it goes on where the one who asks has left.
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
    /// Asks the agent, and sees to the review from then on.
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

    /// Has the agent asked. What it takes to find the run again is kept before it is sent.
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

    /// Sees to a review that has begun, perhaps before a restart. What fails is tried again after the next.
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
                "the repository has to be a URL of HTTP",
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

/// Why there is no review: a refusal, an error of the client, or one of the database.
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
