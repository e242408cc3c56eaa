use std::io;
use std::sync::Once;

use rustix::process::getuid;

use super::files::Files;
use super::namespaces::Tools;
use super::owner::Owner;

/// How the commands of a sandbox are kept apart from the machine that runs the relay.
///
/// | | [`Namespaces`](Self::Namespaces) | [`Unconfined`](Self::Unconfined) |
/// |---|---|---|
/// | Users | `root` of the sandbox has no rights outside. It is the user who runs the relay, and `nobody` where that is `root` | the user who runs the relay |
/// | Files | the sandbox's at `/home/user`, `/root` and `/tmp`; the system's can be read as that user may, and not written; `/home`, `/root`, `/run`, `/tmp` and `TMPDIR` of the host are hidden | the host's |
/// | Kernel settings | `/proc/sys`, `/proc/sysrq-trigger` and `/sys` cannot be written | the host's |
/// | Devices | `null`, `zero`, `full`, `random`, `urandom`, pseudo terminals of its own | the host's |
/// | Processes, signals | its own; those in the background live as long as the sandbox | the host's; those in the background end with their command, unless they leave its group |
/// | Shared memory, System V IPC, message queues | its own | the host's |
/// | Descriptors of the relay's process | closed | closed |
/// | Session keyring | an empty one | an empty one |
/// | Network | **the host's**, with what listens on loopback and on abstract sockets | the host's |
/// | Sockets of services | hidden in `/run`, `/tmp` and `/home`, **reachable elsewhere** | the host's |
/// | CPU, memory, disk | **not limited** | not limited |
/// | Faults of the kernel | **no protection** | no protection |
///
/// File calls of clients are confined to the sandbox's directory whatever this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each sandbox has namespaces of its own for users, mounts, processes and IPC. A boundary for agents that make
    /// mistakes, not for code that is out to break one: see the table for what it leaves open.
    Namespaces,
    /// Commands are ordinary processes of the host. **This is no boundary.** Their working directory, `HOME` and
    /// `TMPDIR` are in the sandbox's directory, and nothing keeps them there: they do whatever the user who runs the
    /// relay may, and read the environment of the relay's process, with its secrets.
    ///
    /// A process that leaves the group of its command runs on until the sandbox is deleted, and longer if it also
    /// changes its `TMPDIR`.
    Unconfined,
    /// Commands are refused, also those of `setup`, of clones and of agents. Everything else works.
    NoCommands,
}

/// What it takes to run the commands of a relay.
#[derive(Debug, Clone)]
pub(crate) enum Confinement {
    Namespaces(Tools),
    Unconfined,
    /// With what there is to say about it.
    NoCommands(String),
}

impl Confinement {
    /// What was asked for, or else the best that this system has.
    pub(crate) async fn choose(wanted: Option<Isolation>) -> io::Result<Self> {
        match wanted {
            Some(Isolation::Unconfined) => {
                if getuid().is_root() {
                    warn(
                        "commands run as root and unconfined, as asked for; their sandboxes are no boundary",
                    );
                }
                return Ok(Self::Unconfined);
            }
            Some(Isolation::NoCommands) => {
                return Ok(Self::NoCommands(
                    "the relay was built without them".to_owned(),
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
                "{reason}, and the relay runs as root, whose commands could do anything to this machine; run it as \
                 another user, or ask for it by name: `.isolation(Isolation::Unconfined)`"
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

    /// Whose the files of the sandbox are, where the relay's own user is not the one who runs its commands.
    pub(crate) fn owner(&self) -> Option<Owner> {
        match self {
            Self::Namespaces(_) => Owner::in_place_of_root(),
            Self::Unconfined | Self::NoCommands(_) => None,
        }
    }
}

/// Says it once for all relays of a process, which have the same to say.
fn warn(text: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| eprintln!("local relay: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconfined_commands_of_root_have_to_be_asked_for_by_name() {
        let chosen = |is_root| Confinement::without_namespaces("no unshare", is_root);
        assert_eq!(chosen(false).isolation(), Isolation::Unconfined);
        let Confinement::NoCommands(reason) = chosen(true) else {
            panic!("commands run as root");
        };
        assert!(reason.starts_with("no unshare, and the relay runs as root"));
        assert!(reason.contains("Isolation::Unconfined"));
    }
}
