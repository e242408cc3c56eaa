use std::fmt;
use std::pin::Pin;

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::sandboxes::CreateSandbox;

use super::Refusal;

/// The sandbox that a [`SandboxRequest`](super::SandboxRequest) is answered with, and who is told of it.
///
/// A [`CreateSandbox`] is one, too: take this where you want to [keep whose it is](Self::on_created).
#[must_use]
pub struct NewSandbox {
    pub(super) create: CreateSandbox,
    pub(super) on_created: Option<OnCreated>,
}

pub(super) type OnCreated = Box<dyn FnOnce(SandboxId) -> Stored + Send>;
type Stored = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

impl NewSandbox {
    /// The sandbox to create.
    pub fn new(create: CreateSandbox) -> Self {
        Self {
            create,
            on_created: None,
        }
    }

    /// Does this when the sandbox is there, before the browser gets to know its id. It is the moment to store whose it is.
    ///
    /// With it, creating does not end when the browser leaves meanwhile; so what was created, and costs, is never lost. Where
    /// it refuses, the browser gets the refusal, and the sandbox is there all the same.
    pub fn on_created<F, Fut>(mut self, on_created: F) -> Self
    where
        F: FnOnce(SandboxId) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.on_created = Some(Box::new(move |sandbox_id| Box::pin(on_created(sandbox_id))));
        self
    }
}

impl From<CreateSandbox> for NewSandbox {
    fn from(create: CreateSandbox) -> Self {
        Self::new(create)
    }
}

impl fmt::Debug for NewSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSandbox")
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}
