use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;
use crate::load::{AGENT, Load, STARTING};
use crate::meter::{Deltas, Meter, Report};

/// The figures, as the script that prints the table takes them.
pub(crate) struct Figures {
    /// The report of this process. Of its figures only the latencies count.
    deltas: Report,
    /// The time that each browser waited for its token, from its connection on.
    tokens: Vec<Duration>,
    /// The time that each browser waited for the first byte of its chat's response.
    first_bytes: Vec<Duration>,
}

type Waits = Arc<Mutex<Vec<Duration>>>;

/// Asks for a thousand tokens, so that what a server does only once is done.
pub(crate) async fn warm(server: SocketAddr) -> Result<()> {
    let mut browsers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..20 {
        browsers.spawn(async move {
            let mut socket = TcpStream::connect(server).await.map(BufReader::new)?;
            for _ in 0..50 {
                get_token(&mut socket).await?;
            }
            Ok(())
        });
    }
    while let Some(browser) = browsers.join_next().await {
        browser??;
    }
    Ok(())
}

/// Each browser gets a token, sends a message, both on one connection, and reads the answer to its end.
pub(crate) async fn measure(load: Load, server: SocketAddr) -> Result<Figures> {
    let starting = Arc::new(Semaphore::new(STARTING));
    let (tokens, first_bytes) = (Waits::default(), Waits::default());
    let meter = Arc::new(Meter::start(load)?);
    let mut readers = JoinSet::new();
    for number in 0..load.streams {
        let (starting, meter) = (Arc::clone(&starting), Arc::clone(&meter));
        let (tokens, first_bytes) = (Arc::clone(&tokens), Arc::clone(&first_bytes));
        readers.spawn(async move {
            let permit = starting.acquire().await?;
            let socket = TcpStream::connect(server).await?;
            socket.set_nodelay(true)?;
            let mut socket = BufReader::with_capacity(1024, socket);
            keep(&tokens, get_token(&mut socket).await?);
            keep(&first_bytes, send_message(&mut socket, number).await?);
            drop(permit);
            read(socket, meter.open()).await
        });
    }
    let deltas = meter.finish(readers).await?;
    Ok(Figures {
        deltas,
        tokens: sorted(&tokens),
        first_bytes: sorted(&first_bytes),
    })
}

async fn get_token(socket: &mut BufReader<TcpStream>) -> Result<Duration> {
    let since = Instant::now();
    let body = format!(r#"{{"agent":"{AGENT}"}}"#);
    let head = post(socket, "/api/token", &body).await?;
    let (_, length) = head
        .split_once("\r\ncontent-length: ")
        .ok_or("no content-length")?;
    let (length, _) = length.split_once("\r\n").ok_or("no content-length")?;
    let mut answer = vec![0; length.parse()?];
    socket.read_exact(&mut answer).await?;
    let wait = since.elapsed();
    if str::from_utf8(&answer)?.starts_with(r#"{"token":""#) {
        Ok(wait)
    } else {
        Err("there is no token in the answer".into())
    }
}

/// Sends what `useChat` does.
async fn send_message(socket: &mut BufReader<TcpStream>, number: usize) -> Result<Duration> {
    let since = Instant::now();
    let body = format!(
        r#"{{"id":"chat-{number}","messages":[{{"id":"1","role":"user","parts":[{{"type":"text","text":"Go on."}}]}}],"trigger":"submit-message"}}"#
    );
    let head = post(socket, "/api/chat", &body).await?;
    let wait = since.elapsed();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        Ok(wait)
    } else {
        Err(format!("no stream: {head}").into())
    }
}

/// The head of the answer, in lower case. It comes in one piece.
async fn post(socket: &mut BufReader<TcpStream>, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Err("the server has closed the connection".into());
        }
    }
    if head.starts_with("HTTP/1.1 200 OK\r\n") {
        Ok(head.to_ascii_lowercase())
    } else {
        Err(head.into())
    }
}

/// Reads a chunked body, event by event.
async fn read(mut socket: BufReader<TcpStream>, mut deltas: Deltas<'_>) -> Result<()> {
    let mut size = String::new();
    let mut piece = Vec::new();
    let mut rest = String::new();
    let mut done = false;
    loop {
        size.clear();
        socket.read_line(&mut size).await?;
        let length = usize::from_str_radix(size.trim_end(), 16)?;
        piece.resize(length + 2, 0);
        socket.read_exact(&mut piece).await?;
        if length == 0 {
            return deltas.end(done && rest.is_empty());
        }
        rest.push_str(str::from_utf8(&piece[..length])?);
        while let Some((event, after)) = rest.split_once("\n\n") {
            if let Some((_, delta)) = event.split_once(r#""delta":""#) {
                let (delta, _) = delta.split_once('"').ok_or("a delta without an end")?;
                deltas.take(delta)?;
            }
            done |= event == "data: [DONE]";
            rest = after.to_owned();
        }
    }
}

fn keep(waits: &Waits, wait: Duration) {
    waits
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(wait);
}

fn sorted(waits: &Waits) -> Vec<Duration> {
    let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    waits.sort_unstable();
    waits
}

/// In milliseconds; 1 is the greatest.
fn share(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * share;
    sorted[place.round() as usize].as_secs_f64() * 1000.0
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.deltas)?;
        for waits in [&self.tokens, &self.first_bytes] {
            write!(f, " {:.3} {:.3}", share(waits, 0.5), share(waits, 0.99))?;
        }
        Ok(())
    }
}
