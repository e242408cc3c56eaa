use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use crate::Result;

/// A Redis server on loopback, in a folder of its own, that ends with this.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    pub(crate) url: String,
}

impl Server {
    /// `None`: there is no server to start.
    pub(crate) fn start() -> Result<Option<Self>> {
        let folder = env::temp_dir().join(format!("replay-redis-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            fs::remove_dir_all(&folder)?;
            return Ok(None);
        };
        let url = format!("redis://127.0.0.1:{port}");
        let server = Self { child, folder, url };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Some(server));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not start".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The interval of PINGs.
const PING: Duration = Duration::from_millis(5);

/// Measures how long a reply takes while something else is measured. It has its own thread and socket, so that only the server and the
/// machine count, not the client or its runtime.
pub(crate) struct Pings {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl Pings {
    pub(crate) fn start(url: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(url.trim_start_matches("redis://"))?;
        socket.set_nodelay(true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ping = {
            let is_over = Arc::clone(&is_over);
            move || {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    socket.write_all(b"PING\r\n")?;
                    socket.read_exact(&mut [0; 7])?;
                    times.push(start.elapsed());
                    thread::sleep(PING);
                }
                Ok(times)
            }
        };
        let thread = thread::spawn(ping);
        Ok(Self { is_over, thread })
    }

    pub(crate) fn stop(self) -> Result<Vec<Duration>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the PINGs have failed")?
    }
}
