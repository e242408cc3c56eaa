//! Starting a run in two steps, between which its place is noted.

use std::future::poll_fn;

use twentyfirst_protocol::Endpoint as _;
use twentyfirst_protocol::runs::{RunRef, SendMessages, StartFlow, Started};
use twentyfirst_transport::Body;

use super::Recorded;
use super::guard::caught;
use super::keeper::FAILED;
use crate::backend::Refusal;
use crate::backend::chat::chat_run::{ChatRun, Observer, OnStarted};
use crate::client::seed;
use crate::driver::{Driver, Event};
use crate::error::Error;

/// A run whose sandbox and thread exist, and whose messages were not sent.
pub(super) struct Placed {
    pub(super) run: RunRef,
    driver: Driver<StartFlow>,
    on_started: Option<OnStarted>,
    observer: Option<Observer>,
}

/// A run that has begun, and whether the browser may see it.
pub(super) struct Begun {
    pub(super) started: Started,
    pub(super) body: Body,
    pub(super) observer: Option<Observer>,
    pub(super) refusal: Option<Refusal>,
}

/// Gives a run its place.
pub(super) async fn place(context: Recorded, run: ChatRun) -> Result<Placed, Refusal> {
    let refuse = |error: Error| context.on_error.refuse(&error);
    let client = &context.client;
    let flow = run.start.flow(None, client.options(), seed());
    let flow = flow.map_err(|error| refuse(error.into()))?;
    let mut driver = Driver::new(client.clone(), flow);
    let event = poll_fn(|cx| driver.poll_event(cx)).await;
    match event {
        Event::Item(placed) => Ok(Placed {
            run: placed,
            driver,
            on_started: run.on_started,
            observer: run.observer,
        }),
        Event::Done(Ok(_)) => Err(Refusal::internal(FAILED)),
        Event::Done(Err(error)) => Err(refuse(Error::from(error).redacted(client))),
    }
}

/// Sends its messages.
pub(super) async fn send(context: Recorded, placed: Placed) -> Result<Begun, Refusal> {
    let route = &SendMessages::ROUTE;
    let started = context.client.finish(route, placed.driver).await;
    let (started, stream) = started.map_err(|error| context.on_error.refuse(&error))?;
    let refusal = match placed.on_started {
        Some(on_started) => {
            let started = started.clone();
            let stored = caught(async move { on_started(started).await }).await;
            stored
                .unwrap_or_else(|| Err(Refusal::internal(FAILED)))
                .err()
        }
        None => None,
    };
    Ok(Begun {
        started,
        body: stream.into_body(),
        // Whoever was refused sees nothing.
        observer: placed.observer.filter(|_| refusal.is_none()),
        refusal,
    })
}
