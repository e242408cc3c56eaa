//! A Redis server for one test: on loopback, with a free port, in a temporary folder, ended by its process id.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The time within which everything happens unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

/// Starts a server with these arguments. Returns `None`, and prints the reason, if there is none to start.
pub(crate) fn start(arguments: &[&str]) -> Option<Server> {
    let found = Command::new(program())
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|it| it.success()) {
        eprintln!("skipped: there is no redis-server (Debian: apt-get install redis-server)");
        return None;
    }
    let server = Server::start(arguments);
    if server.is_none() {
        eprintln!("skipped: this redis-server does not support {arguments:?}");
    }
    server
}

/// Returns the program to test, which an environment variable may replace, such as by Valkey's.
fn program() -> OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Creates a folder, which is removed with the server.
fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("run-log-redis-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Returns a port that is free now, and most likely still is in a moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    /// Returns `None` if the server does not know one of the arguments.
    fn start(arguments: &[&str]) -> Option<Self> {
        let folder = new_folder();
        for _ in 0..5 {
            let port = free_port();
            let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
            let mut child = spawn(port, &folder, &arguments);
            if comes_up(&mut child, port) {
                return Some(Self {
                    child,
                    port,
                    folder,
                    arguments,
                });
            }
            let said = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
            let said = said("errors") + &said("log");
            if said.contains("Bad directive") || said.contains("Failed finding TLS support") {
                fs::remove_dir_all(&folder).unwrap();
                return None;
            }
        }
        panic!("redis-server did not start: see {}", folder.display());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends a command, and returns the raw reply.
    pub(crate) fn command(&self, command: &[&str]) -> String {
        command_to(self.port, command).unwrap()
    }

    /// Sends a signal to the server.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.unwrap().success());
    }

    /// Kills the server, and starts it again with the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.arguments);
        assert!(comes_up(&mut self.child, self.port));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &Path, arguments: &[String]) -> Child {
    Command::new(program())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--logfile", "log"])
        .arg("--dir")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("errors")).unwrap())
        .spawn()
        .unwrap()
}

fn comes_up(child: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        // A server that demands a password is up as well.
        match command_to(port, &["PING"]) {
            Ok(reply) if reply.starts_with("+PONG") || reply.starts_with("-NOAUTH") => return true,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    false
}

fn command_to(port: u16, command: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("*{}\r\n", command.len());
    for part in command {
        request += &format!("${}\r\n{part}\r\n", part.len());
    }
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    read_reply(&mut BufReader::new(stream), &mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// Reads one whole reply: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
fn read_reply(stream: &mut impl BufRead, reply: &mut Vec<u8>) -> std::io::Result<()> {
    let start = reply.len();
    stream.read_until(b'\n', reply)?;
    let line = String::from_utf8_lossy(&reply[start..]).into_owned();
    let length = |kind| line.strip_prefix(kind)?.trim_end().parse::<u64>().ok();
    if let Some(bytes) = length('$') {
        stream.take(bytes + 2).read_to_end(reply)?;
    }
    for _ in 0..length('*').unwrap_or(0) {
        read_reply(stream, reply)?;
    }
    Ok(())
}
