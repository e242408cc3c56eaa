//! A stand-in for an OpenTelemetry collector on loopback, with the data that it received over OTLP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tokio::net::TcpListener;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::subscribe;

/// The collector, and the exporter that sends it the spans of this thread.
pub(crate) struct Collector {
    bodies: Arc<Mutex<Vec<Bytes>>>,
    provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

/// A span, as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) trace: String,
    pub(crate) parent: String,
    kind: &'static str,
    pub(crate) is_error: bool,
    pub(crate) links: Vec<String>,
    begun: u64,
    /// In nanoseconds since 1970.
    pub(crate) ended: u64,
    pub(crate) attributes: BTreeMap<String, Value>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        subscribe();
        let bodies = Arc::default();
        let address = serve(&bodies);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Blocking)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("http://{address}/v1/traces"))
            .build()
            .unwrap();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            bodies,
            provider,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Returns the spans that have ended, in the order in which they began.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.provider.force_flush().unwrap();
        let mut spans = Vec::new();
        for body in self.bodies.lock().unwrap().iter() {
            let body: Value = serde_json::from_slice(body).unwrap();
            for resource in body["resourceSpans"].as_array().unwrap() {
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    spans.extend(scope["spans"].as_array().unwrap().iter().map(span));
                }
            }
        }
        spans.sort_by_key(|span| span.begun);
        spans
    }

    /// Returns the spans whose names have this beginning.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.name.starts_with(name));
        spans
    }
}

/// Starts a server on a thread of its own, so that a test may block while it exports.
fn serve(bodies: &Arc<Mutex<Vec<Bytes>>>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let bodies = Arc::clone(bodies);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let bodies = Arc::clone(&bodies);
                let collect = service_fn(move |request: Request<Incoming>| {
                    let bodies = Arc::clone(&bodies);
                    async move {
                        assert_eq!(request.uri().path(), "/v1/traces");
                        assert_eq!(request.headers()["content-type"], "application/json");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        bodies.lock().unwrap().push(body);
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), collect));
            }
        });
    });
    address
}

/// Sends requests on the exporter's own thread.
#[derive(Debug)]
struct Blocking;

impl HttpClient for Blocking {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let response = ureq::run(request.map(|body| body.to_vec()))?;
            let (head, mut body) = response.into_parts();
            Ok(Response::from_parts(head, body.read_to_vec()?.into()))
        })
    }
}

fn span(span: &Value) -> Span {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let time = |value: &Value| text(value).parse().unwrap();
    let attributes = span["attributes"].as_array().into_iter().flatten();
    let links = span["links"].as_array().into_iter().flatten();
    Span {
        name: text(&span["name"]),
        id: text(&span["spanId"]),
        trace: text(&span["traceId"]),
        parent: text(&span["parentSpanId"]),
        kind: match span["kind"].as_u64() {
            Some(1) => "INTERNAL",
            Some(3) => "CLIENT",
            _ => "?",
        },
        is_error: span["status"]["code"].as_u64() == Some(2),
        links: links.map(|link| text(&link["spanId"])).collect(),
        begun: time(&span["startTimeUnixNano"]),
        ended: time(&span["endTimeUnixNano"]),
        attributes: attributes
            .map(|attribute| (text(&attribute["key"]), attribute["value"].clone()))
            // Without the attributes that the bridge from `tracing` adds: places in the source, threads, times.
            .filter(|(key, _)| {
                !["code.", "thread.", "busy_", "idle_", "target"]
                    .iter()
                    .any(|own| key.starts_with(own))
            })
            .collect(),
    }
}

/// Returns the exported spans of a run and its tools, with ids, times and sizes masked.
pub(crate) fn shown(spans: &[Span]) -> String {
    let mut text = String::new();
    for span in spans {
        let is_ours = |span: &&Span| span.attributes.contains_key("gen_ai.operation.name");
        if !is_ours(&span) {
            continue;
        }
        let above = |span: &Span| {
            spans
                .iter()
                .filter(is_ours)
                .find(|other| other.id == span.parent)
        };
        let depth = std::iter::successors(above(span), |span| above(span)).count();
        let indent = "    ".repeat(depth);
        let status = if span.is_error { " ERROR" } else { "" };
        writeln!(text, "{indent}{} {}{status}", span.kind, span.name).unwrap();
        for (key, value) in &span.attributes {
            let value = match key.as_str() {
                "gen_ai.conversation.id" | "gen_ai.response.id" | "twentyfirst.sandbox.id" => {
                    "<id>".to_owned()
                }
                "gen_ai.response.time_to_first_chunk" => "<seconds>".to_owned(),
                "server.port" => "<port>".to_owned(),
                "twentyfirst.run.bytes" => "<bytes>".to_owned(),
                _ => value.to_string(),
            };
            writeln!(text, "{indent}  {key} = {value}").unwrap();
        }
    }
    text
}
