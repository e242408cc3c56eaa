//! The page: the files of the folder `page`, which are part of the program. There is no build step, and nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

const SCRIPT: &str = "text/javascript";

const FILES: [(&str, &str, &str); 8] = [
    ("/style.css", "text/css", include_str!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/chat.js", SCRIPT, include_str!("page/chat.js")),
    ("/message.js", SCRIPT, include_str!("page/message.js")),
    ("/markdown.js", SCRIPT, include_str!("page/markdown.js")),
    (
        "/vendor/marked.umd.js",
        SCRIPT,
        include_str!("page/vendor/marked.umd.js"),
    ),
    (
        "/vendor/purify.min.js",
        SCRIPT,
        include_str!("page/vendor/purify.min.js"),
    ),
];

/// A second line of defence: if an agent's markup gets past the page's own rules, the browser runs no script of it and loads nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the files that the page loads.
pub(crate) fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .into_iter()
        .fold(Router::new(), |routes, (path, kind, text)| {
            routes.route(
                path,
                get(move || async move { ([(CONTENT_TYPE, kind)], text) }),
            )
        })
}

pub(crate) async fn index() -> impl IntoResponse {
    (
        [(CONTENT_SECURITY_POLICY, POLICY)],
        Html(include_str!("page/index.html")),
    )
}
