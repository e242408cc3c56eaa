//! The user of a browser, identified by a cookie.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::database::Database;

/// A user: one browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User(pub(crate) String);

/// Puts the [`User`] into the extensions of a request. The first request of a browser gets a cookie.
pub(crate) async fn identify(
    State(database): State<Arc<Database>>,
    mut request: Request,
    next: Next,
) -> Response {
    // A page of another site could let its own host name resolve to this machine, and then read responses.
    if !is_this_machine(request.headers()) {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    if let Some(user) = user(request.headers()) {
        request.extensions_mut().insert(user);
        return next.run(request).await;
    }
    if request.uri().path() != "/" {
        return (StatusCode::UNAUTHORIZED, "open the page first").into_response();
    }
    let cookie = database.random_id().ok().and_then(|id| {
        let cookie = format!("user={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000");
        HeaderValue::try_from(cookie).ok()
    });
    let Some(cookie) = cookie else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = next.run(request).await;
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

fn user(headers: &HeaderMap) -> Option<User> {
    let cookies = headers.get_all(COOKIE).into_iter();
    let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split("; "));
    let id = pairs.find_map(|pair| pair.strip_prefix("user="))?;
    let is_ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| User(id.to_owned()))
}

fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.split(':').next());
    matches!(host, Some("127.0.0.1" | "localhost"))
}
