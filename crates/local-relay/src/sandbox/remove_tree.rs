use std::ffi::OsStr;
use std::io;
use std::path::Path;

use cap_std::fs::{Dir, DirEntry, Permissions, PermissionsExt};
use uuid::Uuid;

/// Removes a directory with its content, even if commands have removed permissions in it, as package managers do.
///
/// Not `remove_dir_all`: nested directories are moved to the top until none contains another. The stack, the open files and the length of
/// paths therefore do not grow with the depth, which commands choose.
pub(super) fn remove_tree(parent: &Dir, name: &Path) -> io::Result<()> {
    open_up(parent, name.as_os_str());
    let top = parent.open_dir(name)?;
    loop {
        let mut is_empty = true;
        for entry in top.entries()? {
            is_empty = false;
            let entry = entry?;
            if remove_simple(&top, &entry)? {
                continue;
            }
            let name = entry.file_name();
            open_up(&top, &name);
            let inner = top.open_dir(&name)?;
            for entry in inner.entries()? {
                let entry = entry?;
                if !remove_simple(&inner, &entry)? {
                    let name = entry.file_name();
                    // Moving a directory changes its `..`, for which it has to be writable itself.
                    open_up(&inner, &name);
                    inner.rename(&name, &top, Uuid::new_v4().to_string())?;
                }
            }
            top.remove_dir(&name)?;
        }
        if is_empty {
            return parent.remove_dir(name);
        }
    }
}

/// Removes a file or an empty directory. Returns false for a directory that is not empty.
fn remove_simple(dir: &Dir, entry: &DirEntry) -> io::Result<bool> {
    let name = entry.file_name();
    if entry.file_type()?.is_dir() {
        return Ok(dir.remove_dir(&name).is_ok());
    }
    match dir.remove_file(&name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

fn open_up(dir: &Dir, name: &OsStr) {
    dir.set_permissions(name, Permissions::from_mode(0o700))
        .ok();
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_is_removed_and_nothing_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(home.path(), ambient_authority()).unwrap();
        dir.write("beside", "it").unwrap();
        dir.create_dir("tree").unwrap();
        for level in 0..2_000 {
            // Build the tree from the inside out: no path could reach the innermost directory.
            dir.create_dir("outer").unwrap();
            if level % 100 == 0 {
                dir.symlink("../beside", "outer/link").unwrap();
                dir.create_dir("outer/empty").unwrap();
            }
            dir.rename("tree", &dir, "outer/d").unwrap();
            dir.rename("outer", &dir, "tree").unwrap();
        }
        std::thread::scope(|scope| {
            // A call per level would overflow this stack.
            let small = std::thread::Builder::new().stack_size(128 * 1024);
            let removal = || remove_tree(&dir, Path::new("tree"));
            let removal = small.spawn_scoped(scope, removal).unwrap();
            removal.join().unwrap().unwrap();
        });
        let names: Vec<_> = dir
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["beside"]);
    }
}
