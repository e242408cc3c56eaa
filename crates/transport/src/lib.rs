//! HTTP transports for the 21st Agents client, each a tower service: hyper and rustls, or one of your own.
//!
//! A transport sends requests and returns responses without interpreting them. The client decides which request to send, whether to
//! retry it and how long to wait. It needs one fact about every failure: [whether the request may have been
//! sent](Error::maybe_sent).
//!
//! ```text
//!                          client
//!                            │ holds
//!                     SharedTransport ───────── any Transport, its type erased once
//!                            │
//!                       WithTracing ─────────── a span for each exchange (feature `tracing`)
//!                      WithTimeouts ─────────── limits on the time of each stage, set by the request
//!                            │
//!             your tower layers, if any ─────── headers, concurrency limits, …
//!                            │
//!                    cassette::Recorder ─────── writes what passes (feature `cassette`)
//!                            │
//!         ┌──────────────────┼──────────────────┬──────────────────┐
//!   HttpTransport         from_fn        your own service   cassette::Player
//!   hyper, rustls,     a closure, for     Service<Request    plays what was
//!   reused connections tests and glue         <Body>>           recorded
//!         │
//!      Runtime ──────────────────────────────── timers and tasks; TokioRuntime unless replaced
//! ```
//!
//! With their features, `ReqwestTransport` and `UreqTransport` can take the place of `HttpTransport`.
//!
//! Every [`tower_service::Service`] of the right shape is a [`Transport`]. [`from_fn`] makes one from a closure:
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use twentyfirst_transport::{Body, Error, SharedTransport, Transport, from_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = SharedTransport::new(from_fn(async |request| match request.uri().path() {
//!     "/v1/sandboxes" => Ok(Response::new(r#"{"sandboxes":[]}"#.into())),
//!     "/cut" => Err(Error::new("the cable was pulled")),
//!     _ => {
//!         let mut response = Response::new("nothing here".into());
//!         *response.status_mut() = StatusCode::NOT_FOUND;
//!         Ok(response)
//!     }
//! }));
//!
//! let response = server.send(Request::get("/v1/sandboxes").body(Body::empty())?).await?;
//! assert_eq!(response.into_body().collect_up_to(Body::DEFAULT_LIMIT).await?, r#"{"sandboxes":[]}"#);
//!
//! let error = server.send(Request::get("/cut").body(Body::empty())?).await.unwrap_err();
//! assert!(error.maybe_sent());
//! # Ok(())
//! # }
//! ```
//!
//! Tower's layers fit around any of them:
//!
//! ```
//! use http::{HeaderValue, Request};
//! use tower::ServiceBuilder;
//! use twentyfirst_transport::{Body, HttpTransport, SharedTransport};
//!
//! let transport = SharedTransport::new(
//!     ServiceBuilder::new()
//!         .map_request(|mut request: Request<Body>| {
//!             let team = HeaderValue::from_static("platform");
//!             request.headers_mut().insert("x-team", team);
//!             request
//!         })
//!         .service(HttpTransport::new()?),
//! );
//! # Ok::<(), twentyfirst_transport::InvalidSetting>(())
//! ```
//!
//! # Features
//! No feature changes the behavior of another. Without any, this crate has no hyper, no rustls and no tokio: only the types for a
//! [`Transport`] of your own, its time limits, and bodies.
//!
//! - `http`, on by default: `HttpTransport`, over hyper, rustls and tokio.
//! - `reqwest`: `ReqwestTransport`, over your `reqwest::Client`.
//! - `tokio`: `TokioRuntime`. `http` and `reqwest` enable it.
//! - `ureq`: `UreqTransport`, over ureq and rustls on threads, for programs without an async runtime. It enables `threads`.
//! - `threads`: `ThreadRuntime`.
//! - `tracing`: `WithTracing`, a span for each exchange.
//! - `cassette`: the module `cassette`, which records exchanges to a file and plays them back.
//!
//! # What it does not do
//! A transport follows no redirect (`ReqwestTransport` needs a setting for that), never sends a request again once a byte of it may have
//! been sent, keeps no cookies and decompresses nothing. Printed and logged text never shows a header, a body, a query, a key or a
//! password, with two exceptions: the errors of `cassette::Player` show excerpts of paths and bodies, which you can mask, and ureq logs
//! at the level `trace`: see `UreqTransport`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod body;
#[cfg(feature = "cassette")]
pub mod cassette;
mod error;
#[cfg(any(feature = "http", feature = "ureq"))]
mod host;
#[cfg(feature = "http")]
mod http_transport;
mod invalid_setting;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod runtime;
mod timeouts;
mod trace;
mod transport;
#[cfg(feature = "ureq")]
mod ureq_transport;

#[cfg(feature = "reqwest")]
pub use reqwest;
#[cfg(feature = "ureq")]
pub use ureq;
pub use {bytes, futures_io, http, http_body, tower_service};

pub use self::body::{Beginning, Body, Collect, ReadBeginning};
pub use self::error::Error;
#[cfg(feature = "http")]
pub use self::http_transport::{
    ClientCertificate, HttpTransport, HttpTransportBuilder, Proxy, RootCertificates,
};
pub use self::invalid_setting::InvalidSetting;
#[cfg(feature = "reqwest")]
pub use self::reqwest_transport::ReqwestTransport;
#[cfg(feature = "threads")]
pub use self::runtime::ThreadRuntime;
#[cfg(feature = "tokio")]
pub use self::runtime::TokioRuntime;
pub use self::runtime::{Runtime, Wait};
pub use self::timeouts::{StageTimeouts, Timeout, TimeoutKind, WithTimeouts};
#[cfg(feature = "tracing")]
pub use self::trace::WithTracing;
pub use self::trace::{Attempt, RouteTemplate};
pub use self::transport::{FromFn, ResponseFuture, SharedTransport, Transport, from_fn};
#[cfg(feature = "ureq")]
pub use self::ureq_transport::UreqTransport;

/// The examples of the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
