//! Exchanges recorded to a file and played from it, so that your tests need neither network nor relay. Feature `cassette`.
//!
//! ```no_run
//! use std::fs::{self, File};
//! use twentyfirst_client::transport::HttpTransport;
//! use twentyfirst_client::{AgentClient, cassette};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = if std::env::var_os("RECORD").is_some() {
//!     let file = File::create("tests/data/review.jsonl")?;
//!     AgentClient::builder().env().transport(cassette::recorder(HttpTransport::new()?, file)).build()?
//! } else {
//!     let recording = fs::read_to_string("tests/data/review.jsonl")?;
//!     AgentClient::builder().api_key("none").transport(cassette::player(&recording)?).build()?
//! };
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! Keys, tokens, credentials and the values of environment variables are not written: they stand as `***`, wherever and
//! [however](Redactor) they are repeated. That is true of what a request says who it is with, of what its operation calls secret, of the
//! tokens that a response brings, and of all of these in later exchanges. What else is in your messages, files and commands is written. A
//! secret that an answer tells in several events is not found.
//!
//! A request gets the response of the first recorded exchange that has the same method, path and body and was not played yet: requests that
//! differ may come in any order, those that are alike get their responses in the order of the recording. Anything else is an error that
//! shows the difference. Where `***` is recorded, any text may be asked for.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use twentyfirst_protocol::{Redactor, Secret, Secrets};
pub use twentyfirst_transport::cassette::{Content, InvalidCassette, Masking, Player, Recorder};

/// Records what passes through `transport`, without the secrets of any operation.
pub fn recorder<T>(transport: T, cassette: impl Write + Send + 'static) -> Recorder<T> {
    let former = Former::default();
    Recorder::new(transport, cassette, move |content| former.masking(content))
}

/// A transport that answers with what a [`recorder`] has written.
///
/// # Errors
/// Where the text is not a recording.
pub fn player(cassette: &str) -> Result<Player, InvalidCassette> {
    let former = Former::default();
    Ok(Player::new(cassette)?.masking(move |content| former.masking(content)))
}

/// The secrets of former exchanges: a token that one has brought is used and repeated by others.
#[derive(Default)]
struct Former(Mutex<VecDeque<Secret>>);

/// So many of them are remembered: a key, and the tokens of many days.
const REMEMBERED: usize = 200;

/// What is shorter is no key, and could stand in any text.
const SHORTEST_REMEMBERED: usize = 12;

impl Former {
    fn masking(&self, content: &Content<'_>) -> Masking {
        let secrets = secrets(content);
        let mut former = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Secret> = former.iter().cloned().collect();
        for secret in secrets.iter() {
            if secret.expose().len() >= SHORTEST_REMEMBERED && !former.contains(secret) {
                former.push_back(secret.clone());
            }
        }
        let surplus = former.len().saturating_sub(REMEMBERED);
        former.drain(..surplus);
        drop(former);
        all.extend(secrets.iter().cloned());
        let redactor = Redactor::new(
            all.iter()
                .map(Secret::expose)
                .chain(turns(content).iter().map(String::as_str)),
        );
        Masking::new(move |text| redactor.places(text))
    }
}

/// The values in an exchange that are not written: those of its operation, with what it says who it is, and the tokens that it brings.
fn secrets(content: &Content<'_>) -> Secrets {
    let head = content.request;
    let mut secrets = head
        .extensions
        .get::<Secrets>()
        .cloned()
        .unwrap_or_default();
    for value in content.secret_headers() {
        secrets.add_header(&String::from_utf8_lossy(value.as_bytes()));
    }
    let query = head.uri.query().unwrap_or_default();
    for parameter in query.split('&').filter(|parameter| is_secret(parameter)) {
        secrets.add_url(&format!("?{parameter}"));
    }
    secrets.add_json(content.request_body);
    if let Some((_, body)) = content.response {
        secrets.add_json(body);
    }
    secrets
}

/// Whether a parameter of a query has a name as secrets have.
fn is_secret(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    [
        "auth",
        "key",
        "passw",
        "secret",
        "session",
        "signature",
        "token",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// The ids of turns that were made here, which differ each time.
fn turns(content: &Content<'_>) -> Vec<String> {
    #[derive(Deserialize)]
    struct Turn {
        messages: Vec<Message>,
    }

    #[derive(Deserialize)]
    struct Message {
        id: Option<String>,
    }

    let turn = serde_json::from_slice::<Turn>(content.request_body);
    let messages = turn.into_iter().flat_map(|turn| turn.messages);
    messages
        .filter_map(|message| message.id.filter(|id| is_made_here(id)))
        .collect()
}

/// Whether [`StartRun::flow`](twentyfirst_protocol::runs::StartRun::flow) may have given this id.
fn is_made_here(id: &str) -> bool {
    let number = id.strip_prefix("msg_").unwrap_or_default();
    number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}
