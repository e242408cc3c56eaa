//! Files of any length pass through the relay without filling its memory.

mod common;

use bytes::Bytes;
use common::{Client, Produced};
use http_body_util::{BodyExt, Either};
use twentyfirst_local_relay::LocalRelay;

const PIECE: usize = 64 * 1024;
const PIECES: usize = 1024;

/// Returns the peak memory of this process in bytes.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[tokio::test]
async fn streams_are_not_held_in_memory() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let target = format!("/v1/sandboxes/{sandbox}/files?path=big.bin&format=stream");
    let before = peak();

    let pieces = (0..PIECES).map(|number| Bytes::from(vec![number as u8; PIECE]));
    let request = client
        .request("POST", &target)
        .header("content-type", "application/octet-stream")
        .body(Either::Right(Produced(Box::new(pieces))))
        .unwrap();
    let written = client.send_with(request).await.expect(200);
    assert_eq!(written, serde_json::json!({ "path": "big.bin" }));

    let request = client.request("GET", &target).body(Bytes::new()).unwrap();
    let (response, _connection) = client.open(request).await;
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        for (at, byte) in data.iter().enumerate() {
            assert_eq!(*byte, ((length + at) / PIECE) as u8);
        }
        length += data.len();
    }
    assert_eq!(length, PIECE * PIECES);

    if let (Some(before), Some(after)) = (before, peak()) {
        let grown = after - before;
        assert!(grown < 12 << 20, "grown by {grown} bytes");
    }
}

#[tokio::test]
async fn an_aborted_upload_leaves_no_file() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let target = format!("/v1/sandboxes/{sandbox}/files?path=half.bin&format=stream");
    let mut socket = tokio::net::TcpStream::connect(relay.address())
        .await
        .unwrap();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\ncontent-length: 100000\r\n\r\nhalf",
        relay.api_key()
    );
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes())
        .await
        .unwrap();
    let exists = format!("/v1/sandboxes/{sandbox}/files/exists?path=half.bin");
    while client.get(&exists).await.json() == false {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(socket);
    while client.get(&exists).await.json() == true {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
