//! Directories that are uploaded and downloaded.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::poll;
use twentyfirst_client::protocol::ErrorCode;
use twentyfirst_client::transfer::{TransferErrorKind, Unpack};
use twentyfirst_local_relay::{Isolation, LocalRelay};

use crate::files::cut;
use crate::tree::{self, Node, directory, file, link, tree};
use crate::{World, chain, eventually, world, world_of};

/// One of everything that is kept.
fn odd() -> tree::Tree {
    let long = |letter: &str| letter.repeat(200);
    let bytes = PathBuf::from(OsStr::from_bytes(b"not \xff\xfe UTF-8"));
    tree([
        (PathBuf::from("empty directory"), directory(0o755)),
        (PathBuf::from("closed"), directory(0o500)),
        (
            PathBuf::from("closed/inner"),
            file("in a closed one", 0o400),
        ),
        (PathBuf::from("bin"), directory(0o711)),
        (PathBuf::from("bin/run.sh"), file("#!/bin/sh\n", 0o755)),
        (
            PathBuf::from("bin/same"),
            Node::HardLink("bin/run.sh".into()),
        ),
        (PathBuf::from("bin/up"), link("../a file")),
        (PathBuf::from("bin/broken"), link("nowhere/at all")),
        (PathBuf::from("a file"), file(b"\0\xff binary", 0o640)),
        (PathBuf::from("empty"), file("", 0o644)),
        (PathBuf::from("-rf"), file("a name like an option", 0o644)),
        (
            PathBuf::from("--checkpoint-action=exec=false"),
            file("one more", 0o644),
        ),
        (PathBuf::from("line\nbreak"), file("x", 0o644)),
        (
            PathBuf::from("back\\slash 'quotes' \"$(false)\" `*?[a]"),
            file("x", 0o644),
        ),
        (PathBuf::from("Привет 👩"), file("x", 0o644)),
        (PathBuf::from("..."), file("dots", 0o644)),
        (PathBuf::from("./-"), directory(0o755)),
        (bytes.clone(), directory(0o755)),
        (bytes.join(OsStr::from_bytes(b"\x80")), file("x", 0o644)),
        (
            PathBuf::from("long link"),
            link(long("t") + "/" + &long("u")),
        ),
        (PathBuf::from(long("x")), directory(0o755)),
        (PathBuf::from(long("x")).join(long("y")), file("x", 0o644)),
        (
            PathBuf::from(long("x")).join("z".repeat(99)),
            file("x", 0o644),
        ),
        (PathBuf::from("z".repeat(99)), file("x", 0o644)),
        (PathBuf::from("z".repeat(100)), file("x", 0o644)),
        (PathBuf::from("z".repeat(101)), file("x", 0o644)),
    ])
}

#[tokio::test]
async fn uploads_and_downloads_are_equal() {
    let world = world().await;
    tree::write(&world.path("up"), &odd());
    for to in ["/home/user/odd ' name\n", "-relative to root/deep"] {
        let down = world.path("down");
        let files = world.files();
        files
            .upload_dir(&world.sandbox, world.path("up"), to)
            .await
            .unwrap();
        let done = files.download_dir(&world.sandbox, to, &down).await.unwrap();
        assert_eq!(tree::read(&down), tree::read(&world.path("up")), "{to}");
        assert_eq!((done.files, done.directories, done.links), (16, 6, 4));
        open_up(&down);
        fs::remove_dir_all(&down).unwrap();
        world.assert_clean().await;
    }
    assert_eq!(world.here(), ["up"]);
    open_up(&world.path("up"));
}

/// Makes directories removable for the user who runs the tests.
fn open_up(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Without isolation, commands see `/tmp` at another path than the file API.
#[tokio::test]
async fn a_local_relay_without_isolation_takes_directories_too() {
    let relay = LocalRelay::builder().isolation(Isolation::Unconfined);
    let world = world_of(relay.start().unwrap()).await;
    let up = tree([("a", directory(0o755)), ("a/b", file("x", 0o640))]);
    tree::write(&world.path("up"), &up);
    let files = world.client.sandbox(&world.sandbox).files();
    for to in ["/home/user/d", "relative"] {
        files.upload_dir(world.path("up"), to).await.unwrap();
        files.download_dir(to, world.path("down")).await.unwrap();
        assert_eq!(
            tree::read(&world.path("down")),
            tree::read(&world.path("up"))
        );
        fs::remove_dir_all(world.path("down")).unwrap();
    }
    world.assert_clean().await;
}

#[tokio::test]
async fn an_upload_adds_to_what_is_there() {
    let world = world().await;
    world.run("mkdir d; echo old > d/a; echo stays > d/b").await;
    let up = tree([("a", file("new\n", 0o644)), ("c", file("c\n", 0o600))]);
    tree::write(&world.path("up"), &up);
    let files = world.files();
    files
        .upload_dir(&world.sandbox, world.path("up"), "/home/user/d")
        .await
        .unwrap();
    assert_eq!(
        world.run("cd d; cat a b c; stat -c %a c").await,
        "new\nstays\nc\n600\n"
    );

    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    files
        .upload_dir(&world.sandbox, &empty, "/home/user/e")
        .await
        .unwrap();
    let down = world.path("down");
    let done = files
        .download_dir(&world.sandbox, "/home/user/e", &down)
        .await
        .unwrap();
    assert_eq!((done.files, tree::read(&down).len()), (0, 0));
}

#[tokio::test]
async fn exclusions_and_filters_apply_in_both_directions() {
    let world = world().await;
    let names = [
        "keep",
        "a",
        "a/keep",
        "a/odd * [x] \\ 'y'",
        "a/odd z [x] \\ 'y'",
        "a/skip.log",
        "a/node_modules",
        "a/node_modules/x",
        "build",
        "build/x",
        "a/build",
        "a/build/keep",
        "not_node_modules",
    ];
    let is_directory = |name: &str| {
        names
            .iter()
            .any(|other| other.starts_with(&format!("{name}/")))
    };
    let all = tree(names.map(|name| match is_directory(name) {
        true => (name, directory(0o755)),
        false => (name, file("x", 0o644)),
    }));
    let kept: Vec<_> = [
        "a",
        "a/build",
        "a/build/keep",
        "a/keep",
        "a/odd z [x] \\ 'y'",
        "keep",
        "not_node_modules",
    ]
    .map(PathBuf::from)
    .into();
    tree::write(&world.path("all"), &all);
    let files = world.files();
    let not_log = |path: &Path| path.extension() != Some(OsStr::new("log"));

    files
        .upload_dir(&world.sandbox, world.path("all"), "/home/user/some")
        .exclude("node_modules/")
        .exclude("./build")
        .exclude("odd * [x] \\ 'y'")
        .filter(not_log)
        .await
        .unwrap();
    let down = world.path("some");
    files
        .download_dir(&world.sandbox, "/home/user/some", &down)
        .await
        .unwrap();
    assert_eq!(tree::read(&down).into_keys().collect::<Vec<_>>(), kept);

    files
        .upload_dir(&world.sandbox, world.path("all"), "/home/user/all")
        .await
        .unwrap();
    // What is excluded is not even packed, so it may contain entries that cannot be kept.
    world
        .run("mkfifo all/a/node_modules/pipe all/build/pipe")
        .await;
    let down = world.path("filtered");
    files
        .download_dir(&world.sandbox, "/home/user/all", &down)
        .exclude("node_modules")
        .exclude("/build/")
        .exclude("odd * [x] \\ 'y'")
        .filter(not_log)
        .await
        .unwrap();
    assert_eq!(tree::read(&down).into_keys().collect::<Vec<_>>(), kept);
}

#[tokio::test]
async fn a_path_from_the_top_is_excluded_however_it_is_spelled() {
    let world = world().await;
    let up = world.path("up");
    let content = file("B", 0o644);
    let all = tree([
        ("a", directory(0o755)),
        ("a/b", directory(0o755)),
        ("a/b/c", content.clone()),
        ("b", directory(0o755)),
        ("b/c", content),
    ]);
    tree::write(&up, &all);
    let kept = ["a", "a/b", "a/b/c"].map(PathBuf::from);
    let files = world.files();
    let source = "/home/user/all";
    files.upload_dir(&world.sandbox, &up, source).await.unwrap();
    for (number, spelled) in ["/b", "./b", "/./b", ".//b/", "/b/.", "//b"]
        .into_iter()
        .enumerate()
    {
        let down = world.path(&format!("excluded {number}"));
        files
            .download_dir(&world.sandbox, source, &down)
            .exclude(spelled)
            .await
            .unwrap();
        let names: Vec<_> = tree::read(&down).into_keys().collect();
        assert_eq!(names, kept, "{spelled}");

        let (there, down) = (
            format!("/home/user/{number}"),
            world.path(&format!("{number}")),
        );
        files
            .upload_dir(&world.sandbox, &up, &there)
            .exclude(spelled)
            .await
            .unwrap();
        files
            .download_dir(&world.sandbox, &there, &down)
            .await
            .unwrap();
        let names: Vec<_> = tree::read(&down).into_keys().collect();
        assert_eq!(names, kept, "{spelled}");
    }
}

#[tokio::test]
async fn an_exclusion_that_names_no_entry_is_refused_in_both_directions() {
    let world = world().await;
    let up = world.path("up");
    tree::write(&up, &tree([("a", file("A", 0o644))]));
    world.run("mkdir there && echo A > there/a").await;
    let files = world.files();
    for excluded in ["", ".", "./", "/", "././", "..", "a/../b"] {
        let upload = files
            .upload_dir(&world.sandbox, &up, "/home/user/up")
            .exclude(excluded)
            .await
            .unwrap_err();
        let download = files
            .download_dir(&world.sandbox, "/home/user/there", world.path("down"))
            .exclude(excluded)
            .await
            .unwrap_err();
        let expected = format!(
            "`{excluded}` names no entry of the directory, so it cannot be excluded: \
             name an entry or use `filter`"
        );
        for error in [upload, download] {
            assert!(!error.maybe_sent(), "{error}");
            assert_eq!(error.attempts(), 1);
            let refused = error.transfer_error().unwrap();
            assert_eq!(refused.to_string(), expected);
            assert_eq!(
                (refused.path(), refused.kind()),
                (excluded, &TransferErrorKind::NoEntry)
            );
        }
        let unpack = Unpack::new(world.path("down")).exclude(excluded);
        let error = unpack.unpack([].as_slice()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let sent = files.exists(&world.sandbox, "/home/user/up").await;
    assert!(!sent.unwrap());
    assert_eq!(world.here(), ["up"]);
}

#[tokio::test]
async fn progress_is_reported_from_the_first_byte_to_the_last() {
    let world = world().await;
    let up = tree([
        ("a", file(vec![1; 300_000], 0o644)),
        ("b", file(vec![2; 300_000], 0o644)),
    ]);
    tree::write(&world.path("up"), &up);
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = || {
        let told = Arc::clone(&told);
        move |progress: &twentyfirst_client::transfer::Progress<'_>| {
            let path = progress.path.to_path_buf();
            told.lock()
                .unwrap()
                .push((progress.bytes, progress.total, path));
        }
    };
    let check = |told: Vec<(u64, Option<u64>, PathBuf)>| {
        let total = told[0].1.unwrap();
        assert!(told.iter().all(|(_, told, _)| *told == Some(total)));
        assert!(told.is_sorted_by_key(|(bytes, ..)| *bytes), "{told:?}");
        assert!(told.len() > 8 && total > 600_000);
        let mut paths: Vec<_> = told.iter().map(|(.., path)| path.clone()).collect();
        paths.dedup();
        (told.last().unwrap().0, total, paths)
    };
    let files = world.files();

    let upload = files.upload_dir(&world.sandbox, world.path("up"), "/home/user/p");
    upload.on_progress(note()).await.unwrap();
    let (last, total, paths) = check(std::mem::take(&mut *told.lock().unwrap()));
    assert_eq!(
        (last, paths),
        (total, ["a", "b", ""].map(PathBuf::from).to_vec())
    );

    let download = files.download_dir(&world.sandbox, "/home/user/p", world.path("down"));
    download.on_progress(note()).await.unwrap();
    let (last, total, mut paths) = check(std::mem::take(&mut *told.lock().unwrap()));
    // `tar` pads its archive, and packs in the order of the disk.
    assert!(last <= total && last > 600_000);
    paths.sort();
    paths.dedup();
    assert_eq!(paths, ["", "a", "b"].map(PathBuf::from));
}

/// Puts something at a path.
type Make<'a> = &'a dyn Fn(&Path);

#[tokio::test]
async fn unsupported_entries_are_refused_by_name_before_anything_is_sent() {
    let world = world().await;
    let fifo = |path: &Path| {
        let made = std::process::Command::new("mkfifo")
            .arg(path)
            .status()
            .unwrap();
        assert!(made.success());
    };
    let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let symlink =
        |target: &'static str| move |path: &Path| std::os::unix::fs::symlink(target, path).unwrap();
    let deep = |path: &Path| fs::create_dir_all(path.join("d/".repeat(260))).unwrap();
    let cases: [(&str, Make<'_>); 8] = [
        ("is a FIFO, which cannot be transferred: exclude it", &fifo),
        (
            "is a socket, which cannot be transferred: exclude it",
            &socket,
        ),
        (
            "would lead out of the directory: it is a link to an absolute path",
            &symlink("/etc/passwd"),
        ),
        (
            "would lead out of the directory: it is a link that goes up beyond the directory",
            &symlink("../../x"),
        ),
        (
            "would lead out of the directory: it is a link that goes up beyond the directory",
            &symlink("./..//./../x"),
        ),
        (
            "would lead out of the directory: it is a link with `..` after a name",
            &symlink("../x/../y"),
        ),
        (
            "would lead out of the directory: it is a link with `..` after a name",
            &symlink("here/.."),
        ),
        ("deeper than 255 directories", &deep),
    ];
    for (reason, make) in cases {
        let up = world.path("up");
        fs::create_dir_all(up.join("dir")).unwrap();
        make(&up.join("dir/odd"));
        let upload = world
            .files()
            .upload_dir(&world.sandbox, &up, "/home/user/refused");
        let error = upload.await.unwrap_err();
        assert!(!error.maybe_sent(), "{error}");
        let text = chain(&world, &error);
        assert!(text.contains("dir/odd") && text.contains(reason), "{text}");
        // If the entry is excluded, the rest is uploaded.
        let upload = world
            .files()
            .upload_dir(&world.sandbox, &up, "/home/user/fine");
        upload.exclude("odd").await.unwrap();
        fs::remove_dir_all(&up).unwrap();
    }
    let refused = world
        .files()
        .exists(&world.sandbox, "/home/user/refused")
        .await;
    assert!(!refused.unwrap());

    for (path, expected) in [
        (
            "none",
            "[dir]/none cannot be used on this machine\nNo such file or directory (os error 2)",
        ),
        ("file", "[dir]/file is not a directory"),
    ] {
        fs::write(world.path("file"), "").unwrap();
        let upload = world
            .files()
            .upload_dir(&world.sandbox, world.path(path), "/home/user/x");
        assert_eq!(chain(&world, &upload.await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn unsupported_entries_of_a_sandbox_are_refused_by_name() {
    let world = world().await;
    let cases = [
        (
            "mkfifo pipe",
            "pipe is a FIFO, which cannot be transferred: exclude it",
        ),
        (
            "ln -s /etc/passwd out",
            "out would lead out of the directory: it is a link to an absolute path",
        ),
        (
            "mkdir d; ln -s ../../x d/out",
            "d/out would lead out of the directory: it is a link that goes up beyond the directory",
        ),
        (
            "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"sock\", Listen => 1) or die'",
            "./sock is a socket, which cannot be transferred: exclude it",
        ),
    ];
    for (command, expected) in cases {
        world
            .run(&format!("rm -rf o; mkdir o; cd o; {command}"))
            .await;
        let down = world
            .files()
            .download_dir(&world.sandbox, "/home/user/o", world.path("down"));
        assert_eq!(chain(&world, &down.await.unwrap_err()), expected);
    }
    assert!(world.here().is_empty());
    world.assert_clean().await;
}

#[tokio::test]
async fn limits_hold() {
    let world = world().await;
    world
        .run("mkdir l; touch l/a l/b l/c; head -c 1000000 /dev/zero > l/d")
        .await;
    let down = || {
        world
            .files()
            .download_dir(&world.sandbox, "/home/user/l", world.path("down"))
    };
    // The directory itself counts as an entry.
    let error = down().max_entries(4).await.unwrap_err();
    assert_eq!(
        chain(&world, &error),
        "[dir]/down has more than 4 entries: exclude some or raise `max_entries`"
    );
    let error = down().max_bytes(1_000_000).await.unwrap_err();
    assert_eq!(
        error.transfer_error().unwrap().kind(),
        &TransferErrorKind::TooManyBytes(1_000_000)
    );
    assert!(world.here().is_empty());
    world.assert_clean().await;
    down().max_entries(5).max_bytes(1_100_000).await.unwrap();
}

#[tokio::test]
async fn an_existing_directory_is_not_touched() {
    let world = world().await;
    world.run("mkdir d; echo new > d/a").await;
    let down = world.path("down");
    let download = || {
        world
            .files()
            .download_dir(&world.sandbox, "/home/user/d", &down)
    };
    fs::create_dir(&down).unwrap();
    fs::write(down.join("mine"), "").unwrap();
    let error = download().await.unwrap_err();
    assert!(!error.maybe_sent());
    assert_eq!(
        chain(&world, &error),
        "[dir]/down exists and is not empty: choose another path or remove it first"
    );
    // An empty directory is accepted like a missing one, even through a link.
    fs::remove_file(down.join("mine")).unwrap();
    std::os::unix::fs::symlink(&down, world.path("link")).unwrap();
    let link = world
        .files()
        .download_dir(&world.sandbox, "/home/user/d", world.path("link"));
    link.await.unwrap();
    assert_eq!(fs::read_to_string(down.join("a")).unwrap(), "new\n");
    assert!(world.path("link").is_symlink());
}

#[tokio::test]
async fn failures_in_the_sandbox_have_their_reason() {
    let world = world().await;
    fs::create_dir(world.path("up")).unwrap();
    fs::write(world.path("up/a"), "").unwrap();
    world.run("touch file; mkdir d; mkdir -p up/a/b").await;
    let files = world.files();
    let missing = files.download_dir(&world.sandbox, "/home/user/none", world.path("down"));
    let error = missing.await.unwrap_err();
    assert!(
        chain(&world, &error).contains("/home/user/none"),
        "{}",
        chain(&world, &error)
    );
    // A file cannot replace a directory that is not empty.
    let onto = files.upload_dir(&world.sandbox, world.path("up"), "/home/user/up");
    let error = onto.await.unwrap_err();
    let kind = error.transfer_error().unwrap().kind();
    assert!(
        matches!(kind, TransferErrorKind::Command { exit_code: 2, stderr, .. } if stderr.contains("./a")
            || stderr.contains(" a:")),
        "{kind:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("`tar` failed in the sandbox for /home/user/up with exit code 2")
    );
    world.assert_clean().await;
    assert_eq!(world.here(), ["up"]);
}

#[tokio::test]
async fn without_tar() {
    let world = world().await;
    let create = twentyfirst_client::protocol::sandboxes::CreateSandbox::new("shell")
        .env("PATH", "/nowhere");
    let bare = world.client.execute(&create).await.unwrap().id;
    fs::create_dir(world.path("up")).unwrap();
    let files = world.files();
    let upload = files.upload_dir(&bare, world.path("up"), "/home/user/x");
    assert_eq!(
        chain(&world, &upload.await.unwrap_err()),
        "the sandbox has no `tar`, which directories need: install it (/home/user/x was not transferred)"
    );
    let download = files.download_dir(&bare, "/home/user/x", world.path("down"));
    let error = download.await.unwrap_err();
    assert_eq!(
        error.transfer_error().unwrap().kind(),
        &TransferErrorKind::NoTar
    );
    let left = files.list(&bare, "/tmp").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_connection_that_is_cut_leaves_nothing() {
    let world = world().await;
    world.run("mkdir d; head -c 2000000 /dev/zero > d/a").await;
    let files = cut(&world, 1_000_000).sandboxes().files();
    let down = files.download_dir(&world.sandbox, "/home/user/d", world.path("down"));
    let error = down.await.unwrap_err();
    assert_eq!(
        chain(&world, &error),
        "the body broke off
the cable was pulled"
    );
    assert!(world.here().is_empty());
    world.assert_clean().await;
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_on_this_machine() {
    let world = world().await;
    world.run("mkdir d; head -c 50000000 /dev/zero > d/a").await;
    let (started, mut start) = tokio::sync::mpsc::unbounded_channel();
    let down = world
        .files()
        .download_dir(&world.sandbox, "/home/user/d", world.path("down"))
        .on_progress(move |_| {
            started.send(()).ok();
        });
    let mut down = Box::pin(down);
    tokio::select! {
        _ = &mut down => panic!("it is over"),
        _ = start.recv() => {}
    }
    assert_eq!(world.here().len(), 1, "on its way");
    assert!(poll!(&mut down).is_pending());
    drop(down);
    eventually(|| world.here().is_empty()).await;
    // The function is dropped with its thread.
    while start.recv().await.is_some() {}
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_named() {
    let world: World = world().await;
    for length in [10, 2_000_001] {
        let up = world.path("up");
        fs::create_dir_all(&up).unwrap();
        fs::write(up.join("log"), vec![0; 2_000_000]).unwrap();
        let path = up.join("log");
        let upload = world
            .files()
            .upload_dir(&world.sandbox, &up, "/home/user/up");
        let change = crate::becomes(path, length);
        let error = upload.on_progress(change).await.unwrap_err();
        assert_eq!(
            chain(&world, &error),
            "[dir]/up/log changed its length while it was uploaded"
        );
        assert!(error.maybe_sent());
        world.assert_clean().await;
    }
}

#[tokio::test]
async fn calls_are_futures_for_any_task() {
    fn spawnable<F: IntoFuture<IntoFuture: Send + 'static>>(_: F) {}
    let world = world().await;
    let (id, files) = (&world.sandbox, world.files());
    spawnable(files.upload_dir(id, "a", "b"));
    spawnable(files.download_dir(id, "a", "b"));
    spawnable(files.upload(id, "a", "b"));
    spawnable(files.download(id, "a", "b"));
    let gone = files.download_dir(id, "/home/user/x", world.path("x"));
    world.client.sandboxes().delete(id).await.unwrap();
    assert_eq!(
        gone.await.unwrap_err().code(),
        Some(&ErrorCode::SandboxNotFound)
    );
}
