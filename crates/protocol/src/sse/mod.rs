//! The event stream format (`text/event-stream`) of the WHATWG HTML standard, decoded as bytes arrive.
//!
//! [`Decoder`] reads pieces of a response body, cut anywhere, and lends out [`Event`]s; [`Event::encode`] is its inverse. The
//! rules are those of [section 9.2 of the HTML
//! standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
//!
//! ```
//! use twentyfirst_protocol::sse::Decoder;
//!
//! let mut decoder = Decoder::new();
//! let mut seen = Vec::new();
//! for piece in ["event: greeting\nda", "ta: grü", "ezi\n\ndata: ["] {
//!     decoder.push(piece);
//!     while let Some(event) = decoder.next_event() {
//!         let event = event?;
//!         seen.push((event.event.unwrap_or_default().into_owned(), event.data.into_owned()));
//!     }
//! }
//! assert_eq!(seen, [("greeting".to_owned(), "grüezi".to_owned())]);
//! assert!(decoder.finish().is_err(), "the second event was cut off");
//! # Ok::<(), twentyfirst_protocol::sse::SseError>(())
//! ```

mod decoder;
mod error;
mod event;
mod limits;

pub use decoder::Decoder;
pub use error::{EncodeError, SseError, UnfinishedEvent};
pub use event::{Event, encode_comment};
pub use limits::Limits;
