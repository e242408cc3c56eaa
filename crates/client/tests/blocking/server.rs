//! A server over the standard library, whose responses the test writes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Calls `serve` with each request and its connection, and reports each connection that the client has closed.
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
                let (stream, told, serve) = (stream.unwrap(), told.clone(), Arc::clone(&serve));
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read_request(&mut stream) {
                        serve(stream.get_mut(), &request);
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

/// Reads one request with its body, in as many pieces as it arrives. Returns `None` at the end of the connection.
fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let length = request
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.push_str(str::from_utf8(&body).unwrap());
    Some(request)
}

/// Writes a response with this body.
pub(crate) fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
}
