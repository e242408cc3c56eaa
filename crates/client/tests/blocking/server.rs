//! A server of the standard library that says what the test lets it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Calls `serve` with each connection and the request on it, and tells when the client has closed.
pub(crate) struct Server {
    pub(crate) url: String,
    closed: Receiver<()>,
}

impl Server {
    pub(crate) fn start(serve: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, closed) = channel();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, told, serve) = (stream.unwrap(), told.clone(), Arc::clone(&serve));
                thread::spawn(move || {
                    let mut buffer = [0; 16 * 1024];
                    // To the end, or to a reset.
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        let request = String::from_utf8_lossy(&buffer[..length]);
                        serve(&mut stream, &request);
                    }
                    // Fails only after the end of the test.
                    let _ = told.send(());
                });
            }
        });
        Self { url, closed }
    }

    /// Waits until the client has closed a connection.
    pub(crate) fn closed(&self) {
        self.closed.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}

/// A response whose body is all here.
pub(crate) fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
}
