use std::io;
use std::path::Path;

use cap_std::fs::{Dir, FileType, MetadataExt};
use twentyfirst_protocol::Timestamp;
use twentyfirst_protocol::files::{FileEntry, FileType as EntryType};

/// Describes a file or directory of a sandbox, in the provider's form.
pub(super) fn entry(dir: &Dir, place: &Path) -> io::Result<FileEntry> {
    let metadata = dir.symlink_metadata(or_dot(place))?;
    let full = format!("/{}", place.display());
    let name = place.file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let kind = metadata.file_type();
    let mode = metadata.mode() & 0o777;
    let mut entry = FileEntry::new(name, full);
    entry.file_type = entry_type(&kind);
    entry.size = Some(metadata.len());
    entry.mode = Some(mode);
    entry.permissions = Some(permissions(&kind, mode));
    // The true owner is a user of the host. Commands see themselves as root.
    entry.owner = Some("root".to_owned());
    entry.group = Some("root".to_owned());
    entry.modified_time = metadata
        .modified()
        .ok()
        .map(|time| Timestamp::from(time.into_std()));
    if kind.is_symlink() {
        entry.symlink_target = dir
            .read_link_contents(place)
            .ok()
            .map(|target| target.to_string_lossy().into_owned());
    }
    Ok(entry)
}

/// Returns `.` for the sandbox's root, whose place is an empty path. System calls refuse empty paths.
pub(super) fn or_dot(place: &Path) -> &Path {
    if place.as_os_str().is_empty() {
        Path::new(".")
    } else {
        place
    }
}

fn entry_type(kind: &FileType) -> Option<EntryType> {
    if kind.is_dir() {
        Some(EntryType::Dir)
    } else if kind.is_symlink() {
        None
    } else {
        Some(EntryType::File)
    }
}

/// Formats permissions as Go's `FileMode` does: the provider's daemon is written in Go.
fn permissions(kind: &FileType, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(if kind.is_dir() {
        'd'
    } else if kind.is_symlink() {
        'L'
    } else {
        '-'
    });
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        let bit = 0o400 >> at;
        text.push(if mode & bit == 0 { '-' } else { letter });
    }
    text
}
