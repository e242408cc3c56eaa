//! Responses and extractors of axum.

use std::convert::Infallible;
use std::sync::Arc;

use axum_core::extract::{FromRequest, Request};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use twentyfirst_transport::{Body, Runtime, TokioRuntime};

use super::unread::Unread;
use super::{ChatRequest, Refusal, RequestLimits, ThreadRequest, TokenRequest};
use crate::error::Error;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        http::Response::<Body>::from(self).into_response()
    }
}

/// Converts the error into a [`Refusal`], and that into its response.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

/// Extracts the request without reading its body. [`RequestLimits`] in the request's extensions, added by a layer, replace the
/// defaults.
impl<S: Send + Sync> FromRequest<S> for ChatRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (head, body) = unread(request);
        Ok(Self::of_turn(head, body))
    }
}

/// Extracts the request without reading its body. [`RequestLimits`] in the request's extensions, added by a layer, replace the
/// defaults.
impl<S: Send + Sync> FromRequest<S> for ThreadRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (head, body) = unread(request);
        Ok(Self { head, body })
    }
}

/// Extracts the request without reading its body. [`RequestLimits`] in the request's extensions, added by a layer, replace the
/// defaults.
impl<S: Send + Sync> FromRequest<S> for TokenRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (head, body) = unread(request);
        Ok(Self { head, body })
    }
}

fn unread<Kept>(request: Request) -> (Parts, Unread<Kept>) {
    let (head, body) = request.into_parts();
    let limits = head.extensions.get::<RequestLimits>();
    // An extractor has no client whose runtime could time the body, and axum always runs on tokio.
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let body = Unread::new(
        Body::wrap(body),
        limits.unwrap_or(&RequestLimits::new()),
        &runtime,
    );
    (head, body)
}
