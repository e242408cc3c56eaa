use std::io;
use std::sync::Once;

use rustix::process::getuid;

use super::files::Files;
use super::namespaces::Tools;
use super::owner::Owner;

/// The isolation of a sandbox's commands from the machine that runs the relay.
///
/// | | [`Namespaces`](Self::Namespaces) | [`Unconfined`](Self::Unconfined) |
/// |---|---|---|
/// | Users | `root` of the sandbox has no rights outside: on the host, it is the user that runs the relay, or `nobody` if that is `root` | the user that runs the relay |
/// | Files | the sandbox's at `/home/user`, `/root` and `/tmp`; the system's with that user's read access only; `/home`, `/root`, `/run`, `/tmp` and `TMPDIR` of the host are hidden | the host's |
/// | Kernel settings | `/proc/sys`, `/proc/sysrq-trigger` and `/sys` are read-only | the host's |
/// | Devices | `null`, `zero`, `full`, `random`, `urandom`, its own pseudo terminals | the host's |
/// | Processes, signals | its own; background processes live as long as the sandbox | the host's; background processes end with their command, unless they leave its group |
/// | Shared memory, System V IPC, message queues | its own | the host's |
/// | Descriptors of the relay's process | closed | closed |
/// | Session keyring | an empty one | an empty one |
/// | Network | **the host's**, including loopback and abstract sockets | the host's |
/// | Sockets of services | hidden in `/run`, `/tmp` and `/home`, **reachable elsewhere** | the host's |
/// | CPU, memory, disk | **not limited** | not limited |
/// | Bugs of the kernel | **no protection** | no protection |
///
/// File calls of clients are always confined to the sandbox's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each sandbox has its own namespaces for users, mounts, processes and IPC. This is a boundary for agents that make mistakes, not for
    /// malicious code: the table shows the gaps.
    Namespaces,
    /// Commands are ordinary processes of the host. **This is no boundary.** Their working directory, `HOME` and `TMPDIR` are in the
    /// sandbox's directory, but nothing keeps them there. They have all rights of the user that runs the relay, and can read the
    /// environment of the relay's process with its secrets.
    ///
    /// A process that leaves the group of its command runs until the sandbox is deleted, and longer if it also changes its `TMPDIR`.
    Unconfined,
    /// Commands are refused, including those of `setup`, of clones and of agents. Everything else works.
    NoCommands,
}

/// The isolation of a relay, with its tools.
#[derive(Debug, Clone)]
pub(crate) enum Confinement {
    Namespaces(Tools),
    Unconfined,
    /// The value is the reason.
    NoCommands(String),
}

impl Confinement {
    /// Returns the requested isolation, or the best that this system has.
    ///
    /// # Errors
    /// Fails if namespaces were requested and the system does not allow them.
    pub(crate) async fn choose(wanted: Option<Isolation>) -> io::Result<Self> {
        match wanted {
            Some(Isolation::Unconfined) => {
                if getuid().is_root() {
                    warn(
                        "commands run as root and unconfined, as requested; their sandboxes are no boundary",
                    );
                }
                return Ok(Self::Unconfined);
            }
            Some(Isolation::NoCommands) => {
                return Ok(Self::NoCommands(
                    "the relay was configured with `Isolation::NoCommands`".to_owned(),
                ));
            }
            Some(Isolation::Namespaces) | None => {}
        }
        let dir = tempfile::tempdir()?;
        let detected = match Files::open(dir.path(), Owner::in_place_of_root()) {
            Ok(_) => Tools::detect(dir.path()).await,
            Err(error) => Err(format!("files cannot be given to `nobody`: {error}")),
        };
        let reason = match detected {
            Ok(tools) => return Ok(Self::Namespaces(tools)),
            Err(reason) => format!("this system does not allow namespaces ({reason})"),
        };
        if wanted.is_some() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        Ok(Self::without_namespaces(&reason, getuid().is_root()))
    }

    fn without_namespaces(reason: &str, is_root: bool) -> Self {
        if is_root {
            let reason = format!(
                "{reason}, and commands of a relay that runs as root could do anything to this machine: run it as \
                 another user, or request this explicitly with `.isolation(Isolation::Unconfined)`"
            );
            warn(&format!("commands are refused: {reason}"));
            Self::NoCommands(reason)
        } else {
            warn(&format!(
                "{reason}; commands are ordinary processes, and their sandboxes are no boundary"
            ));
            Self::Unconfined
        }
    }

    pub(crate) fn isolation(&self) -> Isolation {
        match self {
            Self::Namespaces(_) => Isolation::Namespaces,
            Self::Unconfined => Isolation::Unconfined,
            Self::NoCommands(_) => Isolation::NoCommands,
        }
    }

    /// Returns the owner of a sandbox's files, if its commands do not run as the relay's own user.
    pub(crate) fn owner(&self) -> Option<Owner> {
        match self {
            Self::Namespaces(_) => Owner::in_place_of_root(),
            Self::Unconfined | Self::NoCommands(_) => None,
        }
    }
}

/// Prints a warning once per process, since it is the same for all its relays.
fn warn(text: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| eprintln!("local relay: {text}"));
}

/// Gives this thread, and the threads that it starts, an empty session keyring. Other threads keep theirs.
///
/// Commands inherit the session keyring and could read its keys, in any namespace. Errors are ignored: systems that refuse the call, such
/// as most containers, refuse keyrings to commands as well.
pub(crate) fn leave_session_keyring() {
    #[cfg(target_os = "linux")]
    keyutils::Keyring::join_anonymous_session().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconfined_commands_of_root_need_an_explicit_request() {
        let chosen = |is_root| Confinement::without_namespaces("no unshare", is_root);
        assert_eq!(chosen(false).isolation(), Isolation::Unconfined);
        let Confinement::NoCommands(reason) = chosen(true) else {
            panic!("commands run as root");
        };
        assert!(reason.starts_with("no unshare, and commands of a relay that runs as root"));
        assert!(reason.contains("Isolation::Unconfined"));
    }
}
