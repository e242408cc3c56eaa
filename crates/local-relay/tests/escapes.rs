//! Attacks by commands on the machine that runs the relay. All of them fail.
//!
//! If the system does not allow namespaces, each test prints that it is skipped.

#![cfg(target_os = "linux")]

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use common::Scene;
use keyutils::{Keyring, keytypes};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::getuid;
use serde_json::json;
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay};

/// Creates a sandbox in namespaces, if this system allows them.
async fn scene() -> Option<Scene> {
    let builder = LocalRelay::builder().agent("agent", Agent::echo());
    match builder.isolation(Isolation::Namespaces).start() {
        Ok(relay) => Some(Scene::on(relay).await),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            let makes = "setpriv=; [ $(id -u) != 0 ] || setpriv='setpriv --reuid 65534 --regid 65534 --clear-groups'
                exec $setpriv unshare --user --map-root-user --mount --pid --fork mount -t proc proc /proc";
            let made = Command::new("/bin/sh")
                .args(["-c", makes])
                .output()
                .unwrap();
            assert!(
                !made.status.success(),
                "this system does allow namespaces: {error}"
            );
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Runs a command, and returns its output whatever its exit code is.
async fn attack(scene: &Scene, command: &str) -> String {
    let output = scene
        .client
        .exec(&scene.sandbox, json!({ "command": command }));
    let output = output.await.expect(200);
    output["stdout"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn kernel_settings_are_read_only() {
    let Some(scene) = scene().await else { return };
    // Write the current values, so that a successful attack changes nothing.
    let attempts = "
        try() {
            value=$(cat $1/kernel/core_pattern 2>/dev/null) && echo \"$value\" >$1/kernel/core_pattern && echo written
        }
        exec 2>/dev/null
        try /proc/sys
        umount /proc/sys; try /proc/sys
        mount -o remount,bind,rw /proc/sys; try /proc/sys
        umount -l /proc; try /proc/sys
        mkdir -p ~/proc; mount -t proc proc ~/proc; try ~/proc/sys
        unshare --user --map-root-user --mount --pid --fork --mount-proc=$HOME/proc true
        mount --bind /proc ~/proc; try ~/proc/sys
        (: >>/proc/sysrq-trigger) && echo sysrq
        true";
    assert_eq!(attack(&scene, attempts).await, "");
}

#[tokio::test]
async fn devices_of_the_host_cannot_be_opened() {
    let Some(scene) = scene().await else { return };
    let attempts = "
        exec 2>/dev/null
        for device in /sys/class/block/* /sys/class/mem/mem /sys/class/mem/kmsg /sys/class/misc/*; do
            name=${device##*/}
            [ ! -e /dev/$name ] || echo $name
            mknod ~/$name ${kind:-b} $(tr : ' ' <$device/dev) && echo \"made $name\"
        done
        mount -t devtmpfs devtmpfs /tmp && echo devtmpfs
        [ ! -e /dev/tty ] || echo the terminal
        ls /dev";
    assert_eq!(
        attack(&scene, attempts).await.replace('\n', " "),
        "fd full null ptmx pts random shm stderr stdin stdout urandom zero "
    );
    // The devices that programs need exist, as do shared memory and the sandbox's own terminals.
    let needs = "echo >/dev/null; head -c 1 /dev/zero | wc -c; touch /dev/shm/here; ls /dev/shm; [ -c /dev/ptmx ]";
    assert_eq!(scene.client.shell(&scene.sandbox, needs).await, "1\nhere\n");
}

#[tokio::test]
async fn no_memory_is_shared_with_the_host() {
    let Some(scene) = scene().await else { return };
    let own = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    let of_command = attack(&scene, "readlink /proc/self/ns/ipc").await;
    assert_ne!(Path::new(of_command.trim()), own);

    let name = format!("relay-test-{}", std::process::id());
    let there = Path::new("/dev/shm").join(&name);
    if std::fs::write(&there, "host").is_ok() {
        let seen = attack(&scene, &format!("cat {}", there.display())).await;
        std::fs::remove_file(there).unwrap();
        assert_eq!(seen, "");
    }
}

#[tokio::test]
async fn commands_inherit_no_descriptors_of_the_relay() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::write(dir.path().join("secret"), "host").unwrap();
    let opened = std::fs::File::open(dir.path()).unwrap();
    // Such as one that a program in C opened, or one inherited from a shell.
    fcntl_setfd(&opened, FdFlags::empty()).unwrap();
    let mut high = Vec::new();
    while opened.as_raw_fd() < 10 && high.len() < 10 {
        high.push(rustix::io::dup(&opened).unwrap());
    }
    let mut scenes: Vec<_> = scene().await.into_iter().collect();
    let builder = LocalRelay::builder().agent("agent", Agent::echo());
    let unconfined = builder.isolation(Isolation::Unconfined).start().unwrap();
    scenes.push(Scene::on(unconfined).await);
    for scene in scenes {
        let attempts = "cat /proc/self/fd/*/secret /proc/1/fd/*/secret /dev/fd/*/secret";
        assert_eq!(attack(&scene, attempts).await, "");
    }
    drop((opened, high));
}

#[tokio::test]
async fn sockets_of_services_are_hidden() {
    let Some(scene) = scene().await else { return };
    let socket = format!("/run/relay-test-{}.socket", std::process::id());
    let Ok(_listener) = UnixListener::bind(&socket) else {
        eprintln!("skipped: this user may make no sockets in /run");
        return;
    };
    let seen = attack(
        &scene,
        &format!("[ -e {socket} ] && echo there; ls /run/*/* 2>/dev/null"),
    )
    .await;
    std::fs::remove_file(socket).unwrap();
    assert_eq!(seen, "");
    // The configuration of the resolver is there, even if the system keeps it in /run.
    let resolver = "[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf";
    let expected = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(attack(&scene, resolver).await, expected);
}

#[tokio::test]
async fn root_of_a_sandbox_is_not_root_of_the_host() {
    let Some(scene) = scene().await else { return };
    if !getuid().is_root() {
        eprintln!("skipped: the relay does not run as root");
        return;
    }
    let host = tempfile::tempdir_in("/var/tmp").unwrap();
    let secret = host.path().join("secret");
    std::fs::write(&secret, "host").unwrap();
    std::fs::set_permissions(host.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let seen = attack(&scene, &format!("cat {}", secret.display())).await;
    assert_eq!(seen, "");

    // On the host, all its files belong to another user: those of commands, those of file calls, and their directories.
    let mark = format!("mark-{}", std::process::id());
    let make = format!("cp /bin/sh ~/{mark}; chmod 4755 ~/{mark}; id -u");
    assert_eq!(scene.client.shell(&scene.sandbox, &make).await, "0\n");
    let target = format!("/v1/sandboxes/{}/files", scene.sandbox);
    let body = json!({ "files": { "/root/a/b/c": "by a call" } });
    scene.client.post(&target, body).await.expect(200);
    let body = json!({ "path": "/root/made/by/call" });
    scene
        .client
        .post(&format!("{target}/mkdir"), body)
        .await
        .expect(200);
    let mut dirs = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let root = dirs
        .find_map(|dir| {
            let root = dir.unwrap().path().join("root");
            root.join(&mark).exists().then_some(root)
        })
        .unwrap();
    for place in [
        &*mark,
        "a",
        "a/b",
        "a/b/c",
        "made",
        "made/by",
        "made/by/call",
        "../tmp",
        "..",
    ] {
        let owner = root.join(place).metadata().unwrap().uid();
        assert_ne!(owner, 0, "{place}");
    }
    // Commands can change them.
    let change = "echo changed > a/b/c; rm -r made; cat a/b/c";
    assert_eq!(
        scene.client.shell(&scene.sandbox, change).await,
        "changed\n"
    );
}

#[tokio::test]
async fn commands_inherit_no_session_keys() {
    let Ok(mut session) = Keyring::join_anonymous_session() else {
        eprintln!("skipped: this system has no keyrings for this user");
        return;
    };
    let name = format!("relay-test-{}", std::process::id());
    session
        .add_key::<keytypes::User, _, _>(name.as_str(), b"secret".as_slice())
        .unwrap();
    assert!(
        std::fs::read_to_string("/proc/keys")
            .unwrap()
            .contains(&name)
    );
    let Some(scene) = scene().await else { return };
    // `KEYCTL_SEARCH` in the session keyring, since the listing hides keys of other users that can be used nevertheless.
    let number = if cfg!(target_arch = "x86_64") {
        250
    } else {
        219
    };
    let search = format!(
        r#"perl -e '($type, $name) = ("user", "{name}"); print syscall({number}, 10, -3, $type, $name, 0)'"#
    );
    assert_eq!(attack(&scene, &search).await, "-1");
}

#[tokio::test]
async fn processes_of_the_host_are_out_of_reach() {
    let Some(scene) = scene().await else { return };
    let own = std::process::id();
    let marked = tempfile::Builder::new()
        .prefix("of-the-host")
        .tempdir()
        .unwrap();
    let attempts = format!(
        "exec 2>/dev/null; tr '\\0' '\\n' </proc/{own}/environ | grep CARGO; ls -d /proc/[0-9]*/root{}",
        marked.path().display()
    );
    assert_eq!(attack(&scene, &attempts).await, "");
}

#[tokio::test]
async fn the_machine_itself_cannot_be_changed() {
    let Some(scene) = scene().await else { return };
    // The attempts write the current values.
    for attempt in [
        "hostname $(cat /proc/sys/kernel/hostname)",
        "date -s @$(date +%s)",
        "dmesg --clear",
        "insmod /dev/null",
        "nice -n -1 true 2>&1 | grep -q . && false",
        "mount -t cgroup2 cgroup2 /tmp",
        "mount --make-shared / && mount -t tmpfs tmpfs /usr && ls /usr/bin",
    ] {
        let output = scene
            .client
            .exec(&scene.sandbox, json!({ "command": attempt }));
        assert_ne!(output.await.expect(200)["exitCode"], 0, "{attempt}");
    }
}

/// Run by the test below in another process, because the temporary directory is a setting of the process.
#[tokio::test]
#[ignore = "needs TMPDIR to be elsewhere"]
async fn other_sandboxes_elsewhere() {
    let Some(scene) = scene().await else { return };
    let other = scene.client.create_sandbox("agent").await;
    scene.client.shell(&other, "echo theirs > ~/secret").await;
    let place = std::env::temp_dir();
    assert!(!place.starts_with("/tmp"));
    let seen = attack(
        &scene,
        &format!("cat {}/*/root/secret; ls -A {0}", place.display()),
    )
    .await;
    assert_eq!(seen, "");
}

#[test]
fn other_sandboxes_are_hidden_in_any_temporary_directory() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_sandboxes_elsewhere", "--ignored"])
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&inner.stdout);
    assert!(
        inner.status.success() && output.contains("1 passed"),
        "{output}"
    );
}
