use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use twentyfirst_protocol::flow::Open;
use twentyfirst_protocol::runs::{Follow, ResumeStream, Resumed, RunRef};
use twentyfirst_protocol::threads::{StreamTarget, ThreadStatus};
use twentyfirst_protocol::{Endpoint as _, ui};
use twentyfirst_transport::Body;

use super::chat_run::{ChatRun, Observer};
use super::following::Following;
use super::observing::{Feed, Observing, Rest};
use super::passing::{Passing, Watch};
use crate::backend::Refusal;
use crate::backend::handover::Giver;
use crate::backend::on_error::OnError;
use crate::client::{AgentClient, seed};
use crate::error::Error;
use crate::run::Run;

/// The way from the relay to a browser without a log: each response has a connection of its own.
#[derive(Clone)]
pub(super) struct Direct {
    pub(super) client: AgentClient,
    pub(super) on_error: OnError,
    /// Whether runs are followed across cuts, and their chunks encoded again.
    pub(super) follows_cuts: bool,
    /// How long the rest is read for an observer when the browser has left.
    pub(super) read_on: Option<Duration>,
}

impl Direct {
    pub(super) fn new(client: AgentClient) -> Self {
        Self {
            client,
            on_error: OnError::default(),
            follows_cuts: false,
            read_on: None,
        }
    }

    /// Starts a run: the response with its stream.
    pub(super) async fn start(&self, run: ChatRun) -> Result<Response<Body>, Refusal> {
        let ChatRun {
            start,
            on_started,
            observer,
            ..
        } = run;
        let started = self.client.threads().start(start, None).await;
        let (started, stream) = started.map_err(|error| self.on_error.refuse(&error))?;
        if let Some(on_started) = on_started {
            on_started(started.clone()).await?;
        }
        if self.follows_cuts {
            let (client, body) = (self.client.clone(), stream.into_body());
            let run = Run::reading(client, started, body, seed());
            let run = run.map_err(|error| self.on_error.refuse(&error))?;
            return Ok(self.follow(run, observer));
        }
        let watch = match observer {
            None => None,
            Some(observer) => {
                let feed = Feed::default();
                let (client, body) = (self.client.clone(), Body::wrap(feed.clone()));
                let run = Run::reading(client, started, body, seed());
                let run = run.map_err(|error| self.on_error.refuse(&error))?;
                Some(Watch {
                    observing: Observing::new(run, Some(observer), self.on_error.clone()),
                    feed,
                    reader: self.reader(),
                    reads_on: self.read_on.is_some(),
                    is_written: true,
                })
            }
        };
        Ok(self.pass(stream, watch))
    }

    /// The response that resumes a run of which no log is known: nothing if it is not under way.
    pub(super) async fn resume(
        &self,
        run: RunRef,
        is_recorded: bool,
    ) -> Result<Response<Body>, Refusal> {
        let target = self.target(&run).await;
        let target = target.map_err(|error| self.on_error.refuse(&error))?;
        if target.status() != Some(&ThreadStatus::Streaming) {
            return Ok(nothing());
        }
        let mut client = self.client.clone();
        if !is_recorded && !self.follows_cuts {
            let ours = self.join(&run, &target).await;
            if let Some(stream) = ours.map_err(|error| self.on_error.refuse(&error))? {
                return Ok(self.pass(stream, None));
            }
            client = client.with_options(client.options().follow(Follow::wait()));
        }
        let run = client.threads().follow(run);
        Ok(self.follow(run.map_err(|error| self.on_error.refuse(&error))?, None))
    }

    /// Which stream of its sandbox would be opened.
    async fn target(&self, run: &RunRef) -> Result<StreamTarget, Error> {
        let threads = self.client.threads().list(&run.sandbox_id).await?;
        Ok(StreamTarget::of(&threads, &run.thread_id))
    }

    /// Opens the stream of a run, if it is the one that would be opened, and still was when it had been.
    async fn join(
        &self,
        run: &RunRef,
        before: &StreamTarget,
    ) -> Result<Option<Response<Body>>, Error> {
        if !before.is_ours() {
            return Ok(None);
        }
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id);
        let flow = Open::new(&resume, self.client.options(), seed())?;
        let (Resumed::Streaming, stream) = self.client.drive(&ResumeStream::ROUTE, flow).await?
        else {
            return Ok(None);
        };
        let target = self.target(run).await;
        let is_ours = target.is_ok_and(|target| target.is_still_ours(before));
        Ok(is_ours.then_some(stream))
    }

    /// A stream of the relay as it is.
    fn pass(&self, stream: Response<Body>, watch: Option<Watch>) -> Response<Body> {
        let (head, body) = stream.into_parts();
        let body = Passing::new(body, watch, self.on_error.clone());
        answer(&head.headers, Body::wrap(body))
    }

    /// An answer with the chunks of a run.
    fn follow(&self, run: Run, observer: Option<Observer>) -> Response<Body> {
        let reader = (observer.is_some() && self.read_on.is_some()).then(|| self.reader());
        let observing = Observing::new(run, observer, self.on_error.clone());
        let body = Following::new(observing, reader, &self.client.shared().runtime);
        answer(&HeaderMap::new(), Body::wrap(body))
    }

    fn reader(&self) -> Giver<Rest> {
        Rest::reader(&self.client.shared().runtime, self.read_on)
    }
}

/// A UI message stream, with those of these headers that are a browser's business.
fn answer(headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    // What says that nothing on the way may collect the events is said in any case.
    *response.headers_mut() = ui::response_headers();
    for (name, value) in response.headers_mut() {
        if let Some(passed) = headers.get(name) {
            value.clone_from(passed);
        }
    }
    response
}

/// There is no stream.
pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
