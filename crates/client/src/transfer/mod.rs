//! Files and directories between this machine and a sandbox, of any length: nothing is held whole.
//!
//! ```text
//!               this machine                        │                 the sandbox
//!                                                   │
//!  upload          file ─── thread ─── body ────────┼──── write_stream ───────────────► file
//!  download        file.part ◄── thread ◄── body ◄──┼──── read_stream ───────────────── file
//!                  └─ renamed at the end            │
//!                                                   │
//!  upload_dir      look at all ─► archive ── body ──┼──── write_stream ─► /tmp/….tar ─ tar -x ─► directory
//!                  │  refuses by name               │                     └─ removed
//!                                                   │
//!  download_dir    dir.part ◄── unpack ◄── body ◄───┼──── read_stream ◄── /tmp/….tar ◄ tar -c ── directory
//!                  │            └─ trusts nothing   │                     └─ removed
//!                  └─ renamed at the end            │
//! ```
//!
//! The calls are [`Files::upload`](crate::Files::upload), [`download`](crate::Files::download),
//! [`upload_dir`](crate::Files::upload_dir) and [`download_dir`](crate::Files::download_dir). The source comes first, then where it
//! goes.
//!
//! # What travels of a directory
//! Files with their content, their permission bits (`rwx`) and their time of modification in whole seconds; directories, empty ones
//! too, with their permission bits; symbolic links; and hard links within the directory. Names may be any bytes but `/` and NUL, of
//! up to 4096 bytes and 255 directories deep: spaces, line breaks, a `-` in front and bytes that are not UTF-8 are kept.
//!
//! Owners, setuid, setgid and sticky bits, extended attributes and the mode of the directory itself do not travel. In the sandbox
//! everything belongs to root; here it belongs to whoever runs this program.
//!
//! Refused, with a [`TransferError`] that names the path:
//!
//! - devices, sockets, FIFOs and sparse entries;
//! - symbolic links that lead out of the directory: to an absolute path, or up beyond it, or with `..` behind a name (which goes up
//!   from wherever the name leads); hard links to what is not in it;
//! - in an archive of a sandbox also absolute names, names with `..`, names that lead through a link, the same name twice, an
//!   archive that ends too early, and more than the limits allow;
//! - names that this system cannot keep, such as `a:b` on Windows. There are no symbolic links there.
//!
//! The rules are the same in both directions. An upload looks at the whole directory first, so that nothing is sent where something
//! is refused. `exclude` and `filter` leave out what is in the way.
//!
//! # Sandboxes are not trusted
//! An agent can put anything into its sandbox, its own `tar` included. What comes down is unpacked into a new directory, nothing is
//! written outside of it, and at most [`max_entries`](crate::Call::max_entries) and [`max_bytes`](crate::Call::max_bytes) are taken. What
//! is *in* the files stays the agent's.
//!
//! # What a sandbox needs
//! Directories need a shell and `tar` in the sandbox, GNU's or BusyBox's (of which some know no `--exclude`), and room in `/tmp` for the archive, which is not compressed.
//! Without `tar` the error is [`TransferErrorKind::NoTar`]. Packing and unpacking may take 10 minutes each, the longest that the
//! relay lets a command run. Files need nothing.
//!
//! The [options](crate::Call::with_options) of a transfer count for each of its requests: a deadline is that of one of them.
//!
//! # What remains when something fails
//! Here: nothing. Downloads get their name when they are complete, and what was there before stays until then. Only if the process
//! dies, `.twentyfirst-….part` remains beside the target.
//!
//! In the sandbox: `/tmp/.twentyfirst-….tar` is removed when a transfer ends, also when it fails, unless removing it fails as well.
//! It remains if the future is dropped, since that sends nothing, or if the process dies. A file that was to be overwritten and an
//! unpacked directory can be half written.
//!
//! # Cancel safety
//! Dropping a future closes the connection at once. The thread that reads or writes the disk ends with it, and removes what is not
//! finished. No runtime is needed: the disk is on a thread of the transfer, which reads at most about 256 KiB ahead.

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

/// Changes what a call is about to transfer.
fn set<O, T>(call: Call<O, T>, set: impl FnOnce(&mut O)) -> Call<O, T> {
    call.map(|mut transfer| {
        set(&mut transfer);
        transfer
    })
}

/// A name that nothing else has: 128 random bits.
fn random_name() -> String {
    format!(".twentyfirst-{:016x}{:016x}", seed(), seed())
}

/// Does work that waits for the disk where it holds up nobody, before anything is sent.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, Error> {
    // What reads bodies on threads does that already.
    let result = Body::empty().read_with(|_| work()).await?;
    result.map_err(|error| Error::from(error).not_sent())
}
