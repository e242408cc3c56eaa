use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, TokenHandler};
use twentyfirst_client::protocol::tokens::CreateToken;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, Session};

use crate::Result;
use crate::bare::Bare;
use crate::load::{AGENT, Load};

/// The way in which answers reach browsers.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// As the server of Node does it.
    Passing,
    /// Through the run log, in memory.
    Recording,
}

/// Serves two routes, `/api/token` and `/api/chat`, on a free port. Each chat is a new thread.
pub(crate) async fn start(load: Load, client: AgentClient, way: Way) -> Result<SocketAddr> {
    let sandboxes = load.sandboxes(&client).await?;
    let tokens = TokenHandler::new(client.clone(), |_| {
        ready(Ok(CreateToken::new().agent(AGENT)))
    });
    let next = AtomicUsize::new(0);
    let chats = ChatHandler::new(client, move |request: ChatRequest| {
        let place = next.fetch_add(1, Ordering::Relaxed) % sandboxes.len();
        let session = Session::new(AGENT).sandbox_id(sandboxes[place].clone());
        async move { Ok(session.run(request.read().await?.messages)) }
    });
    let chats = match way {
        Way::Passing => chats.without_log(),
        Way::Recording => chats,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, tokens, chats));
    Ok(address)
}

/// Serves the same routes with nothing of a relay behind them.
pub(crate) async fn start_bare(load: Load) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve_bare(listener, Bare::new(load)));
    Ok(address)
}

async fn serve_bare(listener: TcpListener, bare: Bare) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let bare = bare.clone();
        let routes = service_fn(move |request: Request<Incoming>| {
            let body = match request.uri().path() {
                "/api/token" => Body::from(r#"{"token":"none"}"#),
                _ => Body::wrap(bare.begin()),
            };
            ready(Ok::<_, Infallible>(Response::new(body)))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), routes));
    }
}

async fn serve(listener: TcpListener, tokens: TokenHandler, chats: ChatHandler) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (tokens, chats) = (tokens.clone(), chats.clone());
        let routes = service_fn(move |request| {
            let (tokens, chats) = (tokens.clone(), chats.clone());
            async move { Ok::<_, Infallible>(answer(&tokens, &chats, request).await) }
        });
        // A browser that leaves is the browser's business: it sees whether its stream is complete.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), routes));
    }
}

async fn answer(
    tokens: &TokenHandler,
    chats: &ChatHandler,
    request: Request<Incoming>,
) -> Response<Body> {
    match request.uri().path() {
        "/api/token" => tokens.handle(request).await,
        "/api/chat" => chats.handle(request).await,
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}
