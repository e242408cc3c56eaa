//! Turns any body, stream of bytes or reader into the events, chunks and messages of an agent run.
//!
//! The adapters are [`Stream`](futures_core::Stream)s around a body. [`SseEvents`] yields the events of an event stream,
//! [`UiChunks`] the chunks of a UI message stream, and [`UiMessages`] the message that the chunks describe. [`BodyStreamExt`] adds
//! a method for each of them to every [`http_body::Body`]. [`from_stream`] creates a body from a stream of bytes, and
//! [`from_reader`] from a reader, such as a file.
//!
//! The adapters need no runtime and start no task. They hold at most one piece of the body, one unfinished event and the message.
//! `twentyfirst-protocol` does the decoding.
//!
//! ```text
//! Stream of bytes ── from_stream() ─┐
//!         io::Read ── from_reader() ─┤
//!                                    ▼
//!                            http_body::Body ── sse_events() ──▶ SseEvents:  Event, Event, …
//!                                            ── ui_chunks() ───▶ UiChunks:   Chunk, Chunk, …, then an End
//!                                            ── ui_messages() ─▶ UiMessages: the message as it grows, then an End
//! ```
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use twentyfirst_stream::protocol::ui::{Chunk, End, Joiner};
//! use twentyfirst_stream::{BodyStreamExt, StreamError};
//!
//! /// Returns the text of an answer, and whether the answer is complete.
//! async fn text<B>(body: B) -> Result<(String, bool), StreamError<B::Error>>
//! where
//!     B: http_body::Body + Unpin,
//! {
//!     let mut chunks = body.ui_chunks();
//!     // A server may split a character, such as an emoji, between two deltas.
//!     let mut joiner = Joiner::new();
//!     let mut text = String::new();
//!     while let Some(chunk) = chunks.next().await {
//!         for chunk in joiner.push(chunk?) {
//!             if let Chunk::TextDelta(chunk) = chunk {
//!                 text += &chunk.delta.to_string_lossy();
//!             }
//!         }
//!     }
//!     Ok((text, chunks.end() == Some(End::Finished)))
//! }
//! # use std::{pin::pin, task::{Context, Poll, Waker}};
//! # let body: Full<Bytes> = "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"Hi\"}\n\ndata: [DONE]\n\n".into();
//! # let Poll::Ready(answer) = pin!(text(body)).poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
//! # assert_eq!(answer, Ok(("Hi".to_owned(), true)));
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod chunks;
mod error;
mod events;
mod ext;
mod from_reader;
mod from_stream;
mod messages;
mod source;

pub use chunks::UiChunks;
pub use error::StreamError;
pub use events::SseEvents;
pub use ext::BodyStreamExt;
pub use from_reader::{FromReader, from_reader};
pub use from_stream::{FromStream, from_stream};
pub use messages::UiMessages;
pub use {bytes, http_body, twentyfirst_protocol as protocol};

/// The examples of the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
