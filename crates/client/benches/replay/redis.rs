use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
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
