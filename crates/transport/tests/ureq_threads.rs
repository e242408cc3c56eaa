//! Counts the threads of the transport over `ureq`, in a process of its own.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use std::{fs, thread};

use http_body_util::BodyExt as _;
use pollster::block_on;
use twentyfirst_transport::{Body, Transport as _, UreqTransport};

const EACH: usize = 20;

/// Sends nothing after the first piece of a stream, and nothing at all to other requests. Reports each connection that the client closes.
fn silent_server() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, closings) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, closed) = (stream.unwrap(), closed.clone());
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                if request.starts_with(b"GET /stream") {
                    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                    write!(stream, "{head}3\r\none\r\n").unwrap();
                }
                // Reads until the end or a reset.
                let _ = stream.read(&mut byte);
                closed.send(()).unwrap();
            });
        }
    });
    (address, closings)
}

fn threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap();
    let names = names.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names
        .filter(|name| ["http-exchange", "body-writer"].contains(&name.trim()))
        .count()
}

fn soon(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn threads_and_connections_end_when_their_exchange_is_dropped() {
    let (address, closings) = silent_server();
    let transport = UreqTransport::new();
    let get = |path| {
        let request = http::Request::get(format!("http://{address}{path}"));
        request.body(Body::empty()).unwrap()
    };
    let mut heads: Vec<_> = (0..EACH).map(|_| transport.send(get("/silence"))).collect();
    for head in &mut heads {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(std::pin::Pin::new(head).poll(&mut cx).is_pending());
    }
    let bodies: Vec<_> = (0..EACH)
        .map(|_| {
            let response = block_on(transport.send(get("/stream"))).unwrap();
            let mut body = response.into_body();
            let piece = block_on(body.frame()).unwrap().unwrap();
            assert_eq!(piece.into_data().unwrap(), "one");
            body
        })
        .collect();
    soon("each exchange has a thread", || threads() == 2 * EACH);
    drop(heads);
    soon("the threads that wait for heads end", || threads() == EACH);
    drop(bodies);
    soon("the threads that read bodies end", || threads() == 0);
    for _ in 0..2 * EACH {
        closings.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
