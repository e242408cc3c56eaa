use std::time::Duration;

use super::process_ref::tenths;
use super::script::Script;
use super::{ProcessError, ScriptFlow};
use crate::SandboxId;
use crate::error::{InvalidRequest, Problem};
use crate::options::CallOptions;
use crate::setters::setters;

/// The longest wait. The `exec` that runs the script ends after 10 minutes.
const LONGEST: Duration = Duration::from_secs(9 * 60);

/// Waits until something in a sandbox listens on a TCP port, such as a spawned server.
///
/// It reads `/proc/net/tcp` within the sandbox and does not connect. The provider decides whether the port is reachable from
/// outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitForPort {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The port.
    pub port: u16,
    /// The longest wait: 60 s by default, at most 9 minutes.
    pub timeout: Duration,
}

impl WaitForPort {
    /// Creates the operation for this port.
    pub fn new(sandbox_id: impl Into<SandboxId>, port: u16) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            port,
            timeout: Duration::from_secs(60),
        }
    }

    /// Returns the [flow](super#flows) that waits.
    ///
    /// # Errors
    /// Returns an error if the port is 0, or if the timeout exceeds 9 minutes.
    pub fn flow(&self, options: &CallOptions, seed: u64) -> Result<ScriptFlow<()>, InvalidRequest> {
        if self.port == 0 {
            return Err(InvalidRequest::new(
                "port",
                Problem::MustBe("from 1 to 65535"),
            ));
        }
        if self.timeout > LONGEST {
            return Err(InvalidRequest::new(
                "timeout",
                Problem::MustBe("at most 9 minutes"),
            ));
        }
        let (port, waited) = (self.port, self.timeout);
        let words = ["port", &port.to_string(), &tenths(waited)];
        let script = Script::new(&self.sandbox_id, words);
        let script = Script(script.0.timeout(waited + Duration::from_secs(60)));
        ScriptFlow::new(script, options, seed, move |reply| {
            match reply.get("port") {
                None => Ok(()),
                Some("closed") => Err(ProcessError::PortClosed { port, waited }),
                Some(_) => Err(ProcessError::PortUnknown(port)),
            }
        })
    }
}

setters! {
    WaitForPort, wait_for_port_setters;

    /// Sets the longest wait: 60 s by default, at most 9 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
