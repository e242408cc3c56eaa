use http::{HeaderMap, Response, StatusCode};
use twentyfirst_protocol::flow::OpenFlow;
use twentyfirst_protocol::runs::{FollowPolicy, ResumeStream, Resumed, RunRef};
use twentyfirst_protocol::threads::{StreamTarget, ThreadStatus};
use twentyfirst_protocol::{Endpoint as _, ui};
use twentyfirst_transport::Body;

use super::chat_run::ChatRun;
use super::following::Following;
use super::observing::Observing;
use super::passing::Passing;
use crate::backend::Refusal;
use crate::backend::budget::Bill;
use crate::backend::on_error::OnError;
use crate::client::{AgentClient, seed};
use crate::error::Error;
use crate::run::Run;
use crate::telemetry::Watch;

/// Passes answers from the relay to a browser without a log: each response has its own connection.
pub(super) struct Direct {
    pub(super) client: AgentClient,
    pub(super) on_error: OnError,
}

impl Direct {
    /// Starts a run, and returns the response with its stream. The stream is decoded only if an observer or a budget needs the
    /// outcome.
    pub(super) async fn start(
        &self,
        run: ChatRun,
        bill: Option<Bill>,
    ) -> Result<Response<Body>, Refusal> {
        let ChatRun {
            start,
            on_started,
            observer,
            ..
        } = run;
        let refuse = |error| self.on_error.refuse(&error);
        let client = &self.client;
        let (started, stream, watch) =
            crate::threads::start(client, start).await.map_err(refuse)?;
        if let Some(on_started) = on_started {
            on_started(started.clone()).await?;
        }
        if observer.is_none() && bill.is_none() {
            return Ok(self.pass(stream, watch));
        }
        let body = stream.into_body();
        let run = Run::reading(client.clone(), started, body, seed(), watch).map_err(refuse)?;
        let observing = Observing::new(run, observer, self.on_error.clone());
        Ok(follow(Following::new(observing).billed(bill)))
    }

    /// Returns the response that resumes a run without a known log. It has no content if the run is not under way.
    pub(super) async fn resume(
        &self,
        run: RunRef,
        is_recorded: bool,
    ) -> Result<Response<Body>, Refusal> {
        let refuse = |error| self.on_error.refuse(&error);
        let target = self.target(&run).await.map_err(refuse)?;
        if target.status() != Some(&ThreadStatus::Streaming) {
            return Ok(nothing());
        }
        let mut client = self.client.clone();
        if !is_recorded {
            // Without a log, a browser would rather see the live rest than wait for the stored answer.
            if let Some(stream) = self.join(&run, &target).await.map_err(refuse)? {
                return Ok(self.pass(stream, Watch::follow(&client, &run)));
            }
            // There was nothing to join, or it was not ours, so this waits for the stored answer.
            client = client.with_options(client.options().follow(FollowPolicy::wait()));
        }
        let run = client.threads().follow(run).map_err(refuse)?;
        let observing = Observing::new(run, None, self.on_error.clone());
        Ok(follow(Following::new(observing)))
    }

    /// Returns the thread whose stream the relay would open for this sandbox.
    async fn target(&self, run: &RunRef) -> Result<StreamTarget, Error> {
        let threads = self.client.threads().list(&run.sandbox_id).await?;
        Ok(StreamTarget::of(&threads, &run.thread_id))
    }

    /// Opens the stream of a run. The relay opens that of the newest streaming thread, so it must be ours before and after the
    /// opening.
    async fn join(
        &self,
        run: &RunRef,
        before: &StreamTarget,
    ) -> Result<Option<Response<Body>>, Error> {
        if !before.is_ours() {
            return Ok(None);
        }
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id);
        let flow = OpenFlow::new(&resume, self.client.options(), seed())?;
        let (Resumed::Streaming, stream) = self.client.drive(&ResumeStream::ROUTE, flow).await?
        else {
            return Ok(None);
        };
        let target = self.target(run).await;
        // If this is unknown, the stream may be that of another thread, so it is not passed on.
        let is_ours = target.is_ok_and(|target| target.is_still_ours(before));
        Ok(is_ours.then_some(stream))
    }

    /// Passes a stream of the relay on unchanged.
    fn pass(&self, stream: Response<Body>, watch: Watch) -> Response<Body> {
        let (head, body) = stream.into_parts();
        let body = Passing::new(watch.over(body), self.on_error.clone());
        events(&head.headers, Body::wrap(body))
    }
}

/// Creates the response with the chunks of a run.
fn follow(following: Following) -> Response<Body> {
    events(&HeaderMap::new(), Body::wrap(following))
}

/// Creates a response with a UI message stream. It takes those of the relay's headers that concern a browser.
pub(super) fn events(headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    // The headers that forbid buffering by proxies are always set.
    *response.headers_mut() = ui::response_headers();
    for (name, value) in response.headers_mut() {
        if let Some(passed) = headers.get(name) {
            value.clone_from(passed);
        }
    }
    response
}

/// Creates the response without a stream.
pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
