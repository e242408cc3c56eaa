//! nginx with its defaults, except for a limit of 5 s on silence.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;

use crate::support::{handlers, post, relay, serve};

struct Nginx {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    /// Starts nginx in front of this server, on loopback, in a folder of its own. `None` if nginx is not installed.
    fn start(server: SocketAddr) -> Option<Self> {
        let program = std::env::var_os("NGINX").unwrap_or_else(|| "nginx".into());
        let quiet = |command: &mut Command| command.stderr(Stdio::null()).status();
        if !quiet(Command::new(&program).arg("-v")).is_ok_and(|it| it.success()) {
            eprintln!("skipped: there is no nginx (Debian: apt-get install nginx)");
            return None;
        }
        // The port stays free until nginx takes it, unless another process is quicker.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let name = format!("chat-nginx-{}-{}", std::process::id(), address.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let kept = kept
            .map(|what| format!("{what}_temp_path {what};"))
            .concat();
        let configuration = format!(
            "pid pid; error_log errors; worker_processes 1; daemon off; events {{}}
             http {{ access_log off; {kept} gzip on;
               server {{ listen {address};
                 location / {{ proxy_pass http://{server}; proxy_read_timeout 5s; }} }} }}"
        );
        fs::write(folder.join("nginx.conf"), configuration).unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "errors"])
            .spawn()
            .unwrap();
        let nginx = Self {
            child,
            folder,
            address,
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "nginx does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Unlike a kill, this also ends its worker.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn nginx_buffers_nothing_and_cuts_nothing() {
    let relay = relay();
    let [recorded, passing] = handlers(&relay);
    let recorded = serve(Router::new().route_service("/api/chat", recorded)).await;
    let passing = serve(Router::new().route_service("/api/chat", passing)).await;
    let (Some(recorded), Some(passing)) = (Nginx::start(recorded), Nginx::start(passing)) else {
        return;
    };
    let (recorded, passing) = tokio::join!(
        post(recorded.address, "chat-1", "Hi"),
        post(passing.address, "chat-2", "Hi")
    );
    recorded.assert_whole();
    passing.assert_whole();
}
