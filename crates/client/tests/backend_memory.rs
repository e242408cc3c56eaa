//! The memory that a stalled browser takes. A process of its own, because it measures its own memory.
//!
//! The answer is 64 MiB long and the browser stalls for 2 s; with `LONG_STALL=1` it is 256 MiB and 10 s.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use twentyfirst_client::backend::{ChatHandler, ChatRequest};
use twentyfirst_client::{AgentClient, SandboxId, Session, ThreadId};

mod resident;

const MIB: usize = 1024 * 1024;

/// The most bytes by which the server may grow.
const GROWTH: usize = 4 * MIB;

/// 16 KiB of events.
fn piece() -> Vec<u8> {
    let delta = "x".repeat(975);
    let event = format!("data: {{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{delta}\"}}\n\n");
    assert_eq!(event.len(), 1024);
    event.repeat(16).into_bytes()
}

/// The end of every answer.
const DONE: &str = "data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n";

/// A relay that responds to every request with this many bytes and [`DONE`], like a completed run, and counts the bytes it could write.
fn relay(length: usize, written: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            read_head(&mut BufReader::new(&socket));
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            socket.write_all(head.as_bytes()).unwrap();
            let piece = piece();
            for _ in 0..length / piece.len() {
                // The server closes the connection when its browser has left.
                if socket.write_all(&piece).is_err() {
                    break;
                }
                written.fetch_add(piece.len(), Ordering::Relaxed);
            }
            let _ = socket.write_all(DONE.as_bytes());
        }
    });
    address
}

/// A web server with one chat.
fn serve(relay: SocketAddr) -> SocketAddr {
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .base_url(format!("http://{relay}"))
        .build()
        .unwrap();
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        let session = Session::new("my-agent")
            .sandbox_id(SandboxId::new("sb_1").unwrap())
            .thread_id(ThreadId::new("th_1").unwrap());
        Ok(session
            .run(request.read().await?.messages)
            .look_first(false))
    });
    let chats = chats.without_log();
    resident::serve(chats)
}

/// Sends a message, and reads the answer to the end of its head.
fn browser(server: SocketAddr) -> BufReader<TcpStream> {
    let body = r#"{"id":"1","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}]}]}"#;
    let mut socket = TcpStream::connect(server).unwrap();
    write!(
        socket,
        "POST /api/chat HTTP/1.1\r\nhost: server\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut socket = BufReader::new(socket);
    let head = read_head(&mut socket);
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    socket
}

fn read_head(socket: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(socket.read_line(&mut head).unwrap(), 0, "{head}");
    }
    head
}

/// Reads a chunked body, and returns its length.
fn read_body(mut socket: impl BufRead) -> usize {
    let mut length = 0;
    let mut piece = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        piece.resize(size + 2, 0);
        socket.read_exact(&mut piece).unwrap();
        if size == 0 {
            return length;
        }
        length += size;
    }
}

#[test]
fn a_stalled_browser_stalls_the_relay_and_takes_no_memory() {
    let (length, stall) = match std::env::var_os("LONG_STALL") {
        Some(_) => (256 * MIB, Duration::from_secs(10)),
        None => (64 * MIB, Duration::from_secs(2)),
    };
    let written = Arc::new(AtomicUsize::new(0));
    let server = serve(relay(length, Arc::clone(&written)));
    // The first exchange takes some memory of its own, whatever the length of its answer.
    drop(browser(server));
    thread::sleep(Duration::from_millis(200));

    let before = resident::memory("VmRSS:");
    written.store(0, Ordering::Relaxed);
    let socket = browser(server);
    thread::sleep(stall);
    let stalled = resident::memory("VmRSS:");
    let on_the_way = written.load(Ordering::Relaxed);
    assert_eq!(read_body(socket), length + DONE.len());
    let peak = resident::memory("VmHWM:");

    println!(
        "{} MiB: {} KiB before, {} KiB stalled for {stall:?} with {} KiB on the way, {} KiB at most",
        length / MIB,
        before / 1024,
        stalled / 1024,
        on_the_way / 1024,
        peak / 1024,
    );
    // The sockets on the way hold some, too: the system gives each several MiB.
    assert!(on_the_way < length / 2, "the relay was held up");
    assert!(stalled.saturating_sub(before) <= GROWTH, "while it stalled");
    assert!(peak.saturating_sub(before) <= GROWTH, "at any time");
}
