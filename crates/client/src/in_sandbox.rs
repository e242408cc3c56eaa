use twentyfirst_protocol::{IntoId, InvalidRequest, Operation, SandboxId};

use crate::call::Call;
use crate::client::AgentClient;

/// A client and the sandbox that its calls use.
#[derive(Debug, Clone)]
pub(crate) struct InSandbox {
    pub(crate) client: AgentClient,
    /// The calls report an invalid id, so that `client.sandbox(id)` needs no `?`.
    pub(crate) sandbox_id: Result<SandboxId, InvalidRequest>,
}

impl InSandbox {
    pub(crate) fn new(client: &AgentClient, sandbox_id: impl IntoId<SandboxId>) -> Self {
        Self {
            client: client.clone(),
            sandbox_id: sandbox_id.into_id(),
        }
    }

    /// Builds a value with the sandbox's id, if the id is valid.
    pub(crate) fn with_id<O>(
        &self,
        make: impl FnOnce(SandboxId) -> O,
    ) -> Result<O, InvalidRequest> {
        self.sandbox_id.clone().map(make)
    }

    /// Creates a call of an operation on the sandbox.
    pub(crate) fn call<O>(&self, operation: impl FnOnce(SandboxId) -> O) -> Call<O, O::Output>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send,
    {
        Call::of(&self.client, self.with_id(operation))
    }

    /// Creates a call of an operation that needs a second id: that of something in the sandbox.
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
            .and_then(|id| self.with_id(|sandbox_id| operation(sandbox_id, id)));
        Call::of(&self.client, operation)
    }
}

/// Defines methods for two types: for `$one`, which has the id of its sandbox, as they are written; and for `$any`, with the id as
/// their first argument. So each call on a sandbox is written and documented once.
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
