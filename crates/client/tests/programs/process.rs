//! A program in a process of its own: the executable of these tests, with an ignored test that runs the program.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use twentyfirst_local_relay::LocalRelay;

const ARGUMENTS: &str = "PROGRAM_ARGUMENTS";

/// Longer than any program takes.
const LONGEST: Duration = Duration::from_secs(120);

/// Returns the arguments of the program, or `None` if this process is not started as the program.
pub(crate) fn arguments() -> Option<Vec<OsString>> {
    let arguments = env::var(ARGUMENTS).ok()?;
    Some(arguments.lines().map(OsString::from).collect())
}

pub(crate) struct Process(Child);

impl Process {
    /// Starts the program in the test with this name.
    pub(crate) fn start(test: &str, relay: &LocalRelay, agent: &str, arguments: &[&str]) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments.join("\n"))
            .env("API_KEY_21ST", relay.api_key())
            .env("RELAY_BASE_URL", relay.url())
            .env("AGENT_SLUG", agent)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Waits until the program prints a line with this word. Returns the line from the word on.
    pub(crate) fn printed(&mut self, word: &str) -> String {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        let mut lines = out.lines().map_while(Result::ok);
        let found = lines.find_map(|line| Some(line[line.find(word)?..].to_owned()));
        // The rest must be read, or the program would block.
        std::thread::spawn(move || lines.for_each(drop));
        found.unwrap()
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub(crate) fn interrupt(&self) {
        let pid = self.0.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status();
        assert!(killed.unwrap().success());
    }

    /// Waits for the end of the program. Returns whether it was a success.
    pub(crate) fn is_successful(&mut self) -> bool {
        if let Some(out) = self.0.stdout.take() {
            std::thread::spawn(move || BufReader::new(out).lines().for_each(drop));
        }
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the program does not end");
    }
}

/// Kills the program, as a crash would.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that is removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
