//! Explains how to use the client, from a first run to a web service on many instances.
//!
//! Each page stands alone. Every example is compiled, and those that need no key also run, against the [local relay](testing).
//!
//! | page | question |
//! |---|---|
//! | [`first_steps`] | How do I run an agent, read its answer and work in its sandbox? |
//! | [`sessions`] | What do I store to continue a conversation, or to find a run again? |
//! | [`failures`] | What can go wrong, how do I see it, and what do I do then? |
//! | [`cancelling_and_costs`] | What ends a run, what costs, and how do I limit it? |
//! | [`web_backend`] | How do browsers chat through my server? |
//! | [`scaling`] | How do I run several instances, deploy, and survive a crash? |
//! | [`testing`] | How do I test my program without a key? |
//! | [`other_stacks`] | How do I use another HTTP library, another runtime, or only a part of this? |
//! | [`security`] | Where may the key be, what is masked, and what must I check myself? |
//! | [`from_javascript`] | How do I write in Rust what I have with `@21st-sdk/node`? |
//!
//! # Words
//! - The **relay** is the HTTP service of 21st Agents. The relay sends responses; an agent gives answers.
//! - A **sandbox** is a machine with files and a shell. It belongs to one agent, and costs money until it is deleted.
//! - A **thread** is a conversation in a sandbox. The threads of a sandbox share its files.
//! - A **run** is an agent's work on one turn, from the user's message to the end of the answer. It goes on when nobody listens.
//! - A **chunk** is a piece of an answer as it streams; a **message** is the answer put together.
//! - To **follow** a run is to stay with it until its end, also across broken connections.
//! - A **run log** records the answer of a run, so that any instance of your server can replay it.

#[doc = include_str!("first_steps.md")]
pub mod first_steps {}

#[doc = include_str!("sessions.md")]
pub mod sessions {}

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("cancelling_and_costs.md")]
pub mod cancelling_and_costs {}

#[doc = include_str!("web_backend.md")]
pub mod web_backend {}

#[doc = include_str!("scaling.md")]
pub mod scaling {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("other_stacks.md")]
pub mod other_stacks {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("from_javascript.md")]
pub mod from_javascript {}
