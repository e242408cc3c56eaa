//! Transfers of files and directories between this machine and a sandbox. A transfer can have any length, since no file is held in
//! memory as a whole.
//!
//! ```text
//!               this machine                        │                 the sandbox
//!                                                   │
//!  upload          file ─── thread ─── body ────────┼──── write_stream ───────────────► file
//!  download        file.part ◄── thread ◄── body ◄──┼──── read_stream ───────────────── file
//!                  └─ renamed at the end            │
//!                                                   │
//!  upload_dir      scan ─► archive ─────── body ────┼──── write_stream ─► /tmp/….tar ─ tar -x ─► directory
//!                  └─ refuses what cannot be kept   │                     └─ removed
//!                                                   │
//!  download_dir    dir.part ◄── unpack ◄── body ◄───┼──── read_stream ◄── /tmp/….tar ◄ tar -c ── directory
//!                  │            └─ checks each entry│                     └─ removed
//!                  └─ renamed at the end            │
//! ```
//!
//! The calls are [`Files::upload`](crate::Files::upload), [`download`](crate::Files::download),
//! [`upload_dir`](crate::Files::upload_dir) and [`download_dir`](crate::Files::download_dir). The first path is the source, the
//! second the destination.
//!
//! # Transferred properties
//! - Files: the content, the permission bits (`rwx`), and the modification time in whole seconds.
//! - Directories, even empty ones: the permission bits.
//! - Symbolic links, and hard links within the directory: as links.
//! - Names: any bytes but `/` and NUL, such as spaces, line breaks, a leading `-` and bytes that are not UTF-8. A path has at most
//!   4096 bytes and 255 names.
//!
//! Owners, setuid, setgid and sticky bits, extended attributes and the mode of the directory itself are not transferred. In the
//! sandbox all files belong to root; here they belong to the user who runs this program.
//!
//! The following are refused, with a [`TransferError`] that names the path:
//!
//! - devices, sockets, FIFOs and sparse entries;
//! - symbolic links that may lead out of the directory: to an absolute path, up beyond the directory, or with a `..` after a name
//!   (if that name is itself a link, `..` goes up from its target);
//! - hard links to files outside of the directory;
//! - in a sandbox's archive also absolute names, names with `..`, names that lead through a link, and the same name twice;
//! - an archive that ends too early, or exceeds the limits;
//! - names that this system cannot represent, such as `a:b` on Windows. Symbolic links are refused there as well.
//!
//! The rules are the same in both directions. An upload scans the whole directory first: if an entry is refused, nothing is sent.
//! Use `exclude` and `filter` to skip such entries.
//!
//! # Sandboxes are not trusted
//! An agent can put anything into its sandbox, including a `tar` of its own. So a downloaded archive is unpacked into a new
//! directory, nothing is written outside of it, and at most [`max_entries`](crate::Call::max_entries) and
//! [`max_bytes`](crate::Call::max_bytes) are accepted. The *contents* of the files are whatever the agent wrote.
//!
//! # Requirements of the sandbox
//! Directories need a shell and `tar` in the sandbox, from GNU or BusyBox (some BusyBox versions lack `--exclude`), and space in
//! `/tmp` for the uncompressed archive. Without `tar` the error is [`TransferErrorKind::NoTar`]. Packing and unpacking may take
//! 10 minutes each, the relay's limit for a command. Transfers of single files need none of these.
//!
//! The [options](crate::Call::with_options) of a transfer apply to each of its requests: a deadline limits one request, not the
//! transfer.
//!
//! # Leftovers of a failed transfer
//! On this machine nothing is left but directories that were created above the destination. A download gets its name only when it
//! is complete, and a file that has this name stays until then. If the process dies, `.twentyfirst-….part` remains beside the
//! destination.
//!
//! In the sandbox, `/tmp/.twentyfirst-….tar` is removed at the end of a transfer, even a failed one, unless removing it fails. It
//! remains if the future is dropped, since that sends nothing, or if the process dies. A file that was being overwritten, or a
//! directory that was being unpacked, can be incomplete.
//!
//! # Cancel safety
//! Dropping a future closes the connection at once. The thread that reads or writes the disk then ends, and removes unfinished
//! files on this machine. This thread belongs to the transfer, so no runtime is needed for the disk. It reads at most about
//! 256 KiB ahead.

mod download_dir;
mod download_file;
mod error;
mod name;
mod pack;
mod progress;
mod remote;
mod selection;
mod staging;
mod unpack;
mod upload_dir;
mod upload_file;
mod write_parts;

use twentyfirst_transport::Body;

use crate::call::Call;
use crate::client::seed;
use crate::error::Error;

pub use download_dir::DownloadDir;
pub use download_file::DownloadFile;
pub use error::{TransferError, TransferErrorKind};
pub use progress::Progress;
pub use unpack::{Transferred, Unpack};
pub use upload_dir::UploadDir;
pub use upload_file::UploadFile;
pub(crate) use write_parts::write_parts;

/// Changes the transfer of a call.
fn set<O, T>(call: Call<O, T>, set: impl FnOnce(&mut O)) -> Call<O, T> {
    call.map(|mut transfer| {
        set(&mut transfer);
        transfer
    })
}

/// Returns a unique name, from 128 random bits.
fn random_name() -> String {
    format!(".twentyfirst-{:016x}{:016x}", seed(), seed())
}

/// Runs work that waits for the disk on a thread of its own. To be called before anything is sent: an error says so.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, Error> {
    // `read_with` runs a function on a thread of its own, without a runtime. The body does not matter.
    let result = Body::empty().read_with(|_| work()).await?;
    result.map_err(|error| Error::from(error).not_sent())
}
