//! Starts a run in two steps. In between, its sandbox and thread are stored, so that another instance can find the run if this
//! one dies.

use std::future::poll_fn;

use twentyfirst_protocol::Endpoint as _;
use twentyfirst_protocol::runs::{RunRef, SendMessages, StartFlow, Started};
use twentyfirst_transport::Body;

use super::Recorded;
use super::keeper::FAILED;
use crate::backend::Refusal;
use crate::backend::catch_panic::catch_panic;
use crate::backend::chat::chat_run::{ChatRun, Observer, OnStarted};
use crate::client::seed;
use crate::driver::{Driver, Event};
use crate::error::Error;
use crate::telemetry::Watch;

/// A run whose sandbox and thread exist, but whose messages were not sent yet.
pub(super) struct Placed {
    pub(super) run: RunRef,
    driver: Driver<StartFlow>,
    watch: Watch,
    on_started: Option<OnStarted>,
    observer: Option<Observer>,
}

/// A run that has started, and the refusal of `on_started`, if any.
pub(super) struct Begun {
    pub(super) started: Started,
    pub(super) body: Body,
    pub(super) watch: Watch,
    pub(super) observer: Option<Observer>,
    pub(super) refusal: Option<Refusal>,
}

/// Creates the sandbox and the thread of a run, if needed.
pub(super) async fn place(context: Recorded, run: ChatRun) -> Result<Placed, Refusal> {
    let refuse = |error: Error| context.on_error.refuse(&error);
    let client = &context.client;
    let watch = Watch::start(client, &run.start);
    let placing = async {
        let flow = run.start.flow(None, client.options(), seed())?;
        let mut driver = Driver::new(client.relay(), flow);
        match poll_fn(|cx| driver.poll_event(cx)).await {
            // The flow pauses with its sandbox and thread. The driver is kept, and continues in `send`.
            Event::Item(placed) => Ok(Some((placed, driver))),
            // Not reached, since a start always pauses first.
            Event::Done(Ok(_)) => Ok(None),
            // The client's own methods do this for their callers; the driver does not.
            Event::Done(Err(error)) => Err(Error::from(error).redacted(client.relay())),
        }
    };
    match watch.around(placing).await {
        Ok(Some((placed, driver))) => Ok(Placed {
            run: placed,
            driver,
            watch,
            on_started: run.on_started,
            observer: run.observer,
        }),
        Ok(None) => Err(Refusal::internal(FAILED)),
        Err(error) => {
            watch.not_started(&error);
            Err(refuse(error))
        }
    }
}

/// Sends the messages of the run.
pub(super) async fn send(context: Recorded, placed: Placed) -> Result<Begun, Refusal> {
    let mut watch = placed.watch;
    let route = &SendMessages::ROUTE;
    let sending = context.client.finish(route, placed.driver);
    let (started, stream) = match watch.around(sending).await {
        Ok(started) => started,
        Err(error) => {
            watch.not_started(&error);
            return Err(context.on_error.refuse(&error));
        }
    };
    watch.started(&started);
    // The run has started and costs money, so it is recorded even if the function refuses.
    let refusal = match placed.on_started {
        Some(on_started) => {
            let started = started.clone();
            let stored = catch_panic(async move { on_started(started).await }).await;
            stored
                .unwrap_or_else(|| Err(Refusal::internal(FAILED)))
                .err()
        }
        None => None,
    };
    Ok(Begun {
        started,
        body: stream.into_body(),
        watch,
        // After a refusal the observer is not called.
        observer: placed.observer.filter(|_| refusal.is_none()),
        refusal,
    })
}
