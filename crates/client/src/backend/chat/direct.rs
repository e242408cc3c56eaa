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

/// The way from the relay to a browser without a log: each response has a connection of its own.
pub(super) struct Direct {
    pub(super) client: AgentClient,
    pub(super) on_error: OnError,
}

impl Direct {
    /// Starts a run: the response with its stream. It is read here where somebody wants to know what it comes to.
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

    /// The response that resumes a run of which no log is known: nothing if it is not under way.
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
            if let Some(stream) = self.join(&run, &target).await.map_err(refuse)? {
                return Ok(self.pass(stream, Watch::follow(&client, &run)));
            }
            client = client.with_options(client.options().follow(FollowPolicy::wait()));
        }
        let run = client.threads().follow(run).map_err(refuse)?;
        let observing = Observing::new(run, None, self.on_error.clone());
        Ok(follow(Following::new(observing)))
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
        let flow = OpenFlow::new(&resume, self.client.options(), seed())?;
        let (Resumed::Streaming, stream) = self.client.drive(&ResumeStream::ROUTE, flow).await?
        else {
            return Ok(None);
        };
        let target = self.target(run).await;
        let is_ours = target.is_ok_and(|target| target.is_still_ours(before));
        Ok(is_ours.then_some(stream))
    }

    /// A stream of the relay as it is.
    fn pass(&self, stream: Response<Body>, watch: Watch) -> Response<Body> {
        let (head, body) = stream.into_parts();
        let body = Passing::new(watch.over(body), self.on_error.clone());
        events(&head.headers, Body::wrap(body))
    }
}

/// The chunks of a run.
fn follow(following: Following) -> Response<Body> {
    events(&HeaderMap::new(), Body::wrap(following))
}

/// A UI message stream, with those of these headers that are a browser's business.
pub(super) fn events(headers: &HeaderMap, body: Body) -> Response<Body> {
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
