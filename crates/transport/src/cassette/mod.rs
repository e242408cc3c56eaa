//! Exchanges recorded to a file, and played from it: tests that need neither network nor server. Feature `cassette`.
//!
//! A [`Recorder`] goes around a transport and writes what passes; a [`Player`] is a transport that responds with what was written, and
//! fails when it is asked for something else. Requests may come in any order, since those of several tasks do; requests that are alike
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
//!     // Nothing in this test is secret but what is in headers.
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
//! they came, with the milliseconds between them, and how it ended. Of a request's URI only path and query are
//! written, so that a recording can be played against any base URL.
//!
//! Headers that say who somebody is are never written: values that are
//! [marked as sensitive](http::HeaderValue::set_sensitive), and every header whose name speaks of authorization,
//! cookies, tokens, keys, passwords, credentials, signatures or secrets. Everything else goes through a [`Masking`], which says
//! what must not be written of bodies, paths and other headers, and what is written in its place.
//!
//! A request is the same as a recorded one if it differs only where `***` is recorded: secrets may be others each time.

mod format;
mod masking;
mod player;
mod recorder;

pub use self::format::InvalidCassette;
pub use self::masking::{Content, Masking};
pub use self::player::Player;
pub use self::recorder::Recorder;
