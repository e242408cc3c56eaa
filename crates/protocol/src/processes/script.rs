use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, ResponseError};
use crate::operation::{Endpoint, Operation, Safety};
use crate::route::Route;
use crate::sandboxes::{Exec, ExecOutput};
use crate::{SandboxId, Secrets, Timeouts};

/// The shell script that every call sends, to run one function of it.
pub const SCRIPT: &str = include_str!("processes.sh");

/// Evaluates the script, then runs the function with its arguments.
const RUN: &str = r#"lib=$1; shift; eval "$lib"; "$@""#;

/// A function of [`SCRIPT`], run in the sandbox. Each of them acts once even if it runs twice, so it is retried like a read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Script(pub(super) Exec);

impl Script {
    pub(super) fn new<'a>(
        sandbox_id: &SandboxId,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut command = format!("exec sh -c {} sh {}", quote(RUN), quote(SCRIPT));
        for argument in arguments {
            command.push(' ');
            command.push_str(&quote(argument));
        }
        Self(Exec::new(sandbox_id, command))
    }
}

impl Endpoint for Script {
    const ROUTE: Route = Exec::ROUTE;

    fn validate(&self) -> Result<(), InvalidRequest> {
        self.0.validate()
    }

    fn safety(&self) -> Safety {
        Safety::Repeatable
    }

    fn timeouts(&self) -> Timeouts {
        self.0.timeouts()
    }

    fn secrets(&self) -> Secrets {
        self.0.secrets()
    }
}

impl Operation for Script {
    type Output = ExecOutput;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<ExecOutput, ResponseError> {
        self.0.decode(head, body)
    }
}

/// Quotes a text as one word of a shell command.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
