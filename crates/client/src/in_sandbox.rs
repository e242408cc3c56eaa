use twentyfirst_protocol::{IntoId, InvalidRequest, Operation, SandboxId};

use crate::call::Call;
use crate::client::AgentClient;

/// A sandbox of which calls are made.
#[derive(Debug, Clone)]
pub(crate) struct InSandbox {
    pub(crate) client: AgentClient,
    /// Text that cannot be an id is refused when a call is made.
    pub(crate) sandbox_id: Result<SandboxId, InvalidRequest>,
}

impl InSandbox {
    pub(crate) fn new(client: &AgentClient, sandbox_id: impl IntoId<SandboxId>) -> Self {
        Self {
            client: client.clone(),
            sandbox_id: sandbox_id.into_id(),
        }
    }

    /// What is made of the sandbox's id, if it is one.
    pub(crate) fn id<O>(&self, make: impl FnOnce(SandboxId) -> O) -> Result<O, InvalidRequest> {
        self.sandbox_id.clone().map(make)
    }

    pub(crate) fn call<O>(&self, operation: impl FnOnce(SandboxId) -> O) -> Call<O, O::Output>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send,
    {
        Call::of(&self.client, self.id(operation))
    }

    /// A call that names something in the sandbox.
    pub(crate) fn call_in<I, O>(
        &self,
        id: impl IntoId<I>,
        operation: impl FnOnce(SandboxId, I) -> O,
    ) -> Call<O, O::Output>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send,
    {
        let operation = id
            .into_id()
            .and_then(|id| self.id(|sandbox_id| operation(sandbox_id, id)));
        Call::of(&self.client, operation)
    }
}

/// Writes the calls of a sandbox once: methods of the type that knows its sandbox, and of the one that takes it with each call.
macro_rules! in_sandbox {
    ($any:ident, $one:ident; $(
        $(#[$meta:meta])*
        pub fn $name:ident(&$self:ident $(, $argument:ident: $type:ty)* $(,)?) -> $call:ty $body:block
    )*) => {
        impl $one {
            $(
                $(#[$meta])*
                pub fn $name(&$self $(, $argument: $type)*) -> $call $body
            )*
        }

        impl $any {
            $(
                $(#[$meta])*
                pub fn $name(
                    &self,
                    sandbox_id: impl IntoId<SandboxId>
                    $(, $argument: $type)*
                ) -> $call {
                    $one(InSandbox::new(&self.client, sandbox_id)).$name($($argument),*)
                }
            )*
        }
    };
}

pub(crate) use in_sandbox;
