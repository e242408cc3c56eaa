//! Which names are kept, in both directions: a name that one of them refuses never reaches the other.

use std::path::{Path, PathBuf};

use super::error::TransferErrorKind;

/// The longest path that Linux takes.
const LONGEST: usize = 4096;

/// Deeper directories cannot be removed by everything that there is to remove directories.
const DEEPEST: usize = 255;

/// Reads the path of an entry, with `/` between names: relative to the directory, and empty for that itself.
pub(super) fn path(bytes: &[u8]) -> Result<PathBuf, TransferErrorKind> {
    if bytes.starts_with(b"/") {
        return Err(TransferErrorKind::Outside("is absolute"));
    }
    if bytes.len() > LONGEST {
        return Err(TransferErrorKind::Name("is longer than 4096 bytes"));
    }
    let mut path = PathBuf::new();
    let mut depth = 0;
    for name in bytes.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => return Err(TransferErrorKind::Outside("has `..` in it")),
            name => path.push(system_name(name)?),
        }
        depth += 1;
        if depth > DEEPEST {
            return Err(TransferErrorKind::Name("is deeper than 255 directories"));
        }
    }
    Ok(path)
}

/// Checks where a symbolic link at `path` leads, and gives its target unchanged.
///
/// Only the beginning may go up, and not out. That is enough, also for links to links: no entry lies behind a link, so the system
/// goes up from the directory in which the link really is; and each further name is in a directory inside, or a link that obeys
/// the same rule. `..` behind a name would go up from wherever that leads.
pub(super) fn target(path: &Path, bytes: &[u8]) -> Result<PathBuf, TransferErrorKind> {
    if bytes.is_empty() {
        return Err(TransferErrorKind::Name("is a link to nothing"));
    }
    if bytes.starts_with(b"/") {
        return Err(TransferErrorKind::Outside("is a link to an absolute path"));
    }
    let mut room = path.components().count().saturating_sub(1);
    let mut is_beginning = true;
    for name in bytes.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if !is_beginning => {
                return Err(TransferErrorKind::Outside(
                    "is a link with `..` behind a name",
                ));
            }
            b".." => {
                room = room.checked_sub(1).ok_or(TransferErrorKind::Outside(
                    "is a link to what is not in the directory",
                ))?;
            }
            name => {
                system_name(name)?;
                is_beginning = false;
            }
        }
    }
    system_path(bytes)
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::{Path, PathBuf};

    use super::TransferErrorKind;

    pub(in super::super) fn bytes(path: &Path) -> Result<Vec<u8>, TransferErrorKind> {
        Ok(path.as_os_str().as_bytes().to_vec())
    }

    pub(super) fn name(bytes: &[u8]) -> Result<&OsStr, TransferErrorKind> {
        if bytes.contains(&0) {
            return Err(TransferErrorKind::Name("has a NUL in it"));
        }
        Ok(OsStr::from_bytes(bytes))
    }

    pub(super) fn path(bytes: &[u8]) -> Result<PathBuf, TransferErrorKind> {
        name(bytes).map(PathBuf::from)
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::path::{Component, Path, PathBuf};

    use super::TransferErrorKind;

    pub(in super::super) fn bytes(path: &Path) -> Result<Vec<u8>, TransferErrorKind> {
        let mut bytes = Vec::new();
        for component in path.components() {
            let name = component.as_os_str().to_str();
            let name = name.ok_or(TransferErrorKind::Name("is not Unicode"))?;
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name.as_bytes());
        }
        Ok(bytes)
    }

    pub(super) fn name(bytes: &[u8]) -> Result<&OsStr, TransferErrorKind> {
        let name =
            std::str::from_utf8(bytes).map_err(|_| TransferErrorKind::Name("is not UTF-8"))?;
        let is_plain = matches!(
            Path::new(name).components().collect::<Vec<_>>()[..],
            [Component::Normal(whole)] if whole == name
        );
        let is_odd = |letter: char| letter.is_control() || r#"<>:"/\|?*"#.contains(letter);
        if !is_plain || name.contains(is_odd) || name.ends_with(['.', ' ']) {
            return Err(TransferErrorKind::Name("cannot stand on this system"));
        }
        Ok(OsStr::new(name))
    }

    pub(super) fn path(bytes: &[u8]) -> Result<PathBuf, TransferErrorKind> {
        let path =
            std::str::from_utf8(bytes).map_err(|_| TransferErrorKind::Name("is not UTF-8"))?;
        Ok(PathBuf::from(path))
    }
}

pub(super) use system::bytes;
use system::{name as system_name, path as system_path};
