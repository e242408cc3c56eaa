//! Several instances in one process, separated as if each were a process, behind a load balancer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, middleware};
use futures_util::future::join_all;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use twentyfirst_client::backend::ChatHandler;

use crate::database::Database;
use crate::setup::Setup;
use crate::users;
use crate::{Failure, LONGEST_DRAIN};

/// The instances. Their numbers begin with 1.
#[derive(Clone)]
pub(crate) struct Instances {
    /// `None` for each that was killed.
    all: Arc<Mutex<Vec<Option<Instance>>>>,
    /// The number of forwarded requests.
    turn: Arc<AtomicUsize>,
    database: Arc<Database>,
}

impl Instances {
    pub(crate) async fn start(setup: &Setup, count: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Some(Instance::start(setup.clone()).await?));
        }
        Ok(Self {
            all: Arc::new(Mutex::new(all)),
            turn: Arc::default(),
            database: setup.database(),
        })
    }

    /// Returns the load balancer. `POST /instances/{number}/kill` ends an instance as a crash does.
    pub(crate) fn balance(&self) -> Router {
        // Requires the cookie, so that pages of other sites cannot kill.
        let users = middleware::from_fn_with_state(Arc::clone(&self.database), users::identify);
        Router::new()
            .route("/instances/{number}/kill", post(kill).layer(users))
            .fallback(forward)
            .with_state(self.clone())
    }

    /// Releases the runs of all instances. Returns how many are left.
    pub(crate) async fn drain(&self) -> usize {
        let instances: Vec<ChatHandler> = {
            let all = self.all();
            let living = all.iter().flatten();
            living.map(|instance| instance.chats.clone()).collect()
        };
        // At once: one after the other could take as many times the limit, and each would take over the runs of the one before.
        let drains = instances.iter().map(|chats| chats.drain(LONGEST_DRAIN));
        join_all(drains).await.into_iter().sum()
    }

    /// Returns the number and the address of the next instance, in turn.
    fn next(&self) -> Option<(usize, SocketAddr)> {
        let all = self.all();
        let living: Vec<_> = (1..)
            .zip(&*all)
            .filter_map(|(number, instance)| Some((number, instance.as_ref()?.address)))
            .collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        living.get(turn.checked_rem(living.len())?).copied()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Option<Instance>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance on its own port. Dropping it stops all its tasks at once.
struct Instance {
    runtime: Option<Runtime>,
    address: SocketAddr,
    chats: ChatHandler,
}

impl Instance {
    async fn start(setup: Setup) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?.into_std()?;
        let address = listener.local_addr()?;
        let (app, chats, runtime) = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let log = runtime.block_on(setup.log())?;
            let (app, chats) = setup.server()?.app(log);
            runtime.block_on(async { chats.supervise() });
            Ok::<_, Failure>((app, chats, runtime))
        })
        .await??;
        runtime.spawn(async move { axum::serve(TcpListener::from_std(listener)?, app).await });
        Ok(Self {
            runtime: Some(runtime),
            address,
            chats,
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn kill(State(instances): State<Instances>, Path(number): Path<usize>) -> StatusCode {
    let instance = number
        .checked_sub(1)
        .and_then(|at| instances.all().get_mut(at)?.take());
    match instance {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

/// Forwards a request to the next instance, and names the instance in the response.
async fn forward(State(instances): State<Instances>, request: Request) -> Response {
    let Some((number, address)) = instances.next() else {
        return (StatusCode::BAD_GATEWAY, "no instance is left").into_response();
    };
    match pass_on(address, request).await {
        Ok(mut response) => {
            let number = HeaderValue::from(number);
            response.headers_mut().insert("x-instance", number);
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn pass_on(address: SocketAddr, request: Request) -> Result<Response, Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with the response, or when the browser disconnects.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Body::new))
}
