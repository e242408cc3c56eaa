//! A directory as a value, to compare and to make.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory {
        mode: u32,
    },
    File {
        content: Vec<u8>,
        mode: u32,
        modified: i64,
    },
    Symlink(PathBuf),
    /// Another name of this file.
    HardLink(PathBuf),
}

/// Everything in a directory, by path.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

pub(crate) fn read(dir: &Path) -> Tree {
    let (mut tree, mut first, mut open) = (Tree::new(), BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(parent) = open.pop() {
        let listing = fs::read_dir(dir.join(&parent)).unwrap();
        let mut names: Vec<_> = listing.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = parent.join(name);
            let metadata = fs::symlink_metadata(dir.join(&path)).unwrap();
            let mode = metadata.mode() & 0o7777;
            let node = if metadata.is_dir() {
                open.push(path.clone());
                Node::Directory { mode }
            } else if metadata.is_symlink() {
                Node::Symlink(fs::read_link(dir.join(&path)).unwrap())
            } else if let Some(first) = first.get(&metadata.ino()) {
                Node::HardLink(PathBuf::clone(first))
            } else {
                first.insert(metadata.ino(), path.clone());
                Node::File {
                    content: fs::read(dir.join(&path)).unwrap(),
                    mode,
                    modified: metadata.mtime(),
                }
            };
            tree.insert(path, node);
        }
    }
    tree
}

pub(crate) fn write(dir: &Path, tree: &Tree) {
    fs::create_dir_all(dir).unwrap();
    for (path, node) in tree {
        let place = dir.join(path);
        match node {
            Node::Directory { .. } => fs::create_dir(&place).unwrap(),
            Node::File { content, mode, .. } => {
                fs::write(&place, content).unwrap();
                fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Node::Symlink(target) => symlink(target, &place).unwrap(),
            Node::HardLink(first) => fs::hard_link(dir.join(first), &place).unwrap(),
        }
    }
    for (path, node) in tree.iter().rev() {
        if let Node::Directory { mode } = node {
            let mode = fs::Permissions::from_mode(*mode);
            fs::set_permissions(dir.join(path), mode).unwrap();
        }
    }
}

pub(crate) fn directory(mode: u32) -> Node {
    Node::Directory { mode }
}

pub(crate) fn file(content: impl AsRef<[u8]>, mode: u32) -> Node {
    let content = content.as_ref().to_vec();
    Node::File {
        content,
        mode,
        modified: 0,
    }
}

pub(crate) fn link(target: impl Into<PathBuf>) -> Node {
    Node::Symlink(target.into())
}

pub(crate) fn tree<P: Into<PathBuf>>(nodes: impl IntoIterator<Item = (P, Node)>) -> Tree {
    nodes
        .into_iter()
        .map(|(path, node)| (path.into(), node))
        .collect()
}
