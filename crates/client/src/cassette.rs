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
//! Keys, tokens, credentials and the values of environment variables are not written: they stand as `***`. What else is in
//! your messages, files and commands is. What is played has to be asked for in the order of the recording; anything else is
//! an error that shows the difference.

use std::io::Write;

use serde::Deserialize;
use twentyfirst_protocol::{Secret, Secrets};
pub use twentyfirst_transport::cassette::{Content, InvalidCassette, Player, Recorder};

/// Records what passes through `transport`, without the secrets of any operation.
pub fn recorder<T>(transport: T, cassette: impl Write + Send + 'static) -> Recorder<T> {
    Recorder::new(transport, cassette).secrets(secrets)
}

/// A transport that answers with what a [`recorder`] has written.
///
/// # Errors
/// Where the text is not a recording.
pub fn player(cassette: &str) -> Result<Player, InvalidCassette> {
    Ok(Player::new(cassette)?.secrets(secrets))
}

/// The values in an exchange that are not written: those of its operation, a token in its answer, and the id of a turn, which differs each
/// time.
fn secrets(content: &Content<'_>) -> Vec<String> {
    #[derive(Deserialize)]
    struct Token {
        token: Secret,
    }

    #[derive(Deserialize)]
    struct Turn {
        messages: Vec<Message>,
    }

    #[derive(Deserialize)]
    struct Message {
        id: Option<String>,
    }

    let turn = serde_json::from_slice::<Turn>(content.request_body);
    let ids = turn.into_iter().flat_map(|turn| turn.messages);
    let ids = ids.filter_map(|message| message.id.filter(|id| is_made_here(id)));
    let of_request = content.request.extensions.get::<Secrets>();
    let of_answer = content
        .answer_body
        .and_then(|body| serde_json::from_slice::<Token>(body).ok());
    let of_answer = of_answer.as_ref().map(|answer| &answer.token);
    of_request
        .into_iter()
        .flat_map(Secrets::iter)
        .chain(of_answer)
        .map(|secret| secret.expose().to_owned())
        .chain(ids)
        .collect()
}

/// Whether [`StartRun::flow`](twentyfirst_protocol::runs::StartRun::flow) may have given this id.
fn is_made_here(id: &str) -> bool {
    let number = id.strip_prefix("msg_").unwrap_or_default();
    number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}
