//! Many concurrent responses from an HTTP/2 server that allows a hundred streams per connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::time::timeout;
use twentyfirst_transport::{Body, Error, HttpTransport, Transport as _};

use crate::soon;

/// The number of streams that the server allows on a connection.
const ALLOWED: u32 = 100;

/// The length of a response, in bytes.
const LENGTH: usize = 1024 * 1024;

/// A body of this length, which then ends or stays silent.
struct Said {
    left: usize,
    ends: bool,
}

impl HttpBody for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return match self.ends {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        }
        let piece = self.left.min(16 * 1024);
        self.left -= piece;
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; piece].into()))))
    }
}

/// `/open` sends ten bytes and never ends; every other path sends a megabyte.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let respond = service_fn(async |request: Request<_>| {
                    let is_open = request.uri().path() == "/open";
                    Ok::<_, Infallible>(Response::new(Said {
                        left: if is_open { 10 } else { LENGTH },
                        ends: !is_open,
                    }))
                });
                tokio::spawn(
                    http2::Builder::new(TokioExecutor::new())
                        .max_concurrent_streams(ALLOWED)
                        .serve_connection(TokioIo::new(socket), respond),
                );
            }
        });
        Self {
            address,
            connections,
        }
    }

    async fn get(&self, transport: &HttpTransport, path: &str) -> Result<Response<Body>, Error> {
        let url = format!("http://{}{path}", self.address);
        let request = Request::get(url).body(Body::empty()).unwrap();
        transport.send(request).await
    }

    async fn open(&self, transport: &HttpTransport, count: usize) -> Vec<Response<Body>> {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(soon(self.get(transport, "/open")).await.unwrap());
        }
        open
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn open_streams_leave_room_for_more_requests() {
    let server = Server::start().await;
    let transport = HttpTransport::builder()
        .http2_prior_knowledge(true)
        .build()
        .unwrap();
    let open = server.open(&transport, 250).await;
    assert!(open.iter().all(|it| it.version() == Version::HTTP_2));
    assert_eq!(server.connections(), 3);

    // Streams that have ended make room.
    drop(open);
    let again = server.open(&transport, 250).await;
    assert_eq!(again.len(), 250);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn responses_that_were_read_leave_room_for_more_requests() {
    let server = Server::start().await;
    let transport = HttpTransport::builder()
        .http2_prior_knowledge(true)
        .http2_streams(2)
        .build()
        .unwrap();
    let _open = server.open(&transport, 1).await;
    let mut read = Vec::new();
    for _ in 0..5 {
        let mut response = soon(server.get(&transport, "/")).await.unwrap();
        let mut length = 0;
        while let Some(frame) = soon(next(response.body_mut())).await {
            length += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(length, LENGTH);
        // Kept, although it was read to its end.
        read.push(response);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_beyond_the_limit_of_the_server_waits() {
    let server = Server::start().await;
    let transport = HttpTransport::builder()
        .http2_prior_knowledge(true)
        .http2_streams(1000)
        .build()
        .unwrap();
    let mut open = server.open(&transport, ALLOWED as usize).await;
    let mut waiting = Box::pin(server.get(&transport, "/open"));
    let waited = timeout(Duration::from_millis(300), waiting.as_mut()).await;
    assert!(waited.is_err(), "there is no stream left");
    open.pop();
    soon(waiting).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn paused_readers_do_not_block_another_response() {
    let server = Server::start().await;
    let transport = HttpTransport::builder()
        .http2_prior_knowledge(true)
        .build()
        .unwrap();
    let mut unread = Vec::new();
    for _ in 0..50 {
        unread.push(soon(server.get(&transport, "/")).await.unwrap());
    }
    // They have received as much as the window allows.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let response = soon(server.get(&transport, "/")).await.unwrap();
    let bytes = soon(response.into_body().collect_up_to(LENGTH))
        .await
        .unwrap();
    assert_eq!(bytes.len(), LENGTH);
    assert_eq!(server.connections(), 1);
}

async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}
