//! Whatever the names are: a directory that is uploaded comes back equal, or is refused with the name before anything is sent.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::tree::{self, Node, Tree};
use crate::{chain, world};

/// Any bytes that the disk accepts as a name: often odd ones, and with lengths around those at which the format changes.
fn name() -> impl Strategy<Value = OsString> {
    let byte = prop_oneof![
        4 => prop::sample::select(&b"ab.-~ \n\t\\'\"$*?[]{}:;|&%=@#!\x01\x7f\x80\xc3\xbc\xff"[..]),
        1 => 1..=255u8,
    ];
    let length = prop_oneof![6 => 1..8usize, 1 => 90..110usize, 1 => 250..=255usize];
    let bytes = length.prop_flat_map(move |length| vec(byte.clone(), length));
    bytes.prop_filter_map("a name", |bytes| {
        let is_name = !bytes.contains(&b'/') && bytes != b"." && bytes != b"..";
        is_name.then(|| OsString::from_vec(bytes))
    })
}

#[derive(Debug, Clone)]
enum What {
    Directory(u32),
    File(Vec<u8>, u32),
    /// So many `..`, then these names.
    Symlink(usize, Vec<OsString>),
    HardLink(prop::sample::Index),
}

fn what() -> impl Strategy<Value = What> {
    let directory_mode = prop::sample::select(&[0o755u32, 0o700, 0o500, 0o777, 0o711][..]);
    let file_mode = prop::sample::select(&[0o644u32, 0o600, 0o755, 0o400, 0o777][..]);
    let content = prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        1 => (500..1600usize).prop_map(|length| vec![7; length]),
    ];
    prop_oneof![
        4 => directory_mode.prop_map(What::Directory),
        4 => (content, file_mode).prop_map(|(content, mode)| What::File(content, mode)),
        2 => (0..4usize, vec(name(), 0..3)).prop_map(|(up, names)| What::Symlink(up, names)),
        1 => any::<prop::sample::Index>().prop_map(What::HardLink),
    ]
}

/// A tree, and whether a link leads out of it.
fn any_tree() -> impl Strategy<Value = (Tree, bool)> {
    let steps = vec((any::<prop::sample::Index>(), name(), what()), 0..12);
    steps.prop_map(|steps| {
        let (mut tree, mut leads_out) = (Tree::new(), false);
        let mut directories = vec![PathBuf::new()];
        let mut files: Vec<PathBuf> = Vec::new();
        for (parent, name, what) in steps {
            let path = parent.get(&directories).join(name);
            if tree.contains_key(&path) {
                continue;
            }
            let node = match what {
                What::Directory(mode) => {
                    directories.push(path.clone());
                    tree::directory(mode)
                }
                What::File(content, mode) => {
                    files.push(path.clone());
                    tree::file(content, mode)
                }
                What::Symlink(up, names) => {
                    let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
                    target.extend(names);
                    if target.as_os_str().is_empty() {
                        target.push(".");
                    }
                    leads_out |= up >= path.components().count();
                    tree::link(target)
                }
                What::HardLink(_) if files.is_empty() => continue,
                What::HardLink(first) => Node::HardLink(first.get(&files).clone()),
            };
            tree.insert(path, node);
        }
        (tree, leads_out)
    })
}

#[test]
fn a_name_is_transferred_unchanged_or_refused_before_anything_is_sent() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(world());
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |((tree, leads_out) in any_tree())| {
        let dir = tempfile::tempdir_in(world.dir.path()).unwrap();
        let (up, down) = (dir.path().join("up"), dir.path().join("down"));
        // Hard links are made last, because the file must exist.
        let (links, rest): (Tree, Tree) = tree
            .into_iter()
            .partition(|(_, node)| matches!(node, Node::HardLink(_)));
        tree::write(&up, &rest);
        for (path, node) in links {
            let Node::HardLink(first) = node else { continue };
            // Fails in a closed directory, unless the tests run as root.
            std::fs::hard_link(up.join(first), up.join(path)).ok();
        }
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let to = format!("/home/user/{name}");
        runtime.block_on(async {
            let files = world.files();
            let result = files.upload_dir(&world.sandbox, &up, &to).await;
            if leads_out {
                let error = result.unwrap_err();
                assert!(!error.maybe_sent(), "{error}");
                assert!(chain(&world, &error).contains("would lead out of the directory"));
                assert!(!files.exists(&world.sandbox, &to).await.unwrap());
                return;
            }
            result.unwrap();
            files.download_dir(&world.sandbox, &to, &down).await.unwrap();
            assert_eq!(tree::read(&down), tree::read(&up));
            files.remove(&world.sandbox, &to).await.unwrap();
        });
        open_up(&up);
        open_up(&down);
    });
    runtime.block_on(world.assert_clean());
}

/// Makes everything removable for the user who runs the tests.
fn open_up(dir: &std::path::Path) {
    if dir.exists() {
        let opened = std::process::Command::new("chmod")
            .arg("-R")
            .arg("u+rwx")
            .arg(dir)
            .status();
        assert!(opened.unwrap().success());
    }
}
