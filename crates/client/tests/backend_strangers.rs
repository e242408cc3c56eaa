//! The memory that large bodies of unauthorized requests take. A process of its own, because it measures its own memory.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use twentyfirst_client::backend::{ChatHandler, ChatRequest, Refusal};
use twentyfirst_client::{AgentClient, StartRun};

mod resident;

const MIB: usize = 1024 * 1024;

/// The declared length of each body; only half of it arrives.
const LENGTH: usize = 5 * MIB;

const BROWSERS: usize = 200;

fn serve() -> SocketAddr {
    // Nothing is sent there.
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .base_url("http://127.0.0.1:9")
        .build()
        .unwrap();
    let chats = ChatHandler::new(client, async |_: ChatRequest| {
        Err::<StartRun, _>(Refusal::unauthorized("please sign in"))
    });
    resident::serve(chats)
}

/// Sends the head and a little of the body, reads the response, and continues until half of the body is sent or no longer accepted.
fn browser(server: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(server).unwrap();
    write!(
        socket,
        "POST /api/chat HTTP/1.1\r\nhost: server\r\ncontent-length: {LENGTH}\r\n\r\n{{\"id\":"
    )
    .unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 401");
    socket.set_nonblocking(true).unwrap();
    let piece = vec![b' '; 64 * 1024];
    let mut sent = 0;
    while sent < LENGTH / 2 {
        match socket.write(&piece) {
            Ok(length) => sent += length,
            Err(_) => break,
        }
    }
    socket
}

#[test]
fn bodies_of_unauthorized_requests_take_no_memory() {
    let server = serve();
    drop(browser(server));
    thread::sleep(Duration::from_millis(200));
    let before = resident::memory("VmRSS:");
    let mut browsers = Vec::new();
    browsers.resize_with(BROWSERS, || browser(server));
    thread::sleep(Duration::from_millis(500));
    let peak = resident::memory("VmHWM:").saturating_sub(before);
    println!("{} browsers take {} KiB", browsers.len(), peak / 1024);
    assert!(peak < 16 * MIB, "{} KiB", peak / 1024);
}
