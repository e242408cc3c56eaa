//! A program in a process of its own. It is this test's program, with one of its tests that are ignored otherwise.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use twentyfirst_local_relay::LocalRelay;

const ARGUMENTS: &str = "PROGRAM_ARGUMENTS";

/// Longer than any of them takes.
const LONGEST: Duration = Duration::from_secs(120);

/// The arguments of the program that this process is; `None` where it is the test.
pub(crate) fn arguments() -> Option<Vec<OsString>> {
    let arguments = env::var(ARGUMENTS).ok()?;
    Some(arguments.lines().map(OsString::from).collect())
}

pub(crate) struct Process(Child);

impl Process {
    /// Starts the program that is in the test of this name.
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

    /// Reads what it prints from this word on to the end of the line, and nothing more.
    pub(crate) fn printed(&mut self, word: &str) -> String {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        let mut lines = out.lines().map_while(Result::ok);
        let found = lines.find_map(|line| Some(line[line.find(word)?..].to_owned()));
        // What is printed after it finds a reader.
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

    /// Waits for its end, and tells whether it was a success.
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
        panic!("the program goes on");
    }
}

/// Ends it as a crash does.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that is removed with this.
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
