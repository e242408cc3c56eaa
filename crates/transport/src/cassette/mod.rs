//! Exchanges recorded to a file, and played from it: tests that need neither network nor server. Feature `cassette`.
//!
//! A [`Recorder`] goes around a transport and writes what passes; a [`Player`] is a transport that answers with what
//! was written, in the order in which it was recorded, and fails when it is asked for something else.
//!
//! ```no_run
//! use std::fs::{self, File};
//! use twentyfirst_transport::cassette::{Player, Recorder};
//! use twentyfirst_transport::{HttpTransport, SharedTransport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = if std::env::var_os("RECORD").is_some() {
//!     let recorder = Recorder::new(HttpTransport::new()?, File::create("tests/data/quickstart.jsonl")?)
//!         .secrets(|_| vec![String::from("the password in my test")]);
//!     SharedTransport::new(recorder)
//! } else {
//!     let recording = fs::read_to_string("tests/data/quickstart.jsonl")?;
//!     let player = Player::new(&recording)?.secrets(|_| vec![String::from("the password in my test")]);
//!     SharedTransport::new(player)
//! };
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! Lines of JSON that can be read, reviewed and edited: a request, the head of its answer, the pieces of its body as
//! they came, with the milliseconds between them, and how it ended. Of a request's URI only path and query are
//! written, so that a recording can be played against any base URL.
//!
//! Headers that say who somebody is are never written: values that are
//! [marked as sensitive](http::HeaderValue::set_sensitive), and every header whose name speaks of authorization,
//! cookies, tokens, keys, passwords, credentials or secrets. Bodies are written only where a hook says which values in
//! them are secret ([`Recorder::secrets`]); each occurrence of one of those, as it is or as it stands in a JSON
//! string, is replaced by `***` wherever it stands, in paths and headers as well. A value that a stream tells in
//! several events is not found.

mod format;
mod player;
mod recorder;
mod secrets;

pub use self::format::InvalidCassette;
pub use self::player::Player;
pub use self::recorder::Recorder;
pub use self::secrets::Content;
