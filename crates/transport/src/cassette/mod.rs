//! Exchanges recorded to a file, and played from it: tests that need neither network nor server. Feature `cassette`.
//!
//! A [`Recorder`] wraps a transport and writes its exchanges. A [`Player`] is a transport that responds as recorded and fails on any
//! other request. Requests may come in any order, because concurrent tasks do not keep one; identical requests
//! get their responses in the order of the recording.
//!
//! ```no_run
//! use std::fs::{self, File};
//! use twentyfirst_transport::cassette::{Masking, Player, Recorder};
//! use twentyfirst_transport::{HttpTransport, SharedTransport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = if std::env::var_os("RECORD").is_some() {
//!     let file = File::create("tests/data/quickstart.jsonl")?;
//!     // In this test, only headers contain secrets.
//!     SharedTransport::new(Recorder::new(HttpTransport::new()?, file, |_| Masking::none()))
//! } else {
//!     let recording = fs::read_to_string("tests/data/quickstart.jsonl")?;
//!     SharedTransport::new(Player::new(&recording)?)
//! };
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! Lines of JSON that can be read, reviewed and edited: a request, the head of its response, the pieces of its body as
//! they arrived, with the milliseconds between them, and the end. Only the path and the query of a request's URI are
//! written, so that a recording can be played against any base URL.
//!
//! Headers with credentials are never written: values that are
//! [marked as sensitive](http::HeaderValue::set_sensitive), and every header whose name refers to authorization,
//! cookies, tokens, keys, passwords, credentials, signatures or secrets. Everything else goes through a [`Masking`], which
//! replaces the secrets in bodies, paths and other headers.
//!
//! A request matches a recorded one if it differs only where the recording has `***`, because secrets may change from run to run.

mod format;
mod held;
mod masking;
mod player;
mod recorder;

pub use self::format::InvalidCassette;
pub use self::masking::{Content, Masking};
pub use self::player::Player;
pub use self::recorder::Recorder;
