use std::fmt;
use std::pin::Pin;

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::sandboxes::CreateSandbox;

use super::Refusal;

/// The sandbox to create for a [`SandboxRequest`](super::SandboxRequest), with a callback for its id.
///
/// You can also return a [`CreateSandbox`]. Use this type to [store the owner of the sandbox](Self::on_created).
#[must_use]
pub struct NewSandbox {
    pub(super) create: CreateSandbox,
    pub(super) on_created: Option<OnCreated>,
}

pub(super) type OnCreated = Box<dyn FnOnce(SandboxId) -> Stored + Send>;
type Stored = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

impl NewSandbox {
    /// Creates a description of a sandbox.
    pub fn new(create: CreateSandbox) -> Self {
        Self {
            create,
            on_created: None,
        }
    }

    /// Sets a function that is called when the sandbox was created, before the browser receives its id. Store the owner of the
    /// sandbox there.
    ///
    /// With it, the creation is completed even if the browser leaves in the meantime, so that no sandbox that costs money is
    /// lost. If the function refuses, the browser gets the refusal, and the sandbox exists all the same.
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
