use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use twentyfirst_protocol::runs::{
    Outcome, RunEvent, RunFacts, RunRef, StartRun, Started, ToolEnd, ToolFact,
};
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_transport::{Body, Runtime};

#[cfg(feature = "metrics")]
use super::meters::Meters;
#[cfg(not(all(feature = "tracing", feature = "metrics")))]
use super::sink::Off;
use super::sink::{Ending, Sink, error_type};
#[cfg(feature = "tracing")]
use super::spans::Spans;
use super::watched_body::WatchedBody;
use crate::client::AgentClient;
use crate::error::Error;

#[cfg(not(feature = "tracing"))]
type Spans = Off;
#[cfg(not(feature = "metrics"))]
type Meters = Off;

/// Watches one answer from before its first request until its end, or until reading stops, and reports it as spans and metrics.
///
/// The reader of an answer holds its watch. Dropping the watch ends the span.
pub(crate) struct Watch {
    /// Boxed, so that runs stay small. `None` once the end was reported: an answer has only one end.
    inner: Option<Box<Inner>>,
}

struct Inner {
    runtime: Arc<dyn Runtime>,
    facts: RunFacts,
    /// Whether the run was started here, so that the time to its first chunk is meaningful.
    starts_here: bool,
    bytes: u64,
    cuts: u64,
    spans: Spans,
    meters: Meters,
}

impl Watch {
    /// Watches a run that is about to be started.
    pub(crate) fn start(client: &AgentClient, run: &StartRun) -> Self {
        let model = run
            .options
            .as_ref()
            .and_then(|options| options.model.as_deref());
        #[allow(unused_mut, reason = "only spans have contents")]
        let mut this = Self::new(client, &run.agent, model, true);
        #[cfg(feature = "tracing")]
        if let Some(inner) = &mut this.inner {
            inner.spans.asked(&run.messages);
        }
        this
    }

    /// Watches a run that was started elsewhere, or earlier.
    pub(crate) fn follow(client: &AgentClient, run: &RunRef) -> Self {
        let mut this = Self::new(client, &run.agent, None, false);
        this.tell(|sink| sink.started(run));
        this
    }

    /// Watches nothing, for a run that has a watch elsewhere and is read a second time, to replay a part that is in no log.
    pub(crate) fn none(_: &AgentClient, _: &RunRef) -> Self {
        Self { inner: None }
    }

    fn new(client: &AgentClient, agent: &str, model: Option<&str>, starts_here: bool) -> Self {
        let runtime = Arc::clone(&client.relay().runtime);
        let inner = Inner {
            facts: RunFacts::new(runtime.now()),
            runtime,
            starts_here,
            bytes: 0,
            cuts: 0,
            #[cfg(feature = "tracing")]
            spans: Spans::new(client, agent, model),
            #[cfg(not(feature = "tracing"))]
            spans: Off,
            #[cfg(feature = "metrics")]
            meters: Meters::new(agent, model),
            #[cfg(not(feature = "metrics"))]
            meters: Off,
        };
        Self {
            inner: Some(Box::new(inner)),
        }
    }

    /// Runs a future within the span.
    pub(crate) fn around<T>(&self, call: impl Future<Output = T>) -> impl Future<Output = T> {
        #[cfg(feature = "tracing")]
        let call = tracing::Instrument::instrument(call, self.span());
        call
    }

    /// Calls a function within the span, so that the requests and events that it causes belong to the run.
    pub(crate) fn in_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        if let Some(inner) = &self.inner {
            return inner.spans.in_scope(call);
        }
        call()
    }

    #[cfg(feature = "tracing")]
    fn span(&self) -> tracing::Span {
        self.inner
            .as_ref()
            .map_or_else(tracing::Span::none, |inner| inner.spans.run().clone())
    }

    pub(crate) fn started(&mut self, started: &Started) {
        self.tell(|sink| sink.started(&started.run));
    }

    pub(crate) fn not_started(mut self, error: &Error) {
        self.end("not_started", Some(error_type(error)), None);
    }

    pub(crate) fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Chunk(chunk) => self.chunk(chunk),
            RunEvent::Cut(_) => {
                if let Some(inner) = &mut self.inner {
                    inner.cuts += 1;
                }
                self.tell(|sink| sink.cut());
            }
            _ => {}
        }
    }

    pub(crate) fn chunk(&mut self, chunk: &Chunk<'_>) {
        let Some(inner) = &mut self.inner else {
            return;
        };
        // One time for all sinks, so that spans and metrics agree.
        let now = inner.runtime.now();
        let fact = inner.facts.observe(chunk, now);
        for sink in [&mut inner.spans as &mut dyn Sink, &mut inner.meters] {
            sink.chunk(chunk);
            match &fact {
                Some(ToolFact::Called { call, input, .. }) => sink.called(call, *input),
                Some(ToolFact::Ended {
                    call, end, output, ..
                }) => {
                    sink.returned(call, *end, *output, now);
                }
                _ => {}
            }
        }
    }

    /// Records the number of stream bytes that were read.
    pub(crate) fn bytes(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Some(inner) = &mut self.inner {
            inner.bytes = inner.bytes.saturating_add(bytes);
        }
        self.tell(|sink| sink.bytes(bytes));
    }

    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        let error_type = outcome.error_type().map(|error| error.to_owned().into());
        self.end(outcome.end.as_str(), error_type, Some(outcome));
    }

    /// Records that another instance continues to read the answer.
    pub(crate) fn hand_over(&mut self) {
        self.end("handed_over", None, None);
    }

    /// Records the end of a stream that is passed on. `is_done` says whether `[DONE]` has arrived.
    pub(super) fn at_end(&mut self, is_done: bool) {
        if !self.report_declared_end() {
            // The stream of a cancelled run ends with `[DONE]` alone, and no chunk says that the run was cancelled.
            let (end, error_type) = match is_done {
                true => ("cancelled", None),
                false => ("lost", Some("lost_cut".into())),
            };
            self.end(end, error_type, None);
        }
    }

    /// Reports the end that the chunks declared, such as by `finish`. Returns `false` if they declared none.
    fn report_declared_end(&mut self) -> bool {
        let Some(inner) = &self.inner else {
            return true;
        };
        let Some(end) = inner.facts.end() else {
            return false;
        };
        let error_type = end.error_type(inner.facts.result_subtype());
        let error_type = error_type.map(|error| error.to_owned().into());
        self.end(end.as_str(), error_type, None);
        true
    }

    fn end(
        &mut self,
        end: &'static str,
        error_type: Option<Cow<'_, str>>,
        outcome: Option<&Outcome>,
    ) {
        // Only the first end counts: a run may be over for its reader before its stream ends and it is dropped.
        let Some(mut inner) = self.inner.take() else {
            return;
        };
        let now = inner.runtime.now();
        // Calls without an output. None can come any more, so their spans end here.
        let open = inner.facts.take_open_calls();
        let time_to_first_chunk = inner.facts.time_to_first_chunk();
        let ending = Ending {
            end,
            error_type,
            usage: outcome.map_or_else(|| inner.facts.usage(), |outcome| outcome.usage),
            result_subtype: match outcome {
                Some(outcome) => outcome.result_subtype.as_deref(),
                None => inner.facts.result_subtype(),
            },
            time_to_first_chunk: time_to_first_chunk.filter(|_| inner.starts_here),
            facts: &inner.facts,
            bytes: inner.bytes,
            cuts: inner.cuts,
            now,
        };
        for sink in [&mut inner.spans as &mut dyn Sink, &mut inner.meters] {
            for call in &open {
                sink.returned(call, ToolEnd::NoOutput, None, now);
            }
            sink.ended(&ending);
        }
    }

    fn tell(&mut self, mut tell: impl FnMut(&mut dyn Sink)) {
        if let Some(inner) = &mut self.inner {
            tell(&mut inner.spans);
            tell(&mut inner.meters);
        }
    }

    /// Links the span to the span of the request for which a task reads the answer. It is not a child of that span, because the task
    /// may outlive the request.
    pub(crate) fn asked_by(&self, asker: &Asker) {
        #[cfg(feature = "tracing")]
        self.span().follows_from(&asker.span);
        #[cfg(not(feature = "tracing"))]
        let _ = asker;
    }

    /// Watches a body that is passed on unchanged.
    pub(crate) fn over(self, body: Body) -> Body {
        Body::wrap(WatchedBody::new(body, self))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A reader of the text alone may stop before the end of the stream. The chunks that it read may have declared the end.
        if !self.report_declared_end() {
            self.end("dropped", None, None);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// The span of the request that asked for an answer, kept for the task that reads the answer.
pub(crate) struct Asker {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl Asker {
    pub(crate) fn current() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        }
    }
}
