//! The rules for names. Both directions apply the same ones, so that what can be uploaded can also be downloaded.

use std::path::{Path, PathBuf};

use super::error::TransferErrorKind;

/// The longest path that Linux accepts.
const LONGEST: usize = 4096;

/// Some tools cannot remove directories that are nested more deeply.
const DEEPEST: usize = 255;

/// Parses the path of an entry, with `/` between names. The result is relative to the transferred directory, and empty for that
/// directory itself.
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
            b".." => return Err(TransferErrorKind::Outside("contains `..`")),
            name => path.push(system_name(name)?),
        }
        depth += 1;
        if depth > DEEPEST {
            return Err(TransferErrorKind::Name("is deeper than 255 directories"));
        }
    }
    Ok(path)
}

/// Checks that a symbolic link at `path` stays within the directory, and returns its target unchanged.
///
/// A target may contain `..` only at its beginning, and not go up beyond the transferred directory. This is enough, even for links
/// to links:
///
/// - No entry lies below a link, so a leading `..` goes up from the directory that really contains the link.
/// - Each name after that is in a directory inside, or is a link that obeys the same rule.
///
/// A `..` after a name is refused: if the name is a link, `..` goes up from the target of that link.
pub(super) fn target(path: &Path, bytes: &[u8]) -> Result<PathBuf, TransferErrorKind> {
    if bytes.is_empty() {
        return Err(TransferErrorKind::Name("is a link without a target"));
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
                    "is a link with `..` after a name",
                ));
            }
            b".." => {
                room = room.checked_sub(1).ok_or(TransferErrorKind::Outside(
                    "is a link that goes up beyond the directory",
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
            return Err(TransferErrorKind::Name("contains a NUL"));
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
            return Err(TransferErrorKind::Name("is not valid on this system"));
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
