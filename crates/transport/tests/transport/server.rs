//! Servers on loopback. The test controls every byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// Returns an address that refuses connections. Hold the socket: it keeps other tests from getting the port.
pub(crate) fn refusing() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// Returns the address of a listener whose queue is full, so that connecting to it hangs. Hold the rest, which fills the queue.
pub(crate) async fn full() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    // Long enough for a connection on a busy machine: one that is only slow would leave room in the queue.
    let limit = Duration::from_millis(500);
    while let Ok(connection) = timeout(limit, TcpStream::connect(address)).await {
        queue.push(connection.unwrap());
    }
    (address, (listener, queue))
}

pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `serve` on every connection. The connection closes when it returns.
    pub(crate) async fn start<Fut>(serve: impl Fn(Connection) -> Fut + Send + 'static) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Connection {
                    stream: BufReader::new(stream),
                }));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Runs `serve` on one connection, and refuses all others. Returns its URL.
    #[cfg(feature = "ureq")]
    pub(crate) async fn start_once<Fut>(
        serve: impl FnOnce(Connection) -> Fut + Send + 'static,
    ) -> String
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            drop(listener);
            let stream = BufReader::new(stream);
            serve(Connection { stream }).await;
        });
        url
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Reads the request's head; `None` when the client has closed.
    pub(crate) async fn read_head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        Some(head)
    }

    pub(crate) async fn read_exact(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Responds with a body. The connection can be reused afterwards.
    pub(crate) async fn respond(&mut self, status: &str, body: &str) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Responds to every request with 200 and a body, until the client closes.
    pub(crate) async fn respond_to_all(mut self, body: &str) {
        while self.read_head().await.is_some() {
            self.respond("200 OK", body).await;
        }
    }

    /// Writes; returns whether the client still reads.
    pub(crate) async fn try_write(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).await.is_ok()
    }

    /// Closes with a reset, like a machine that has lost the connection's state.
    pub(crate) fn reset(self) {
        self.stream.get_ref().set_zero_linger().unwrap();
    }

    /// Forwards all bytes in both directions, until both sides have closed.
    pub(crate) async fn tunnel_to(mut self, address: SocketAddr) {
        let mut server = TcpStream::connect(address).await.unwrap();
        // A reset closes, too.
        let _ = tokio::io::copy_bidirectional(&mut self.stream, &mut server).await;
    }

    /// Closes for writing: the client sees the end, and its bytes can still be read.
    pub(crate) async fn finish(&mut self) {
        // Too late when the client has closed.
        let _ = self.stream.shutdown().await;
    }

    /// Reads until the client closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset closes, too.
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8(rest).unwrap()
    }

    /// Reads this many bytes and ignores them.
    #[cfg(feature = "ureq")]
    pub(crate) async fn read_exact_bytes(&mut self, length: usize) {
        self.stream.read_exact(&mut vec![0; length]).await.unwrap();
    }

    /// Reads and ignores bytes until the client has closed.
    #[cfg(feature = "ureq")]
    pub(crate) async fn read_to_end_of_bytes(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new()).await;
    }

    /// Writes until the client has closed.
    pub(crate) async fn write_until_closed(&mut self, text: &str) {
        while self.try_write(text).await {}
    }

    /// Waits until the client has closed.
    pub(crate) async fn closed(&mut self) {
        let rest = self.read_to_end().await;
        assert_eq!(rest, "", "the client sent more before it closed");
    }
}
