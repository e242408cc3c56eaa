//! The script in the shells and tools of this machine, and in those of busybox (`apt-get install busybox-static`; skipped
//! without).

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::Flow;
use twentyfirst_protocol::flow::drive::{finish, next};
use twentyfirst_protocol::processes::{
    KillProcess, Offsets, OutputStream, ProcessError, ProcessRef, ProcessState, Spawn,
};
use twentyfirst_protocol::sandboxes::{Exec, ExecOutput};

use crate::support::{CommandResult, Relay, process};

const TOOLS: [&str; 17] = [
    "base64", "cat", "date", "dd", "env", "head", "ln", "ls", "mkdir", "mv", "rm", "sleep", "tail",
    "tr", "nohup", "seq", "printf",
];

/// A machine: a home directory and a search path.
struct Machine {
    dir: PathBuf,
}

impl Machine {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("processes-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        std::fs::create_dir_all(dir.join("home")).unwrap();
        Self { dir }
    }

    /// Creates a machine with this shell as `sh`, and these tools.
    fn with_shell(name: &str, shell: &str, tools: &[&str]) -> Option<Self> {
        let shell = find(shell)?;
        let machine = Self::new(name);
        symlink(shell, machine.dir.join("bin/sh")).unwrap();
        for tool in tools {
            symlink(find(tool)?, machine.dir.join("bin").join(tool)).unwrap();
        }
        Some(machine)
    }

    fn with_busybox() -> Option<Self> {
        let busybox = find("busybox")?;
        let machine = Self::new("busybox");
        let applets = Command::new(&busybox).arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines() {
            symlink(&busybox, machine.dir.join("bin").join(applet)).ok();
        }
        Some(machine)
    }

    fn run(&self, exec: &Exec) -> ExecOutput {
        let envs = exec.envs.iter().flatten();
        let output = Command::new("sh")
            .arg("-c")
            .arg(&exec.command)
            .current_dir(
                exec.cwd
                    .as_deref()
                    .map_or_else(|| self.dir.join("home"), PathBuf::from),
            )
            .env_clear()
            .env("PATH", self.dir.join("bin"))
            .env("HOME", self.dir.join("home"))
            .envs(envs.map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        ExecOutput::new(
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        )
    }

    fn play<F: Flow>(&self, mut flow: F) -> F::Output {
        finish(
            &mut flow,
            &mut Relay::new(|exec, _| CommandResult::Output(self.run(&exec))),
        )
    }

    fn spawn(&self, id: &str, command: &str) -> (ProcessRef, Spawn) {
        let process = process(id);
        let spawn = Spawn::new(&process.sandbox_id, &process.id, command);
        (process, spawn)
    }

    fn output(&self, process: &ProcessRef) -> (Vec<u8>, Vec<u8>) {
        let mut flow = process.output(Offsets::START, &options(), 7).unwrap();
        let mut relay = Relay::new(|exec, _| CommandResult::Output(self.run(&exec)));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Ok(chunk) = next(&mut flow, &mut relay) {
            match chunk.stream {
                OutputStream::Stdout => stdout.extend_from_slice(&chunk.bytes),
                OutputStream::Stderr => stderr.extend_from_slice(&chunk.bytes),
            }
        }
        (stdout, stderr)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn options() -> CallOptions {
    CallOptions::new()
}

fn find(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin"]
        .map(|dir| Path::new(dir).join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// Tests everything that a process can do. `kills_group` is `false` without `setsid`.
fn story(machine: &Machine, kills_group: bool) {
    // Settings, bytes, and the exit status.
    let (talks, spawn) = machine.spawn(
        "talks",
        "printf 'a\\000b\\377'; echo \"$A\" >&2; env | grep -c ^TWENTY; exit 3",
    );
    let spawn = spawn.env("A", "it's\n$x");
    machine.play(spawn.flow(&options(), 7).unwrap()).unwrap();
    let status = machine.play(talks.wait(&options(), 7).unwrap()).unwrap();
    assert_eq!(status.code(), Some(3));
    let (stdout, stderr) = machine.output(&talks);
    assert_eq!(stdout, b"a\0b\xff0\n");
    assert_eq!(stderr, b"it's\n$x\n");

    // Pages that begin within blocks.
    let (long, spawn) = machine.spawn("long", "seq 100000 399999");
    machine.play(spawn.flow(&options(), 7).unwrap()).unwrap();
    machine.play(long.wait(&options(), 7).unwrap()).unwrap();
    let expected: String = (100_000..400_000).map(|line| format!("{line}\n")).collect();
    assert!(machine.output(&long).0 == expected.as_bytes());

    // The command ran once.
    let (once, spawn) = machine.spawn("once", "echo x >> ../count");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| machine.play(spawn.flow(&options(), 7).unwrap()).unwrap());
        }
    });
    machine.play(once.wait(&options(), 7).unwrap()).unwrap();
    assert_eq!(std::fs::read(machine.dir.join("count")).unwrap(), b"x\n");
    let (_, other) = machine.spawn("once", "echo y");
    let other = machine.play(other.flow(&options(), 7).unwrap());
    assert!(matches!(other, Err(ProcessError::OtherCommand(_))));

    // Input.
    let (reads, spawn) = machine.spawn("reads", "cat; echo end");
    machine
        .play(spawn.stdin(true).flow(&options(), 7).unwrap())
        .unwrap();
    for (seed, input) in [(1, &b"one\0\xff"[..]), (1, b"one\0\xff"), (2, b"two")] {
        machine
            .play(reads.write_stdin(input, &options(), seed).unwrap())
            .unwrap();
    }
    machine
        .play(reads.close_stdin(&options(), 3).unwrap())
        .unwrap();
    machine.play(reads.wait(&options(), 7).unwrap()).unwrap();
    assert_eq!(machine.output(&reads).0, b"one\0\xfftwoend\n");

    // Signals: one that is not ignored, as it would be in the background, and signals that kill.
    let (interrupted, spawn) = machine.spawn("interrupted", "kill -s INT $$; echo survived");
    machine.play(spawn.flow(&options(), 7).unwrap()).unwrap();
    let status = machine
        .play(interrupted.wait(&options(), 7).unwrap())
        .unwrap();
    assert_eq!(status.signal(), Some(2));

    let (stubborn, spawn) = machine.spawn(
        "stubborn",
        "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    );
    machine.play(spawn.flow(&options(), 7).unwrap()).unwrap();
    let kill = KillProcess::new(stubborn).grace(Duration::from_millis(300));
    let status = machine.play(kill.flow(&options(), 7).unwrap()).unwrap();
    assert_eq!(status.signal(), Some(9));

    if kills_group {
        let (family, spawn) = machine.spawn("family", "sleep 311 & sleep 312");
        machine.play(spawn.flow(&options(), 7).unwrap()).unwrap();
        let kill = KillProcess::new(family);
        machine.play(kill.flow(&options(), 7).unwrap()).unwrap();
        let group =
            std::fs::read_to_string(machine.dir.join("home/.twentyfirst/processes/family/pid"))
                .unwrap();
        let group = group.split(' ').next().unwrap().to_owned();
        assert!(!is_group_alive(&group));
    }

    // The time limit.
    let (limited, spawn) = machine.spawn("limited", "exec sleep 313");
    machine
        .play(
            spawn
                .timeout(Duration::from_secs(1))
                .flow(&options(), 7)
                .unwrap(),
        )
        .unwrap();
    let status = machine.play(limited.wait(&options(), 7).unwrap()).unwrap();
    assert!(status.timed_out && status.signal() == Some(15), "{status}");

    let info = machine
        .play(limited.status(&options(), 7).unwrap())
        .unwrap();
    assert_eq!(info.command, "exec sleep 313");
    assert_eq!(info.state, ProcessState::Exited(status));
    machine
        .play(limited.remove(&options(), 7).unwrap())
        .unwrap();
    let gone = machine.play(limited.status(&options(), 7).unwrap());
    assert!(matches!(gone, Err(ProcessError::Unknown(_))));
}

fn is_group_alive(group: &str) -> bool {
    let alive = Command::new("ps")
        .args(["-eo", "pgid,stat"])
        .output()
        .unwrap();
    let alive = String::from_utf8(alive.stdout).unwrap();
    alive.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(group) && !words.next().unwrap_or("Z").starts_with('Z')
    })
}

#[test]
fn in_the_shell_of_this_machine() {
    let tools: Vec<_> = TOOLS
        .into_iter()
        .chain(["setsid", "grep", "bash"])
        .collect();
    match Machine::with_shell("sh", "sh", &tools) {
        Some(machine) => story(&machine, true),
        None => eprintln!("skipped: a tool is missing"),
    }
}

#[test]
fn in_bash_as_sh() {
    let tools: Vec<_> = TOOLS.into_iter().chain(["setsid", "grep"]).collect();
    match Machine::with_shell("bash", "bash", &tools) {
        Some(machine) => story(&machine, true),
        None => eprintln!("skipped: bash or a tool is missing"),
    }
}

#[test]
fn without_setsid() {
    let tools: Vec<_> = TOOLS.into_iter().chain(["grep"]).collect();
    match Machine::with_shell("nohup", "sh", &tools) {
        Some(machine) => story(&machine, false),
        None => eprintln!("skipped: a tool is missing"),
    }
}

#[test]
fn in_busybox() {
    match Machine::with_busybox() {
        Some(machine) => story(&machine, true),
        None => eprintln!("skipped: there is no busybox"),
    }
}

#[test]
fn missing_tools_are_reported() {
    let tools: Vec<_> = TOOLS.into_iter().filter(|tool| *tool != "ln").collect();
    let Some(machine) = Machine::with_shell("missing", "sh", &tools) else {
        return;
    };
    let (_, spawn) = machine.spawn("p", "true");
    let error = machine
        .play(spawn.flow(&options(), 7).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("ln"), "{error}");
}
