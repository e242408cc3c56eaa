//! The time to read the body of a chat request: `cargo bench -p twentyfirst-protocol --bench chat_body`.
//!
//! For comparison: the time of `serde_json` to read all messages as values.

use std::hint::black_box;
use std::time::Instant;

use twentyfirst_protocol::browser::{ChatBody, ChatLimits};

fn main() {
    let message = r#"{"id":"m","role":"user","parts":[{"type":"text","text":"x"}]}"#;
    let messages = vec![message; 100_000].join(",");
    let parts = vec![r#"{"type":"x"}"#; 500_000].join(",");
    let of_parts = format!(r#"{{"id":"m","role":"user","parts":[{parts}]}}"#);
    println!("| body | size | read | with its history | serde_json::Value |");
    println!("|---|---|---|---|---|");
    for (what, messages) in [
        ("100 000 messages", format!("[{messages}]")),
        ("500 000 parts", format!("[{of_parts},{message}]")),
    ] {
        let body = format!(r#"{{"id":"c1","messages":{messages}}}"#);
        let limits = ChatLimits::new().parts(1_000_000);
        let read =
            fastest(|| ChatBody::read(body.as_str(), &limits).map(|body| body.turn.parts.len()));
        let history = fastest(|| {
            let read = ChatBody::read(body.as_str(), &limits);
            read.and_then(|body| body.history.messages())
                .map(|history| history.len())
        });
        let value = fastest(|| serde_json::from_str::<serde_json::Value>(&body).is_ok());
        let size = body.len() as f64 / 1e6;
        println!("| {what} | {size:.1} MB | {read:.1} ms | {history:.1} ms | {value:.1} ms |");
    }
}

/// Returns the least time of several runs, in milliseconds.
fn fastest<T>(run: impl Fn() -> T) -> f64 {
    let times = (0..15).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}
