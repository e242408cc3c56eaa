//! A chat server in this process, and the memory of the process.

use std::net::{SocketAddr, TcpListener};
use std::thread;

use twentyfirst_client::backend::ChatHandler;

/// Serves `/api/chat` on a thread of its own.
pub(crate) fn serve(chats: ChatHandler) -> SocketAddr {
    let app = axum::Router::new().route_service("/api/chat", chats);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    address
}

/// Returns a figure of this process, such as `VmRSS:`, in bytes.
pub(crate) fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_ascii_whitespace().next().unwrap();
    number.parse::<usize>().unwrap() * 1024
}
