//! Records exchanges to a file and replays them, so that your tests need neither network nor relay. Feature `cassette`.
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
//! Keys, tokens, credentials and the values of environment variables are not written. They are replaced by `***` wherever they
//! occur, in any [spelling](Redactor). This covers the credentials of the request, the values that its operation declares as
//! secret, the tokens in a response, and all of these in later exchanges. All other contents of your messages, files and commands
//! are written. So is a secret that a response splits over several events, because it is not found.
//!
//! When replaying, a request gets the response of the first recorded exchange that has the same method, path and body and was not
//! replayed yet. So different requests may come in any order, and equal ones get their responses in the recorded order. Any other
//! request is an error that shows the difference. A recorded `***` matches any text.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use twentyfirst_protocol::{Redactor, Secret, Secrets};
pub use twentyfirst_transport::cassette::{Content, InvalidCassette, Masking, Player, Recorder};

/// Creates a transport that records the exchanges of `transport`, without their secrets.
pub fn recorder<T>(transport: T, cassette: impl Write + Send + 'static) -> Recorder<T> {
    let earlier = EarlierSecrets::default();
    Recorder::new(transport, cassette, move |content| earlier.masking(content))
}

/// Creates a transport that replays the recording of a [`recorder`].
///
/// # Errors
/// If the text is not a recording.
pub fn player(cassette: &str) -> Result<Player, InvalidCassette> {
    // Requests are masked in the same way as when they were recorded, so that they can be compared.
    let earlier = EarlierSecrets::default();
    Ok(Player::new(cassette)?.masking(move |content| earlier.masking(content)))
}

/// The secrets of earlier exchanges. Later ones may repeat them: a token from a response is sent with the requests that follow.
#[derive(Default)]
struct EarlierSecrets(Mutex<VecDeque<Secret>>);

/// The most secrets that are remembered, for example a key and the tokens of many days. The oldest are forgotten first.
const MOST_REMEMBERED: usize = 200;

/// The shortest secret that is remembered, in bytes. A shorter text is not a key, and may occur in later exchanges by chance.
const SHORTEST_REMEMBERED: usize = 12;

impl EarlierSecrets {
    /// Returns the places to mask in an exchange, and remembers its secrets for later ones.
    fn masking(&self, content: &Content<'_>) -> Masking {
        let secrets = secrets(content);
        let mut earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Secret> = earlier.iter().cloned().collect();
        for secret in secrets.iter() {
            if secret.expose().len() >= SHORTEST_REMEMBERED && !earlier.contains(secret) {
                earlier.push_back(secret.clone());
            }
        }
        let surplus = earlier.len().saturating_sub(MOST_REMEMBERED);
        earlier.drain(..surplus);
        drop(earlier);
        all.extend(secrets.iter().cloned());
        let generated = generated_ids(content);
        let masked = all.iter().map(Secret::expose);
        let redactor = Redactor::new(masked.chain(generated.iter().map(String::as_str)));
        Masking::new(move |text| redactor.places(text))
    }
}

/// Returns the secrets of an exchange: those that its operation declares, its credentials, and the tokens in its response.
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

/// Whether the name of a query parameter is typical of secrets.
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

/// Returns the ids of user messages that the client generated. They differ each time, so a replay must not compare them.
fn generated_ids(content: &Content<'_>) -> Vec<String> {
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
        .filter_map(|message| message.id.filter(|id| is_generated(id)))
        .collect()
}

/// Whether [`StartRun::flow`](twentyfirst_protocol::runs::StartRun::flow) may have generated this id.
fn is_generated(id: &str) -> bool {
    let number = id.strip_prefix("msg_").unwrap_or_default();
    number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}
