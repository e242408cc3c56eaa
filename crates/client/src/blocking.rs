//! The client without async: the same names, and `.wait()` in place of `.await`. Feature `blocking`.
//!
//! ```
//! use twentyfirst_client::blocking::{Iterate, Wait};
//! use twentyfirst_client::{AgentClient, Chunk};
//! # use twentyfirst_local_relay::LocalRelay;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = AgentClient::builder().env().blocking();
//! #   let relay = LocalRelay::start()?;
//! #   let client = client.relay(&relay);
//!     let client = client.build()?;
//!
//!     let sandbox = client.sandboxes().create("shell").wait()?;
//!     client.sandbox(&sandbox).files().write("/home/user/notes.txt", "Agents work in sandboxes.\n").wait()?;
//!
//!     let mut run = client.run("shell", "cat notes.txt").sandbox_id(&sandbox).wait()?;
//!     for chunk in run.iter() {
//!         if let Chunk::TextDelta(text) = chunk? {
//!             print!("{}", text.delta);
//!         }
//!     }
//!     println!("{}", run.outcome().wait().end);
//!
//!     client.sandboxes().delete(&sandbox).wait()?;
//!     Ok(())
//! }
//! ```
//!
//! There is no second set of methods. Call the methods of the client, whose docs apply here as well:
//!
//! | async | blocking |
//! |---|---|
//! | `AgentClient::from_env()?` | `AgentClient::builder().env().blocking().build()?` |
//! | `client.sandboxes().exec(&id, "ls").cwd("/srv").await?` | `client.sandboxes().exec(&id, "ls").cwd("/srv").wait()?` |
//! | `client.run("my-agent", "Hello").await?.text().await?` | `client.run("my-agent", "Hello").wait()?.text().wait()?` |
//! | `while let Some(chunk) = run.next_chunk().await` | `for chunk in run.iter()`, or `run.next_chunk().wait()` |
//! | `while let Some(event) = run.next_event().await` | `while let Some(event) = run.next_event().wait()` |
//! | `while let Some(chunk) = output.next_chunk().await` | `for chunk in output.iter()` |
//! | `run.cancel().await?` | `run.cancel().wait()?`, also on another thread |
//! | `body.read_with(parse).await?` | `body.read_with(parse).wait()?` |
//! | `tokio::spawn(call)` | `thread::spawn(move \|\| call.wait())` |
//! | `tokio::time::timeout(limit, call)` | a [`deadline`](crate::CallOptions::deadline) of the call |
//!
//! Retries, timeouts, tokens and following across cuts work as in async code, because they are the same code.
//!
//! # Which client
//! [`AgentClientBuilder::blocking`](crate::AgentClientBuilder::blocking) gives the client a
//! [transport](crate::transport::UreqTransport) and a [runtime](crate::transport::ThreadRuntime) that need no async runtime. Such
//! a client works everywhere: `.wait()` on any thread, and `.await` in any async program. Built with `default-features = false,
//! features = ["blocking"]`, the crate has neither tokio nor hyper.
//!
//! A client with an [`HttpTransport`](crate::transport::HttpTransport), the default with the feature `http`, needs a running
//! tokio runtime while it waits. Await it: its `.wait()` panics outside of tokio, and never returns within tokio's current-thread
//! runtime.
//!
//! # Logs
//! At the level `trace`, ureq logs the key: see [`UreqTransport`](crate::transport::UreqTransport#logs).
//!
//! # Within an async runtime
//! `.wait()` blocks its thread and all tasks on it. There, call it from `spawn_blocking`, or use `.await`.
//!
//! # Ending a wait
//! Another thread cannot interrupt a wait: it ends only when its call ends. Set a [`deadline`](crate::CallOptions::deadline) for
//! calls, and [`FollowPolicy::deadline`](crate::FollowPolicy::deadline) for reading a run. Another thread can end a run, and so
//! the wait for it, with the future that [`cancel`](crate::Run::cancel) returned. Dropping a [`Run`](crate::Run) or an
//! [`Output`](crate::Output) closes its connection at once and ends its thread, even while the relay is silent.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;

/// Adds [`wait`](Self::wait) to every future.
pub trait Wait: IntoFuture {
    /// Blocks this thread until the future is ready, and returns its output, as `.await` does in async code.
    fn wait(self) -> Self::Output
    where
        Self: Sized,
    {
        pollster::block_on(self)
    }
}

impl<F: IntoFuture> Wait for F {}

/// Adds [`iter`](Self::iter) to every stream: a [`Run`](crate::Run), the [`Output`](crate::Output) of a process, events of a body.
pub trait Iterate: Stream + Unpin {
    /// Returns an iterator over the items. It blocks this thread until the next item arrives.
    ///
    /// It borrows the stream. A later iterator continues where this one stopped.
    fn iter(&mut self) -> Iter<'_, Self> {
        Iter { stream: self }
    }
}

impl<S: Stream + Unpin + ?Sized> Iterate for S {}

/// The items of a stream, from [`Iterate::iter`].
#[must_use = "iterators do nothing unless they are asked for items"]
pub struct Iter<'s, S: ?Sized> {
    stream: &'s mut S,
}

impl<S: Stream + Unpin + ?Sized> Iterator for Iter<'_, S> {
    type Item = S::Item;

    fn next(&mut self) -> Option<S::Item> {
        poll_fn(|cx| Pin::new(&mut *self.stream).poll_next(cx)).wait()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<S: ?Sized> fmt::Debug for Iter<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
