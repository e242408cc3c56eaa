//! Sandboxes: real files and processes, confined to the sandbox.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Client, PATIENCE};
use serde_json::{Value, json};
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay};

/// Starts a relay for each kind of isolation that this system allows.
fn relays() -> Vec<LocalRelay> {
    let start = |isolation| {
        LocalRelay::builder()
            .agent("agent", Agent::echo().env("FROM_AGENT", "a"))
            .isolation(isolation)
            .start()
    };
    let processes = start(Isolation::Unconfined).unwrap();
    assert_eq!(processes.isolation(), Isolation::Unconfined);
    let mut relays = vec![processes];
    match start(Isolation::Namespaces) {
        Ok(relay) => {
            assert_eq!(relay.isolation(), Isolation::Namespaces);
            relays.push(relay);
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            eprintln!("without namespaces: {error}");
        }
    }
    relays
}

fn files(sandbox: &str, rest: &str) -> String {
    format!("/v1/sandboxes/{sandbox}/files{rest}")
}

async fn write(client: &Client, sandbox: &str, path: &str, content: &str) -> u16 {
    let body = json!({ "path": path, "content": content });
    client.post(&files(sandbox, ""), body).await.status.as_u16()
}

async fn read(client: &Client, sandbox: &str, path: &str) -> Option<String> {
    let reply = client.get(&files(sandbox, &format!("?path={path}"))).await;
    let content = reply.json()["content"].as_str().map(str::to_owned);
    assert_eq!(content.is_some(), reply.status == 200);
    content
}

#[tokio::test]
async fn commands_and_file_calls_see_the_same_files() {
    for relay in relays() {
        let client = Client::new(&relay);
        let body = json!({
            "agent": "agent",
            "files": { "/home/user/data/input.json": "{}", "rel.txt": "below root" },
            "envs": { "FROM_SANDBOX": "s" },
            "setup": ["cat data/input.json > copied.txt", "exit 1", "echo $HOME > home.txt"],
        });
        let sandbox = client.post("/v1/sandboxes", body).await.expect(201);
        let sandbox = sandbox["id"].as_str().unwrap();
        assert_eq!(
            read(&client, sandbox, "/root/rel.txt").await.unwrap(),
            "below root"
        );
        assert_eq!(
            read(&client, sandbox, "/home/user/copied.txt")
                .await
                .unwrap(),
            "{}"
        );
        assert!(
            read(&client, sandbox, "/home/user/home.txt")
                .await
                .is_some()
        );

        assert_eq!(client.shell(sandbox, "cat rel.txt").await, "below root");
        let output = client
            .exec(
                sandbox,
                json!({ "command": "cat copied.txt", "cwd": "/home/user" }),
            )
            .await;
        assert_eq!(output.expect(200)["stdout"], "{}");
        client
            .shell(sandbox, "mkdir -p ~/made; echo new > ~/made/by-command")
            .await;
        assert_eq!(
            read(&client, sandbox, "made/by-command").await.unwrap(),
            "new\n"
        );
        assert_eq!(write(&client, sandbox, "made/by-call", "text").await, 200);
        assert_eq!(client.shell(sandbox, "cat ~/made/by-call").await, "text");
        let variables = "echo $FROM_AGENT $FROM_SANDBOX";
        assert_eq!(client.shell(sandbox, variables).await, "a s\n");
    }
}

#[tokio::test]
async fn the_environment_of_the_relay_does_not_reach_commands() {
    // Cargo sets these for every test.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let body = json!({ "command": "env", "envs": { "OF_THE_CALL": "c" } });
        let output = client.exec(&sandbox, body).await.expect(200);
        let mut names: Vec<_> = output["stdout"]
            .as_str()
            .unwrap()
            .lines()
            .map(|line| line.split('=').next().unwrap())
            // Bash sets its own, and unconfined commands have `TMPDIR`.
            .filter(|name| !["_", "SHLVL", "PWD", "TMPDIR"].contains(name))
            .collect();
        names.sort_unstable();
        let expected = [
            "FROM_AGENT",
            "HOME",
            "LANG",
            "LOGNAME",
            "OF_THE_CALL",
            "PATH",
            "SHELL",
            "USER",
        ];
        assert_eq!(names, expected);
    }
}

/// A directory of the host with a secret, which no file call may see or change.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        // Not in `/tmp`, which is private in every sandbox.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::write(dir.path().join("secret"), "host").unwrap();
        Self { dir }
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        let secret = std::fs::read_to_string(self.dir.path().join("secret"));
        assert_eq!(secret.unwrap(), "host");
    }
}

#[tokio::test]
async fn variables_take_effect_only_inside_the_sandbox() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        // With this variable, the loader of every program writes to a file.
        let host = tempfile::tempdir().unwrap();
        let trace = host.path().join("trace");
        let body = json!({
            "command": "env",
            "envs": {
                "LD_DEBUG": "libs",
                "LD_DEBUG_OUTPUT": trace,
                "with.dot": "it's \"$HOME\"",
                "LINES": "one\ntwo",
                "-i": "dash",
                "PATH": "/usr/bin:/bin",
            },
        });
        let output = client.exec(&sandbox, body).await.expect(200);
        let stdout = output["stdout"].as_str().unwrap();
        for expected in [
            "with.dot=it's \"$HOME\"\n",
            "LINES=one\ntwo\n",
            "-i=dash\n",
            "PATH=/usr/bin:/bin\n",
        ] {
            assert!(stdout.contains(expected), "{expected:?} is not in {stdout}");
        }
        assert!(!stdout.contains("CARRIED"), "{stdout}");
        let left = std::fs::read_dir(host.path()).unwrap().count();
        assert_eq!(left > 0, relay.isolation() == Isolation::Unconfined);

        let long = "x".repeat(1 << 18);
        for body in [
            json!({ "command": "true", "envs": { "LONG": long } }),
            json!({ "command": format!("true {long}") }),
        ] {
            let (status, _, message) = client.exec(&sandbox, body).await.error();
            assert_eq!(status, 500);
            assert!(message.contains("too long"), "{message}");
        }
    }
}

#[tokio::test]
async fn no_file_call_leads_out_of_the_sandbox() {
    for relay in relays() {
        let host = Host::new();
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let outside = host.path();
        let up = "../".repeat(20);
        let links = format!(
            "cd; ln -s {outside} dir; ln -s {outside}/secret file; ln -s / all; ln -s {up}{outside} up; \
             ln -s {outside}/new dangling; ln -s loop loop; mkdir sub; ln -s ../dir sub/second"
        );
        client.shell(&sandbox, &links).await;
        let ways = [
            format!("{outside}/secret"),
            format!("/../..{outside}/secret"),
            format!("{up}{outside}/secret"),
            "dir/secret".to_owned(),
            "file".to_owned(),
            format!("all{outside}/secret"),
            "up/secret".to_owned(),
            "sub/second/secret".to_owned(),
            "loop".to_owned(),
            "/etc/passwd".to_owned(),
            "/proc/self/environ".to_owned(),
        ];
        for way in &ways {
            for rest in ["", "&format=blob", "&format=stream"] {
                let target = files(&sandbox, &format!("?path={way}{rest}"));
                let reply = client.get(&target).await;
                assert_eq!(reply.error().1, "internal_error", "{way}");
                assert!(!reply.body.windows(4).any(|four| four == b"host"), "{way}");
            }
            assert_ne!(write(&client, &sandbox, way, "changed").await, 200, "{way}");
            let target = files(&sandbox, &format!("?path={way}&format=stream"));
            let request = client
                .request("POST", &target)
                .body("changed".into())
                .unwrap();
            assert_ne!(client.send(request).await.status, 200, "{way}");
        }
        for dir in [outside, "dir", "up", "sub/second"] {
            let new = format!("{dir}/new");
            let body = json!({ "path": new });
            let reply = client.post(&files(&sandbox, "/mkdir"), body).await;
            assert_ne!(reply.status, 200, "{dir}");
            for (old, new) in [(new.as_str(), "x"), ("sub", new.as_str())] {
                let body = json!({ "oldPath": old, "newPath": new });
                let reply = client.post(&files(&sandbox, "/rename"), body).await;
                assert_ne!(reply.status, 200, "{old} to {new}");
            }
            let secret = format!("?path={dir}/secret");
            client.delete(&files(&sandbox, &secret)).await;
            let target = files(&sandbox, &format!("/list?path={dir}"));
            assert_ne!(client.get(&target).await.status, 200, "{dir}");
            let target = files(&sandbox, &format!("/exists?path={dir}/secret"));
            assert_eq!(client.get(&target).await.json(), false, "{dir}");
        }
        assert_ne!(write(&client, &sandbox, "dangling", "changed").await, 200);
        // Removing the link removes only the link.
        client
            .delete(&files(&sandbox, "?path=dir"))
            .await
            .expect(204);
        let root = client.get(&files(&sandbox, "/list?path=/&depth=2")).await;
        let root = root.expect(200);
        let paths: Vec<_> = root
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["path"].as_str().unwrap())
            .filter(|path| !path.starts_with("/root/"))
            .collect();
        assert_eq!(paths, ["/home", "/home/user", "/root", "/tmp"]);
        host.is_untouched();
    }
}

#[tokio::test]
async fn links_inside_the_sandbox_are_followed() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let links = "cd; mkdir -p a/b; echo text > a/b/file; ln -s $HOME/a absolute; ln -s a/../a/b relative; \
                     ln -s absolute/b/file through; ln -s ../root/a/b/file up";
        client.shell(&sandbox, links).await;
        for path in [
            "absolute/b/file",
            "relative/file",
            "through",
            "up",
            "/root/a/../up",
        ] {
            assert_eq!(
                read(&client, &sandbox, path).await.unwrap(),
                "text\n",
                "{path}"
            );
        }
        assert_eq!(write(&client, &sandbox, "through", "changed").await, 200);
        assert_eq!(client.shell(&sandbox, "cat a/b/file").await, "changed");
    }
}

#[tokio::test]
async fn a_root_of_the_sandbox_can_be_neither_removed_nor_moved() {
    let [relay, ..] = &relays()[..] else {
        unreachable!()
    };
    let client = Client::new(relay);
    let sandbox = client.create_sandbox("agent").await;
    for root in ["/home/user", "/root", "/tmp", "/root/../home/user"] {
        let target = files(&sandbox, &format!("?path={root}"));
        assert_eq!(client.delete(&target).await.status, 500, "{root}");
        let body = json!({ "oldPath": root, "newPath": "/root/x" });
        let reply = client.post(&files(&sandbox, "/rename"), body).await;
        assert_eq!(reply.status, 500, "{root}");
    }
    let target = files(&sandbox, "?path=/home");
    assert_eq!(client.delete(&target).await.status, 500);
}

#[tokio::test]
async fn in_namespaces_commands_see_the_sandbox_and_change_nothing_else() {
    let Some(relay) = relays()
        .into_iter()
        .find(|relay| relay.isolation() == Isolation::Namespaces)
    else {
        eprintln!("this system does not allow user namespaces");
        return;
    };
    let host = Host::new();
    let client = Client::new(&relay);
    let (sandbox, other) = (
        client.create_sandbox("agent").await,
        client.create_sandbox("agent").await,
    );
    client
        .shell(&sandbox, "echo mine > /home/user/f; echo mine > /tmp/t")
        .await;
    assert_eq!(
        read(&client, &sandbox, "/home/user/f").await.unwrap(),
        "mine\n"
    );
    assert_eq!(
        client
            .shell(&other, "ls -A /home /home/user /root /tmp")
            .await,
        "/home:\nuser\n\n/home/user:\n\n/root:\n\n/tmp:\n"
    );
    assert_eq!(
        client.shell(&sandbox, "id -un; pwd; echo $HOME").await,
        "root\n/root\n/root\n"
    );

    let path = host.path();
    let change = format!("echo changed > {path}/secret; rm -rf {path}; touch /usr/x /etc/x; true");
    client.shell(&sandbox, &change).await;
    host.is_untouched();
    assert!(!Path::new("/usr/x").exists() && !Path::new("/etc/x").exists());

    // Changing mounts or the root directory is no way out.
    let name = format!("relay-test-{}", std::process::id());
    for place in ["/dev/shm", "/var/tmp"] {
        let there = Path::new(place).join(&name);
        let file = there.display();
        let undo = format!(
            "touch {file}; mount -o remount,bind,rw / ; mount -o remount,bind,rw {place}; umount {place}; touch {file}; true"
        );
        client.shell(&sandbox, &undo).await;
        assert!(!there.exists(), "{file}");
    }
    client
        .shell(&sandbox, "echo null > /dev/null; echo kept > /root/kept")
        .await;

    // Only the sandbox's own processes are visible, and background processes stay.
    client.shell(&sandbox, "sleep 300 & echo $! > ~/pid").await;
    client.shell(&sandbox, "kill -0 $(cat ~/pid)").await;
    let processes = client.shell(&sandbox, "ls /proc | grep -c '^[0-9]'").await;
    assert!(processes.trim().parse::<u32>().unwrap() < 10, "{processes}");
    let body = json!({ "command": "kill -0 $(cat /root/pid)" });
    let elsewhere = client.exec(&other, body).await.expect(200);
    assert_ne!(elsewhere["exitCode"], 0);
}

#[tokio::test]
async fn a_relay_without_commands_refuses_only_commands() {
    let builder = LocalRelay::builder().isolation(Isolation::NoCommands);
    let relay = builder.start().unwrap();
    assert_eq!(relay.isolation(), Isolation::NoCommands);
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("shell").await;
    assert_eq!(write(&client, &sandbox, "/root/f", "text").await, 200);
    assert_eq!(read(&client, &sandbox, "/root/f").await.unwrap(), "text");

    let refused = |reply: &common::Reply, status: u16| {
        let (found, _, message) = reply.error();
        assert_eq!(found, status, "{message}");
        assert!(message.starts_with("commands are refused"), "{message}");
    };
    let reply = client.exec(&sandbox, json!({ "command": "true" })).await;
    refused(&reply, 500);
    let target = format!("/v1/sandboxes/{sandbox}/git/clone");
    refused(
        &client
            .post(&target, json!({ "url": "file:///root/x" }))
            .await,
        400,
    );
    // Without an error, the client would believe that the setup ran.
    let body = json!({ "agent": "shell", "setup": ["true"] });
    refused(&client.post("/v1/sandboxes", body).await, 500);
    let body = json!({ "messages": [common::user("true")], "sandboxId": sandbox });
    let stream = client.chat_with("shell", body).await.rest().await;
    let events = serde_json::to_string(&stream).unwrap();
    assert!(events.contains("commands are refused"), "{events}");
}

#[tokio::test]
async fn a_command_that_times_out_is_killed_with_its_children() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let begun = Instant::now();
        let command = "(while :; do echo x >> ~/ticks; sleep 0.02; done) & sleep 60";
        let body = json!({ "command": command, "timeoutMs": 1000 });
        let reply = client.exec(&sandbox, body).await;
        let expected = (408, "command_timeout", "Command execution timed out");
        let (status, code, message) = reply.error();
        assert_eq!((status, code.as_str(), message.as_str()), expected);
        assert!(begun.elapsed() < Duration::from_secs(30));
        let ticks = client.shell(&sandbox, "wc -c < ~/ticks").await;
        client.shell(&sandbox, "sleep 0.3").await;
        assert_eq!(client.shell(&sandbox, "wc -c < ~/ticks").await, ticks);
    }
}

#[tokio::test]
async fn a_killed_command_has_the_exit_code_minus_one() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let reply = client
            .exec(&sandbox, json!({ "command": "kill -9 $$" }))
            .await;
        assert_eq!(reply.expect(200)["exitCode"], -1);
    }
}

#[tokio::test]
async fn a_process_that_keeps_the_output_open_does_not_delay_the_response() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let begun = Instant::now();
        assert_eq!(
            client.shell(&sandbox, "sleep 30 & echo started").await,
            "started\n"
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn output_beyond_the_limit_is_dropped() {
    let [relay, ..] = &relays()[..] else {
        unreachable!()
    };
    let client = Client::new(relay);
    let sandbox = client.create_sandbox("agent").await;
    let command = "head -c 20000000 /dev/zero | tr '\\0' a; echo end >&2";
    let output = client.exec(&sandbox, json!({ "command": command })).await;
    let output = output.expect(200);
    assert_eq!(output["exitCode"], 0);
    assert_eq!(output["stdout"].as_str().unwrap().len(), 16 << 20);
    assert_eq!(output["stderr"], "end\n");
}

#[tokio::test]
async fn a_missing_working_directory_is_an_error() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let body = json!({ "command": "pwd", "cwd": "/home/user/none" });
        let (status, code, _) = client.exec(&sandbox, body).await.error();
        assert_eq!((status, code.as_str()), (500, "internal_error"));
    }
}

#[tokio::test]
async fn a_relative_working_directory_is_under_root_and_a_command_is_never_an_option() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        client.shell(&sandbox, "mkdir ./- a; touch a/here").await;
        let body = json!({ "command": "ls", "cwd": "a" });
        let output = client.exec(&sandbox, body).await.expect(200);
        assert_eq!(output["stdout"], "here\n", "{output}");
        let body = json!({ "command": "ls ..", "cwd": "-" });
        let output = client.exec(&sandbox, body).await.expect(200);
        assert_eq!(output["stdout"], "-\na\n", "{output}");

        let body = json!({ "command": "--version" });
        let output = client.exec(&sandbox, body).await.expect(200);
        assert_eq!(
            (&output["exitCode"], &output["stdout"]),
            (&127.into(), &"".into())
        );
    }
}

#[tokio::test]
async fn a_repository_is_cloned_by_git() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let make = "git init -q -b main ~/src && cd ~/src && echo 1 > f && git add f && \
                    git -c user.name=a -c user.email=a@b commit -qm one";
        client.shell(&sandbox, make).await;
        let target = format!("/v1/sandboxes/{sandbox}/git/clone");
        let body = json!({ "url": "file:///root/src", "path": "/home/user/it's here", "branch": "main", "depth": 1 });
        let cloned = client.post(&target, body).await;
        let expected = json!({ "path": "/home/user/it's here", "branch": "main" });
        assert_eq!(cloned.expect(200), expected);
        let path = "/home/user/it's%20here/f";
        assert_eq!(read(&client, &sandbox, path).await.unwrap(), "1\n");

        // An option in place of a URL is taken for a URL, and no message contains the token.
        for (url, token) in [
            ("--upload-pack=touch /tmp/pwned", None),
            ("https://127.0.0.1:1/x.git", Some("ghp_secret")),
        ] {
            let body = json!({ "url": url, "token": token, "path": "/home/user/none" });
            let reply = client.post(&target, body).await;
            let (status, code, message) = reply.error();
            assert_eq!((status, code.as_str()), (400, "git_clone_failed"));
            assert!(!message.contains("ghp_secret"), "{message}");
        }
        let target = files(&sandbox, "/exists?path=/tmp/pwned");
        assert_eq!(client.get(&target).await.json(), false);
    }
}

#[tokio::test]
async fn a_sandbox_of_another_team_is_not_found() {
    let relay = LocalRelay::builder()
        .key("21st_sk_mine")
        .key(twentyfirst_local_relay::Key::new("21st_sk_theirs").team("theirs"))
        .start()
        .unwrap();
    let client = Client::new(&relay);
    assert_eq!(relay.api_key(), "21st_sk_mine");
    let sandbox = client.create_sandbox("echo").await;
    let theirs = client.with_key("21st_sk_theirs");
    let reply = theirs.exec(&sandbox, json!({ "command": "true" })).await;
    assert_eq!(reply.error().1, "sandbox_not_found");
    let body = json!({ "messages": [common::user("Hi")], "sandboxId": sandbox });
    let reply = theirs.post("/v1/chat/echo", body).await;
    assert_eq!(reply.error().1, "sandbox_not_found");
}

/// Returns the processes of this machine with this command line.
fn processes_with(line: &str) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|found| found.trim_end() == line)
        .collect()
}

/// Waits until this many processes have the command line: on a busy machine, killed processes take a moment to disappear.
async fn until_processes(line: &str, count: usize) {
    let begun = Instant::now();
    while processes_with(line).len() != count {
        assert!(begun.elapsed() < PATIENCE, "{:?}", processes_with(line));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn deleted_sandboxes_and_ended_relays_leave_no_process_and_no_file() {
    for (at, relay) in relays().into_iter().enumerate() {
        let client = Client::new(&relay);
        // A unique duration, to find the process by.
        let seconds = format!("{}.{}", 4000 + at, std::process::id());
        let sleep = format!("sleep {seconds}");
        let mut dirs = Vec::new();
        let mut sandboxes = Vec::new();
        for _ in 0..2 {
            let sandbox = client.create_sandbox("agent").await;
            let make = format!("mkdir -m 0 ~/closed; touch ~/{seconds}");
            client.shell(&sandbox, &make).await;
            sandboxes.push(sandbox);
        }
        for sandbox in &sandboxes {
            let (client, sandbox) = (client.clone(), sandbox.clone());
            let command = format!("setsid {sleep} & {sleep}");
            tokio::spawn(async move {
                let target = format!("/v1/sandboxes/{sandbox}/exec");
                let request = client.json("POST", &target, json!({ "command": command }));
                client.open(request).await;
            });
        }
        until_processes(&sleep, 4).await;
        for entry in std::fs::read_dir(std::env::temp_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.join("root").join(&seconds).exists() {
                dirs.push(path);
            }
        }
        assert_eq!(dirs.len(), 2);

        let target = format!("/v1/sandboxes/{}", sandboxes[0]);
        client.delete(&target).await.expect(204);
        until_processes(&sleep, 2).await;
        assert_eq!(dirs.iter().filter(|dir| dir.exists()).count(), 1);
        relay.shutdown();
        until_processes(&sleep, 0).await;
        assert!(dirs.iter().all(|dir| !dir.exists()));
    }
}

#[tokio::test]
async fn a_pipe_blocks_neither_a_file_call_nor_the_end_of_the_relay() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        client
            .shell(&sandbox, "mkfifo pipe; echo file > file")
            .await;
        assert_eq!(read(&client, &sandbox, "/root/pipe").await, None);
        assert_eq!(write(&client, &sandbox, "/root/pipe", "x").await, 500);
        // A command swaps files and pipes during the calls.
        let swap = "ln file kept; while [ ! -e stop ]; do ln -f kept x; mv -f x place; mkfifo p; mv -f p place; done";
        let (busy, of) = (client.clone(), sandbox.clone());
        let swapping = tokio::spawn(async move { busy.shell(&of, swap).await });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            read(&client, &sandbox, "/root/place").await;
            write(&client, &sandbox, "/root/place", "text").await;
        }
        client.shell(&sandbox, "touch stop").await;
        swapping.await.unwrap();
        relay.shutdown();
    }
}

#[tokio::test]
async fn directories_may_be_nested_to_any_depth() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let nest = |hundreds| {
            format!(
                "p=$(printf d/%.0s {{1..100}}); for i in {{1..{hundreds}}}; do mkdir -p $p; cd $p; done; touch f; chmod 500 ."
            )
        };
        client
            .exec(&sandbox, json!({ "command": nest(11), "cwd": "/root" }))
            .await
            .expect(200);
        let deepest = client
            .get(&files(&sandbox, "/list?path=/root&depth=100000"))
            .await;
        let count = deepest.expect(200).as_array().unwrap().len();
        assert!(count > 1000, "{count}");
        let target = files(&sandbox, "?path=/root/d");
        client.delete(&target).await.expect(204);
        assert_eq!(client.shell(&sandbox, "ls ~").await, "");

        // The end of the relay has to remove nested directories, too.
        client
            .shell(&sandbox, &format!("touch ~/deepest; {}", nest(11)))
            .await;
        let is_there = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().path().join("root/deepest").exists()
        };
        let temporary = || std::fs::read_dir(std::env::temp_dir()).unwrap();
        assert!(temporary().any(is_there));
        relay.shutdown();
        assert!(!temporary().any(is_there));
    }
}

#[tokio::test]
async fn the_next_relay_removes_the_files_of_a_killed_one() {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let place = |name: String| {
        let place = std::env::temp_dir().join(name);
        std::fs::create_dir_all(place.join("root/closed")).unwrap();
        std::fs::write(place.join("root/file"), "left").unwrap();
        place
    };
    let (dead, live) = (ended.id(), std::process::id());
    let of_the_dead = place(format!("21st-sandbox-{dead}-left"));
    let others = [
        place(format!("21st-sandbox-{live}-left")),
        place(format!("21st-sandbox-{live}{dead}x-left")),
        place(format!("another-{dead}-left")),
    ];
    let link = std::env::temp_dir().join(format!("21st-sandbox-{dead}-link"));
    std::os::unix::fs::symlink(&others[2], &link).unwrap();
    drop(LocalRelay::start().unwrap());
    assert!(!of_the_dead.exists());
    assert!(link.is_symlink());
    std::fs::remove_file(link).unwrap();
    for other in others {
        assert!(other.join("root/file").exists(), "{}", other.display());
        std::fs::remove_dir_all(other).unwrap();
    }
}

#[tokio::test]
async fn a_file_with_an_unusual_date_can_be_listed() {
    for relay in relays() {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let make = "touch -d 1960-01-01 past; touch -d 2400-01-01 future; touch now";
        client.shell(&sandbox, make).await;
        let listing = client.get(&files(&sandbox, "/list?path=/root")).await;
        let listing = listing.expect(200);
        let entries = listing.as_array().unwrap().iter();
        let names: Vec<_> = entries.map(|entry| &entry["name"]).collect();
        assert_eq!(names, ["future", "now", "past"]);
    }
}

#[tokio::test]
async fn entries_describe_files_directories_and_links() {
    let [relay, ..] = &relays()[..] else {
        unreachable!()
    };
    let client = Client::new(relay);
    let sandbox = client.create_sandbox("agent").await;
    let make = "umask 022; mkdir -p d/e; printf 12345 > d/f; chmod 750 d/f; ln -s f d/l";
    client.shell(&sandbox, make).await;
    let listing = client.get(&files(&sandbox, "/list?path=d&depth=2")).await;
    let mut listing = listing.expect(200);
    for entry in listing.as_array_mut().unwrap() {
        let members = entry.as_object_mut().unwrap();
        assert!(members.remove("modifiedTime").unwrap().is_string());
        if members.get("type") == Some(&Value::from("dir")) {
            members.remove("size");
        }
    }
    let of_root = |entry: Value| {
        let mut entry = entry;
        entry["owner"] = "root".into();
        entry["group"] = "root".into();
        entry
    };
    let expected = [
        json!({ "name": "e", "path": "/root/d/e", "type": "dir", "mode": 0o755, "permissions": "drwxr-xr-x" }),
        json!({
            "name": "f", "path": "/root/d/f", "type": "file", "size": 5, "mode": 0o750,
            "permissions": "-rwxr-x---",
        }),
        json!({
            "name": "l", "path": "/root/d/l", "size": 1, "mode": 0o777, "permissions": "Lrwxrwxrwx",
            "symlinkTarget": "f",
        }),
    ];
    assert_eq!(listing, Value::from_iter(expected.map(of_root)));
}
