//! HTTP transport for the 21st Agents client: hyper and rustls behind a tower service.

mod body;
mod error;
mod http_transport;
mod runtime;
mod transport;

pub use self::body::{Beginning, Body, Collect, ReadBeginning};
pub use self::error::Error;
pub use self::http_transport::{HttpTransport, HttpTransportBuilder};
pub use self::runtime::{Runtime, TokioRuntime};
pub use self::transport::{FromFn, ResponseFuture, SharedTransport, Transport, from_fn};
