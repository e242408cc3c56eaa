//! The spans of exchanges, as a subscriber sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};
use twentyfirst_transport::{
    Attempt, Body, Error, RouteTemplate, Transport as _, WithTracing, from_fn,
};

use crate::pieces::Pieces;

/// The ended spans, in order.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

type Fields = BTreeMap<&'static str, String>;

impl Spans {
    /// Observes this thread while the guard lives.
    fn watch() -> (Self, DefaultGuard) {
        let spans = Self::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
        (spans, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Collect(&mut fields));
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Collect(extensions.get_mut().unwrap()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let mut extensions = span.extensions_mut();
        let mut fields: Fields = extensions.remove().unwrap();
        if let Some(time) = fields.get_mut("first_byte_ms") {
            assert!(time.parse::<f64>().unwrap() >= 0.0);
            *time = "‹time›".to_owned();
        }
        let parent = span.parent().map_or("", |parent| parent.name());
        let mut line = format!("{parent}/{}", span.name());
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
        }
        self.0.lock().unwrap().push(line);
    }
}

struct Collect<'a>(&'a mut Fields);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

fn request(body: impl Into<Body>) -> Request<Body> {
    Request::post("https://relay.example/v1/sandboxes/sb-secret?token=query-secret")
        .header("authorization", "Bearer key-secret")
        .extension(RouteTemplate("/v1/sandboxes/{sandboxId}"))
        .extension(Attempt(2))
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn an_exchange_is_one_span_and_shows_no_secret() {
    let (spans, _guard) = Spans::watch();
    let server = WithTracing::new(from_fn(async |_| {
        let mut response = Response::new("body-secret".into());
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }));

    let response = server.send(request("asked-secret")).await.unwrap();
    let body = response.into_body().collect_up_to(100).await.unwrap();

    assert_eq!(body, "body-secret");
    assert_eq!(
        spans.take(),
        [
            "/request attempt=2 first_byte_ms=‹time› method=\"POST\" request_bytes=12 response_bytes=11 \
             route=\"/v1/sandboxes/{sandboxId}\" status=201"
        ]
    );
}

#[tokio::test]
async fn a_span_lasts_as_long_as_its_streams() {
    let (spans, _guard) = Spans::watch();
    let (response_pieces, response) = Pieces::new();
    let (request_pieces, asked) = Pieces::new();
    let response = Mutex::new(Some(Body::wrap(response)));
    let server = WithTracing::new(from_fn(move |mut request: Request<Body>| {
        let response = response.lock().unwrap().take().unwrap();
        async move {
            while let Some(frame) = request.body_mut().frame().await {
                frame?;
            }
            Ok(Response::new(response))
        }
    }));
    for piece in ["one", "two"] {
        request_pieces.send(Ok(piece)).unwrap();
        response_pieces.send(Ok(piece)).unwrap();
    }
    drop(request_pieces);

    let outer = tracing::info_span!("outer");
    let sending = server.send(request(Body::wrap(asked)));
    let mut body = tracing::Instrument::instrument(sending, outer)
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(spans.take().is_empty());
    drop(response_pieces);
    assert!(body.frame().await.is_none());

    assert_eq!(
        spans.take(),
        [
            "outer/request attempt=2 first_byte_ms=‹time› method=\"POST\" request_bytes=6 response_bytes=6 \
             route=\"/v1/sandboxes/{sandboxId}\" status=200",
            "/outer",
        ]
    );
}

#[tokio::test]
async fn a_span_tells_how_its_exchange_failed() {
    let (spans, _guard) = Spans::watch();
    let (pieces, broken) = Pieces::new();
    pieces.send(Ok("half")).unwrap();
    pieces.send(Err("reset: cause-secret")).unwrap();
    let broken = Mutex::new(Some(Body::wrap(broken)));
    let server = WithTracing::new(from_fn(move |request: Request<Body>| {
        let broken = broken.lock().unwrap().take();
        async move {
            match request.uri().path() {
                "/refused" => Err(Error::not_sent("no route: cause-secret")),
                "/slow" => std::future::pending().await,
                _ => Ok(Response::new(broken.unwrap_or_default())),
            }
        }
    }));
    let send = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        server
            .send(request)
            .await?
            .into_body()
            .collect_up_to(9)
            .await
    };

    send("/").await.unwrap_err();
    send("/refused").await.unwrap_err();
    let given_up = tokio::time::timeout(Duration::from_millis(1), send("/slow")).await;
    assert!(given_up.is_err());

    assert_eq!(
        spans.take(),
        [
            "/request error=the body broke off first_byte_ms=‹time› method=\"GET\" request_bytes=0 response_bytes=4 \
             status=200",
            "/request error=the request was not sent method=\"GET\" request_bytes=0",
            "/request method=\"GET\" request_bytes=0",
        ]
    );
}
