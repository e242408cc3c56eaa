//! The bodies of the requests that browsers send to your server, which calls the relay for them.
//!
//! | body | sent by |
//! |---|---|
//! | [`ChatBody`] | `useChat` of the AI SDK, with its `DefaultChatTransport` |
//! | [`TokenBody`] | `createAgentChat` of `@21st-sdk/react` |
//! | [`ThreadBody`] | pages that create threads |
//!
//! Bodies are read as `request.json()` of browsers, Node and Next.js reads them:
//!
//! - A byte order mark is skipped, and bytes that are not UTF-8 become U+FFFD.
//! - Only the size of the body limits nesting and numbers.
//! - Strings may contain half a surrogate pair.
//! - If a name repeats, the last member counts.
//!
//! Unlike there, a key with a special meaning in JavaScript is refused, because chunks and messages may not have it.

mod chat_body;
mod error;
mod json_body;
mod thread_body;
mod token_body;

pub use chat_body::{ChatBody, ChatHistory, ChatLimits};
pub use error::BodyError;
pub use thread_body::ThreadBody;
pub use token_body::TokenBody;
