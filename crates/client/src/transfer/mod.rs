//! Transfers of files and directories between this machine and a sandbox. They have any length; nothing is held in memory whole.
//!
//! ```text
//!               this machine                        │                 the sandbox
//!                                                   │
//!  upload          file ─── thread ─── body ────────┼──── write_stream ───────────────► file
//!  download        file.part ◄── thread ◄── body ◄──┼──── read_stream ───────────────── file
//!                  └─ renamed at the end            │
//!                                                   │
//!  upload_dir      scan ─► archive ─────── body ────┼──── write_stream ─► /tmp/….tar ─ tar -x ─► directory
//!                  │  refuses by name               │                     └─ removed
//!                                                   │
//!  download_dir    dir.part ◄── unpack ◄── body ◄───┼──── read_stream ◄── /tmp/….tar ◄ tar -c ── directory
//!                  │            └─ trusts nothing   │                     └─ removed
//!                  └─ renamed at the end            │
//! ```
//!
//! The calls are [`Files::upload`](crate::Files::upload), [`download`](crate::Files::download),
//! [`upload_dir`](crate::Files::upload_dir) and [`download_dir`](crate::Files::download_dir). The first path is the source, the
//! second the destination.
//!
//! # Transferred properties
//! Files are transferred with their content, their permission bits (`rwx`) and their modification time in whole seconds.
//! Directories, even empty ones, are transferred with their permission bits, symbolic links and hard links within the directory
//! as links. Names may contain any bytes but `/` and NUL, up to 4096 bytes and a depth of 255 directories: spaces, line breaks, a
//! leading `-` and bytes that are not UTF-8 are kept.
//!
//! Owners, setuid, setgid and sticky bits, extended attributes and the mode of the directory itself are not transferred. In the
//! sandbox all files belong to root; here they belong to the user who runs this program.
//!
//! The following are refused, with a [`TransferError`] that names the path:
//!
//! - devices, sockets, FIFOs and sparse entries;
//! - symbolic links that lead out of the directory: to an absolute path, up beyond the directory, or with `..` after a name
//!   (which goes up from wherever the name leads); and hard links to files outside of it;
//! - in a sandbox's archive also absolute names, names with `..`, names that lead through a link, the same name twice, an archive
//!   that ends too early, and more than the limits allow;
//! - names that this system cannot represent, such as `a:b` on Windows, where symbolic links are refused as well.
//!
//! The rules are the same in both directions. An upload scans the whole directory first, so that nothing is sent if something is
//! refused. Use `exclude` and `filter` to skip such entries.
//!
//! # Sandboxes are not trusted
//! An agent can put anything into its sandbox, including a `tar` of its own. A downloaded archive is unpacked into a new
//! directory, nothing is written outside of it, and at most [`max_entries`](crate::Call::max_entries) and
//! [`max_bytes`](crate::Call::max_bytes) are accepted. The *contents* of the files are still the agent's.
//!
//! # Requirements of the sandbox
//! Directories need a shell and `tar` in the sandbox, from GNU or BusyBox (some BusyBox versions lack `--exclude`), and space in
//! `/tmp` for the uncompressed archive. Without `tar` the error is [`TransferErrorKind::NoTar`]. Packing and unpacking may take
//! 10 minutes each, the relay's limit for a command. Files need nothing.
//!
//! The [options](crate::Call::with_options) of a transfer apply to each of its requests: a deadline limits one request, not the
//! transfer.
//!
//! # Leftovers of a failed transfer
//! On this machine nothing is left. Downloads get their name when they are complete, and anything with that name stays until
//! then. Only if the process dies, `.twentyfirst-….part` remains beside the destination.
//!
//! In the sandbox, `/tmp/.twentyfirst-….tar` is removed at the end of a transfer, even a failed one, unless removing it fails. It
//! remains if the future is dropped, since that sends nothing, or if the process dies. A file that was being overwritten, or an
//! unpacked directory, can be half written.
//!
//! # Cancel safety
//! Dropping a future closes the connection at once. The thread that reads or writes the disk ends with it, and removes unfinished
//! files. No runtime is needed: the disk is accessed on a thread of the transfer, which reads at most about 256 KiB ahead.

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

/// Runs work that waits for the disk on a thread of its own, before anything is sent.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, Error> {
    // Bodies are read on threads of their own, so an empty one provides such a thread.
    let result = Body::empty().read_with(|_| work()).await?;
    result.map_err(|error| Error::from(error).not_sent())
}
